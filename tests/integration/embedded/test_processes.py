"""The child-process helper: readiness, last words, and a stop that always ends."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from spark_actors.embedded.errors import ServiceFailedError, ServiceTimeoutError
from spark_actors.embedded.processes import ChildProcess, Program, find_leftover, open_process
from tests.integration.embedded.conftest import ROOT

DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""


def python(code: str, folder: Path) -> Program:
    return Program("service", [sys.executable, "-c", code], folder, folder / "output.log")


def test_a_service_that_ends_at_once_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    child = ChildProcess(python("raise SystemExit('no disk')", tmp_path))
    child.launch()
    with pytest.raises(ServiceFailedError, match="service failed: exit code 1; no disk"):
        child.wait_ready(lambda: False, timeout_seconds=20)


def test_a_service_that_is_never_ready_is_a_timeout(tmp_path: Path) -> None:
    child = ChildProcess(python(DEAF, tmp_path))
    child.launch()
    with pytest.raises(ServiceTimeoutError, match=r"service was not ready within 0\.05 s"):
        child.wait_ready(lambda: False, timeout_seconds=0.05)
    child.stop(grace_seconds=0)


def test_a_service_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    child = ChildProcess(python(DEAF, tmp_path))
    child.launch()
    child.wait_ready(lambda: "up" in (tmp_path / "output.log").read_text(), timeout_seconds=20)
    child.stop(grace_seconds=0.05)
    child.stop(grace_seconds=0.05)


def test_a_process_that_works_elsewhere_is_no_leftover(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=tmp_path) as process:
        pid_file.write_text(str(process.pid))
        assert find_leftover(pid_file, folder=tmp_path.parent) is None
        found = find_leftover(pid_file, folder=tmp_path)
        assert found is not None
        assert found.pid == process.pid


def test_the_guard_kills_what_it_was_given_and_no_later_process_of_the_same_id() -> None:
    """Whoever takes the guard's place as the daemon is gone; ended processes are passed over."""
    with sleeper() as ended:
        gone = psutil.Process(ended.pid)
        ended.kill()
    with sleeper() as guarded, subprocess.Popen([sys.executable, "-c", KEEP, str(guarded.pid)], cwd=ROOT) as daemon:
        assert open_process(gone) is None
        assert daemon.wait(20) == 0
        assert guarded.wait(20) == -signal.SIGKILL


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


KEEP = """
import sys, psutil
from spark_actors.embedded.processes import Watchdog
Watchdog([psutil.Process(int(sys.argv[1]))])
"""


@pytest.mark.parametrize("content", ["", "nonsense", "999999999"])
def test_a_pid_file_that_names_no_process_is_no_leftover(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    assert find_leftover(tmp_path / "pid", folder=tmp_path) is None
    assert find_leftover(tmp_path / "none", folder=tmp_path) is None
