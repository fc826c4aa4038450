"""A daemon of the benchmark's own: `spark-actors run` as a process, on a fresh data dir, never left behind."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.embedded.processes import ChildProcess, Program
from tests.lab.bench.machine import ROOT

READY_SECONDS = 120.0
STOP_SECONDS = 60.0
PORTS = "[nats]\nport = 0\n\n[http]\nport = 0\n"
"""Free ones, so that nothing else on the machine is disturbed."""


@contextmanager
def running_daemon(
    folder: Path | None, placement: Mapping[str, int], *, views_apart: bool = False
) -> Iterator[tuple[DaemonCard, float]]:
    """A daemon that is ready, and when it was started (`time.perf_counter`).

    *views_apart*: its read models have a Postgres of their own. Its data is below *folder* (None: the system's
    temporary one). It is stopped in the end, and ends with us even if we are killed. Raises EmbeddedServiceError if it
    does not become ready.
    """
    with TemporaryDirectory(prefix="spark-bench-", dir=folder, ignore_cleanup_errors=True) as home:
        data_dir = DataDir(Path(home) / "data")
        settings = Path(home) / "bench.toml"
        views = EmbeddedPostgres(DataDir(Path(home) / "views")) if views_apart else None
        process = ChildProcess(_command(Path(home), data_dir, settings))
        started = time.perf_counter()
        try:
            if views:
                views.start()
            settings.write_text(settings_text(placement, views.dsn() if views else ""))
            process.launch()
            process.wait_ready(lambda: data_dir.read_daemon_card() is not None, timeout_seconds=READY_SECONDS)
            if card := data_dir.read_daemon_card():
                yield card, started
        finally:
            process.stop(grace_seconds=STOP_SECONDS)
            if views:
                views.stop()


def settings_text(placement: Mapping[str, int], views_dsn: str = "") -> str:
    """The settings as TOML: free ports, what is wanted of `placement`, and where the read models are, if apart."""
    lines = [f"{name} = {value}\n" for name, value in placement.items()]
    placed = "\n[placement]\n" + "".join(lines) if lines else ""
    apart = f"\n[postgres.context_dsn]\ndashboard = {json.dumps(views_dsn)}\n" if views_dsn else ""
    return PORTS + placed + apart


def _command(home: Path, data_dir: DataDir, settings: Path) -> Program:
    arguments = ["run", "--data-dir", str(data_dir.path), "--config", str(settings)]
    return Program(
        name="the daemon",
        arguments=[sys.executable, "-m", "spark_actors.cli", *arguments],
        folder=ROOT,
        output=home / "daemon.out",
        # Nothing of the caller's environment: his own settings must not change what is measured.
        environment={"PATH": os.defpath, "HOME": str(Path.home()), "LC_ALL": "C.UTF-8"},
    )
