"""A Ray cluster that somebody else has started: the daemon works on the machines that know its deployment alone.

Never `ray stop` here: it would end every Ray of the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from spark_actors.embedded.nats_server import EmbeddedNats
from spark_actors.embedded.ray_node import ENVIRONMENT
from tests.fixtures.cluster import free_port
from tests.fixtures.daemon import Daemon, environment, eventually

pytestmark = pytest.mark.timeout(400)
KEY = f"one:{secrets.token_hex(20)}"
RAY = Path(sys.executable).with_name("ray")
UP_SECONDS = 60.0


class PlainRay:
    """Ray nodes as operators start them, each at a loopback address of its own."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder, self._settings = folder, settings
        self._network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"
        self._port = free_port()
        self.variables = {**ENVIRONMENT, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"{self.node(1)}:{self._port}"

    def node(self, number: int) -> str:
        return f"{self._network}.{number}"

    def prepare(self, number: int, **others: str) -> None:
        """What an operator does on the machine before Ray is started there. *others*: settings that differ."""
        done = subprocess.run(
            [sys.executable, "-m", "spark_actors.cli", "prepare-node", str(self.folder(number))],
            env={**environment(), **self._settings, **others},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert f"SPARK_NODE_FOLDER={self.folder(number)}" in done.stdout

    def folder(self, number: int) -> Path:
        return self._folder / f"node-{number}"

    def start(self, number: int) -> None:
        where = ("--head", f"--port={self._port}", "--include-dashboard=false", f"--temp-dir={self._folder}/ray")
        how = where if number == 1 else (f"--address={self.address}",)
        with self._said_by(number).open("wb") as said:
            process = subprocess.Popen(
                [str(RAY), "start", *how, f"--node-ip-address={self.node(number)}", "--num-cpus=0", "--block"],
                env={**environment(), **self.variables, "SPARK_NODE_FOLDER": str(self.folder(number))},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        told = self._said_by(number)
        assert eventually(lambda: "Ray runtime started" in told.read_text(), UP_SECONDS), told.read_text()

    def _said_by(self, number: int) -> Path:
        return self._folder / f"ray-{number}.out"

    def end(self) -> None:
        for process in self._started:
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            os.killpg(process.pid, signal.SIGKILL)
            for each in tree:
                if each.is_running():
                    each.kill()
            process.wait(10)
            assert psutil.wait_procs(tree, timeout=20)[1] == []


@pytest.fixture
def settings(template_database: str, new_database: Callable[[str], str], nats_server: EmbeddedNats) -> dict[str, str]:
    """Of the deployment, as everybody must have them."""
    return {
        "SPARK_POSTGRES__DSN": new_database(template_database),
        "SPARK_NATS__URL": nats_server.url,
        "SPARK_NATS__TOKEN": nats_server.token,
        "SPARK_IDENTITY__KEYS": json.dumps([KEY]),
    }


@pytest.fixture
def ray(settings: dict[str, str]) -> Iterator[PlainRay]:
    with TemporaryDirectory(prefix="spark-plain-", ignore_cleanup_errors=True) as folder:
        ray = PlainRay(Path(folder), settings)
        try:
            yield ray
        finally:
            ray.end()


@pytest.fixture
def daemon(ray: PlainRay, settings: dict[str, str]) -> Iterator[Daemon]:
    """On the same machine as the first node; not started yet."""
    with TemporaryDirectory(prefix="spark-driver-", ignore_cleanup_errors=True) as folder:
        daemon = Daemon(Path(folder) / "spark", {**settings, **ray.variables, "SPARK_RAY__ADDRESS": ray.address})
        try:
            yield daemon
        finally:
            daemon.kill()
            daemon.left_behind()


def nodes(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """By address."""
    told = daemon.cli("nodes", "--json")
    assert told.returncode == 0, told.stderr
    return {each["address"]: each for each in json.loads(told.stdout)}


def test_actors_live_on_the_machines_that_were_prepared_and_on_no_other(ray: PlainRay, daemon: Daemon) -> None:
    for number in (1, 2):
        ray.prepare(number)
        ray.start(number)
    daemon.start()
    ray.prepare(4, SPARK_IDENTITY__KEYS=json.dumps([f"other:{'x' * 32}"]))
    for number in (3, 4):
        ray.start(number)
    good, bare, other = ray.node(2), ray.node(3), ray.node(4)

    assert eventually(lambda: nodes(daemon)[good]["slots"] == 1, 90), nodes(daemon)
    assert eventually(lambda: nodes(daemon)[other]["state"] == "refused", 90), nodes(daemon)
    assert eventually(lambda: "prepare-node" in nodes(daemon)[bare]["reason"], 90), nodes(daemon)
    assert "its settings are others" in nodes(daemon)[other]["reason"]
    done = daemon.cli("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    found = nodes(daemon)
    assert (found[bare]["actors"], found[other]["actors"]) == (0, 0)

    told = daemon.cli("status")
    assert "its settings are others" in told.stdout
    assert "prepare-node" in told.stdout
    assert daemon.terminate() == 0
