"""Helpers for the tests of the built-in services: data folders and a stand-in for the daemon that may be killed."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from spark_actors.embedded.addresses import Address
from spark_actors.embedded.data_dir import DataDir
from tests.fixtures.data_dirs import temporary_data_dir

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class StandIn:
    """A running stand-in daemon and what it told about its service."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    def service_processes(self) -> list[psutil.Process]:
        """Those that it told of and that still run: some, such as Postgres's start-up process, soon end."""
        return [process for process in psutil.process_iter() if process.pid in self.told["pids"]]


def as_user(uid: int, code: str) -> str:
    """Run a line as a user without a name; gives what it says of an error of ours, or nothing."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    done = subprocess.run(
        [sys.executable, "-c", AS_USER.format(code=code, uid=uid)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


AS_USER = """
import os
from pathlib import Path
from spark_actors.kernel.errors import SparkError
from spark_actors.embedded import postgres
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.postgres import EmbeddedPostgres
installed = postgres.find_binaries()  # these, like Python itself, may lie where the user cannot reach them
postgres.find_binaries = lambda: installed
os.setgroups([])
os.setgid({uid})
os.setuid({uid})
try:
    {code}
except SparkError as error:
    print(error)
"""


@pytest.fixture
def data_dir() -> Iterator[DataDir]:
    with temporary_data_dir() as made:
        yield made


@pytest.fixture
def start_stand_in() -> Iterator[Callable[[str, DataDir], StandIn]]:
    started: list[subprocess.Popen[str]] = []

    def start(service: str, data_dir: DataDir) -> StandIn:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.embedded.stand_in_daemon", service, str(data_dir.path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that a signal to its group does not reach the tests
        )
        started.append(process)
        assert process.stdout is not None
        return StandIn(process, json.loads(process.stdout.readline()))

    yield start
    for process in started:
        process.kill()
        with process:  # closes its pipes and waits for its end
            pass


def all_ended(processes: list[psutil.Process]) -> bool:
    """Wait until all have ended; False when some have not in time."""
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    return not alive


def free_address(host: str) -> Address:
    """One where nobody listens."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return Address(host, probe.getsockname()[1])


def listening_addresses(pid: int) -> set[str]:
    """The addresses that this process, and all below it, take network connections on."""
    top = psutil.Process(pid)
    return {address for process in (top, *top.children(recursive=True)) for address in _listening(process)}


def _listening(process: psutil.Process) -> list[str]:
    try:
        connections = process.net_connections(kind="inet")
    except psutil.NoSuchProcess:  # a worker that had done its work
        return []
    return [found.laddr.ip for found in connections if found.status == psutil.CONN_LISTEN]
