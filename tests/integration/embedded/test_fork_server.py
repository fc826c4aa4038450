"""Actors live in copies of one process, which has imported what they need; and without it they live, too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray import _raylet

from spark_actors.embedded import fork_server, worker_launcher
from spark_actors.embedded.errors import EmbeddedServiceError
from spark_actors.embedded.fork_server import TITLE
from spark_actors.embedded.processes import wait_until
from spark_actors.embedded.ray_node import EmbeddedRay

LONG_SECONDS = 60.0


class Member:
    def about(self) -> tuple[int, str, str]:
        """Its process, an id that Ray draws in it, and a variable of its environment."""
        drawn: Any = _raylet.WorkerID
        return os.getpid(), drawn.from_random().hex(), os.environ["RAY_JOB_ID"]


@pytest.fixture
def members(ray_node: EmbeddedRay) -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for member in made:
        ray.kill(member)


def join(members: list[Any], count: int) -> list[tuple[int, str, str]]:
    """Start some actors; what they tell of themselves."""
    actors: Any = ray.remote(Member)
    new = [actors.options(num_cpus=0).remote() for _ in range(count)]
    members += new
    return ray.get([member.about.remote() for member in new], timeout=LONG_SECONDS)


def fork_servers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if is_one(each)]


def is_one(process: psutil.Process) -> bool:
    try:
        return bool(process.cmdline()) and process.cmdline()[0].startswith(TITLE)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def test_actors_are_copies_of_one_process_of_their_job(members: list[Any]) -> None:
    told = join(members, 4)
    [server] = fork_servers()
    assert {psutil.Process(pid).ppid() for pid, _, _ in told} == {server.pid}
    assert {job for _, _, job in told} == {ray.get_runtime_context().get_job_id()}


def test_each_draws_ids_of_its_own(members: list[Any]) -> None:
    """What Ray draws from was not seeded before they were copied."""
    told = join(members, 8)
    assert len({drawn for _, drawn, _ in told}) == len(told)


def test_whoever_ends_takes_nobody_along(members: list[Any]) -> None:
    """A raylet ends a worker with its process group."""
    told = join(members, 4)
    [server] = fork_servers()
    ended, killed, *others = (psutil.Process(pid) for pid, _, _ in told)
    ray.kill(members[0])
    killed.kill()
    psutil.wait_procs([ended, killed], timeout=LONG_SECONDS)
    join(members, 1)  # by now the raylet has done what it does then
    assert [process.is_running() for process in (ended, killed, *others)] == [False, False, True, True]
    assert fork_servers() == [server]
    assert len({os.getpgid(process.pid) for process in (server, *others)}) == 3


def test_nothing_that_actors_import_makes_ray_draw_an_id_or_begins_a_thread() -> None:
    """Else all copies of a process that has imported it would draw the same, or lack the thread."""
    modules = "aggregate context ingress root supervisor"
    script = f"""
import os
from spark_actors.embedded import fork_server
fork_server.prepare([*(f"spark_actors.bootstrap.{{kind}}" for kind in {modules.split()!r}), "domain.application"])
from ray._raylet import WorkerID
for _ in range(2):
    if os.fork() == 0:
        print(WorkerID.from_random().hex(), flush=True)
        os._exit(0)
    os.wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=LONG_SECONDS, check=True
    )
    first, second = done.stdout.split()
    assert first != second


def test_actors_start_all_the_same_when_the_fork_server_was_killed(members: list[Any]) -> None:
    join(members, 1)
    [first] = fork_servers()
    first.kill()
    first.wait(LONG_SECONDS)
    join(members, 2)
    [second] = fork_servers()
    assert second.pid != first.pid


def test_it_refuses_a_module_that_begins_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "WORKER", "json")
    monkeypatch.setattr(os, "listdir", lambda path: ["1", "2"])
    with pytest.raises(EmbeddedServiceError, match="json begins threads: 2"):
        fork_server.prepare(["json"])


def launched(tmp_path: Path, module: str, sockets: Path = Path()) -> tuple[str, Path]:
    """Have a worker launched that stands in for Ray's: it tells what was said to it. What the launcher has printed, and
    the file with what was told. The launcher works in *tmp_path*."""
    worker, told = tmp_path / "worker.py", tmp_path / "told"
    worker.write_text(f"import sys; open({str(told)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')")
    options = [
        f"--raylet-name={tmp_path / sockets / 'raylet'}",
        f"--worker-preload-modules={module}",
        "--language=PYTHON",
    ]
    with subprocess.Popen(["sleep", "600"]) as raylet:
        process = subprocess.Popen(
            [sys.executable, worker_launcher.__file__, str(worker), *options],
            env={**os.environ, "RAY_JOB_ID": "01000000", "RAY_RAYLET_PID": str(raylet.pid)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert wait_until(told.exists, LONG_SECONDS)
        raylet.kill()
        _, said = process.communicate(timeout=LONG_SECONDS)
    assert told.read_text().split() == options[:2]
    return said, told


def test_with_a_module_that_cannot_be_imported_each_worker_starts_by_itself(tmp_path: Path) -> None:
    """At once: nobody listens any more where the others ask."""
    said, told = launched(tmp_path, "no.such.module")
    assert "No module named 'no'" in said
    told.unlink()
    before = time.monotonic()
    launched(tmp_path, "no.such.module")
    assert time.monotonic() - before < worker_launcher.PATIENCE_SECONDS


def test_where_no_socket_can_be_each_worker_starts_by_itself(tmp_path: Path) -> None:
    too_deep = Path("d" * 100)
    (tmp_path / too_deep).mkdir()
    said, _ = launched(tmp_path, "json", too_deep)
    assert "a worker starts by itself: AF_UNIX path too long" in said


def test_an_application_may_lie_where_the_daemon_was_started(tmp_path: Path) -> None:
    (tmp_path / "own_application.py").touch()
    said, _ = launched(tmp_path, "own_application")
    assert said == ""


@pytest.fixture
def raylet() -> Iterator[subprocess.Popen[bytes]]:
    """Stands in for one: it does nothing."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


SERVING = """
import socket, sys
from spark_actors.embedded import fork_server, tuning
tuning.FORK_IDLE_SECONDS = float(sys.argv[1])
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[2])
    listener.listen()
    print("serves", flush=True)
    print(fork_server.serve(listener))
"""


def serving(raylet: subprocess.Popen[bytes], folder: Path, idle_seconds: float) -> subprocess.Popen[str]:
    """A process that serves for this raylet, and is asked for nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING, str(idle_seconds), str(folder / "fork")],
        env={**os.environ, fork_server.RAYLET_PID: str(raylet.pid)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "serves\n"
    return process


def test_it_ends_with_its_raylet(raylet: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with serving(raylet, tmp_path, LONG_SECONDS) as server:
        assert server.poll() is None
        raylet.kill()
        assert server.communicate(timeout=LONG_SECONDS)[0] == "None\n"


def test_it_ends_when_nobody_lives_whom_it_has_made(raylet: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with serving(raylet, tmp_path, 0.01) as server:
        assert server.communicate(timeout=LONG_SECONDS)[0] == "None\n"
