"""The daemon that is hurt: a process of its own on a data dir of its own, which may be killed and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.embedded.postgres import SUPERUSER, EmbeddedPostgres
from spark_actors.embedded.processes import ChildProcess, Program
from spark_actors.kernel.errors import DetailedError
from tests.lab.chaos.disk import Disk
from tests.lab.chaos.queries import as_superuser
from tests.lab.cluster.node import signal_all, tree_of
from tests.lab.faults.folder import FaultFolder

ROOT = Path(__file__).parents[3]
READY_SECONDS = 240.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.05
HTTP_SECONDS = 6.0
OBEDIENT = """
application = "tests.lab.faults.application:APPLICATION"
"""
"""It fails when it is told to."""
FREE_PORTS = """
[nats]
port = 0

[http]
port = 0
"""
OWN_ADDRESS = """
[http]
host = "{address}"
port = 0

[cluster]
listen = "{address}"
"""
"""The usual ports at an address of its own: nodes find them again when the head comes back."""
IMPATIENT = """

[supervision]
patience_seconds = 3

[lightning]
call_timeout_seconds = 1

[lightning.withdrawals]
longest_days = 30

[lightning.simulated]
fee_sat = 1
payment_delay_seconds = 0.2

[log]
level = "debug"
"""
"""Patience short enough to be tried often."""
SETTINGS = OBEDIENT + FREE_PORTS + IMPATIENT


class TargetError(DetailedError):
    """The daemon is not as it must be for the test to go on."""


class Target:
    """One daemon, below *home*. Launch it in the main thread: it ends with us, however we end."""

    def __init__(
        self,
        home: Path,
        settings: str = SETTINGS,
        *,
        views_apart: bool = False,
        small_disks: bool = False,
        within: Sequence[str] = (),
    ) -> None:
        """*views_apart*: the read models have a Postgres of their own. *small_disks*: services' disks can be filled.
        *within*: what it is started by.
        """
        self.home = home
        self.data_dir = DataDir(home / "data")
        self.disks = [Disk(folder) for folder in (self.data_dir.postgres, self.data_dir.nats) if small_disks]
        self._views = EmbeddedPostgres(DataDir(home / "views"), durable=False) if views_apart else None
        self.faults = FaultFolder(self.data_dir.path)
        self._settings = home / "chaos.toml"
        self._text = settings
        self._process = ChildProcess(self._command(within))
        self._actors: frozenset[str] = frozenset()

    def launch(self) -> None:
        self.data_dir.create()
        for disk in self.disks:
            disk.mount()
        self._settings.write_text(self._text + self._views_settings())
        self.data_dir.remove_daemon_card()
        self._process.launch()

    async def ready(self) -> None:
        """Until it says that it is ready. Raises TargetError."""
        await self.until(lambda: self._process.has_ended or self.card is not None, READY_SECONDS, "the daemon is ready")
        if self._process.has_ended:
            raise TargetError(f"the daemon has ended: {self._process.last_words()}")
        await self.actors()

    async def until(self, condition: Callable[[], bool], seconds: float, awaited: str) -> None:
        """Look again and again. Raises TargetError when it has not come true in time."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise TargetError(f"not within {seconds:.0f} s: {awaited}") from None

    def _views_settings(self) -> str:
        if self._views is None:
            return ""
        self._views.start()
        return f"\n[postgres.context_dsn]\ndashboard = {json.dumps(self._views.dsn())}\n"

    @property
    def exit_code(self) -> int | None:
        """How it has ended; None while it runs."""
        return self._process.exit_code

    @property
    def are_views_apart(self) -> bool:
        return self._views is not None

    @property
    def superuser_dsn(self) -> str:
        """Of the built-in Postgres. Raises TargetError while no daemon has said where it is."""
        password = self.data_dir.secret("postgres-superuser-password")
        return as_superuser(self.dsn["accounting"], SUPERUSER, password)

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def processes(self) -> list[psutil.Process]:
        """All that belong to it; none if it has ended."""
        return [] if self._process.has_ended else tree_of(self.pid)

    @property
    def card(self) -> DaemonCard | None:
        return self.data_dir.read_daemon_card()

    @property
    def dsn(self) -> dict[str, str]:
        """By context. Raises TargetError while no daemon has said where its databases are."""
        if self.card is None:
            raise TargetError("no daemon card")
        return self.card.dsn

    async def kill(self) -> None:
        """Pull the plug, and wait until nothing of it is left."""
        tree = psutil.Process(self.pid).children(recursive=True)
        os.kill(self.pid, signal.SIGKILL)
        await self.until(lambda: self._process.has_ended, STOP_SECONDS, "the daemon is dead")
        await self.until(lambda: not any(map(is_alive, tree)), STOP_SECONDS, "its processes are gone")

    async def lose_power(self) -> list[psutil.Process]:
        """All its processes end at once; those that there were, none of which is left."""
        tree = self.processes
        signal_all(tree, signal.SIGKILL)
        await self.until(lambda: self._process.has_ended, STOP_SECONDS, "the daemon is dead")
        await self.until(lambda: not any(map(is_alive, tree)), STOP_SECONDS, "its processes are gone")
        return tree

    async def terminate(self) -> int:
        """Ask it to drain; its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        await self.until(lambda: self._process.has_ended, STOP_SECONDS, "the daemon has drained")
        return self._process.exit_code or 0

    def stop(self) -> None:
        """Make sure that it is gone, and what it stood on."""
        self._process.stop(grace_seconds=STOP_SECONDS)
        if self._views is not None:
            self._views.stop()
        for disk in self.disks:
            disk.unmount()

    async def get(self, path: str) -> dict[str, Any]:
        """JSON from its HTTP endpoint, whatever the status says; empty if nobody answers."""
        return await asyncio.to_thread(self._get, path)

    async def metrics(self) -> str:
        return await asyncio.to_thread(self._read, "/metrics") or ""

    async def actors(self) -> dict[str, int]:
        """Process ids by actor name; waits until the root knows all that it has ever named."""
        while True:
            found = (await self.get("/status")).get("actors", [])
            pids = {actor["actor"]: int(actor["pid"]) for actor in found}
            if pids and pids.keys() >= self._actors:
                self._actors = frozenset(pids)
                return pids
            await asyncio.sleep(POLL_SECONDS)

    @property
    def postgres_pid(self) -> int:
        return _first_number(self.data_dir.postgres / "data" / "postmaster.pid")

    @property
    def nats_pid(self) -> int:
        return _first_number(self.data_dir.nats / "nats-server.pid")

    def _get(self, path: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._read(path) or "{}")
        except ValueError:
            return {}
        return found

    def _read(self, path: str) -> str:
        card = self.card
        if card is None:
            return ""
        base = card.metrics_url.removesuffix("/").removesuffix("/metrics")
        try:
            with urlopen(f"{base}{path}", timeout=HTTP_SECONDS) as response:
                return str(response.read().decode())
        except URLError as error:
            body = getattr(error, "read", lambda: b"")()
            return str(body.decode())
        except OSError:
            return ""

    def _command(self, within: Sequence[str]) -> Program:
        arguments = ["run", "--data-dir", str(self.data_dir.path), "--config", str(self._settings)]
        return Program(
            name="the daemon",
            arguments=[*within, sys.executable, "-m", "spark_actors.cli", *arguments],
            folder=ROOT,
            output=self.home / "daemon.out",
            environment=plain_environment(),
        )


def plain_environment() -> dict[str, str]:
    """Nothing of the caller's: his own settings must change nothing."""
    return {"PATH": os.defpath, "HOME": str(Path.home()), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that only waits to be buried does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _first_number(file: Path) -> int:
    try:
        return int(file.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return 0
