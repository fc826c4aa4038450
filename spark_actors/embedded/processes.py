"""Run one service as a child process that never outlives the daemon, however the daemon ends."""

import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from spark_actors.embedded import tuning
from spark_actors.embedded.errors import EmbeddedServiceError, ServiceFailedError, ServiceTimeoutError

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessUser:
    """The user and group that a child process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Program:
    """What to run, and how. `environment` is the child's whole environment: nothing is inherited."""

    name: str
    arguments: Sequence[str]
    folder: Path
    output: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    identity: ProcessUser | None = None  # None: this process's own
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM  # what the kernel sends it when the daemon dies
    descriptors: Sequence[int] = ()  # of this process that it has, too, under the same numbers


class ChildProcess:
    """A service's process: launched once, awaited, stopped. `stop` is safe at any time and from any thread."""

    def __init__(self, command: Program) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it does not run: it has ended by itself, was stopped, or was never launched."""
        return self._process is None or self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """How it has ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def launch(self) -> None:
        """Start the process and return at once. Only the main thread may do it: see `require_main_thread`."""
        require_main_thread(self._command.name)
        if self.has_ended:
            self._process = self._spawn()

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return once `is_ready`. Raises ServiceFailedError when the process ends first, else ServiceTimeoutError."""
        name = self._command.name
        if not wait_until(lambda: self.has_ended or is_ready(), timeout_seconds):
            raise ServiceTimeoutError(name, "ready", timeout_seconds)
        if self.has_ended:
            raise ServiceFailedError(name, self.last_words())

    def stop(self, *, grace_seconds: float) -> None:
        """Ask the process to end, and kill it when it has not within the grace time."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self._command.stop_signal)
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            _logger.warning("%s did not stop within %s s and is killed", self._command.name, grace_seconds)
            process.kill()
            process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command, identity = self._command, self._command.identity
        with command.output.open("ab") as output:
            return subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=command.descriptors,
                start_new_session=True,  # a Ctrl-C on the terminal is for the daemon, which stops us in turn
                preexec_fn=_die_with_parent(command.death_signal),  # noqa: PLW1509 - it takes no locks
                user=None if identity is None else identity.uid,
                group=None if identity is None else identity.gid,
                extra_groups=None if identity is None else [],
            )

    def last_words(self) -> str:
        """What it left when it ended: its exit code and the end of its output."""
        code = "never launched" if self._process is None else f"exit code {self._process.returncode}"
        return f"{code}; {tail(self._command.output)}"


def require_main_thread(service: str) -> None:
    """Raise EmbeddedServiceError in any other thread.

    The kernel sends the death signal when the *thread* that launched a child ends, so the child of a short-lived
    thread would die with that thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise EmbeddedServiceError(f"{service} must be launched from the main thread")


_GUARD = """
import os, signal, sys
os.read(0, 1)  # ends when we do
for descriptor in sys.argv[1:]:
    try:
        signal.pidfd_send_signal(int(descriptor), signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Watchdog:
    """A tiny process that kills the given others as soon as this process is gone, however it went.

    It is for processes that this one did not start itself. It holds them by file descriptors, which mean these very
    processes for ever: should one end and its id be given to another program, that one is safe.
    """

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        descriptors = [descriptor for process in processes if (descriptor := open_process(process)) is not None]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GUARD, *map(str, descriptors)],
                cwd="/",
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
            )
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def dismiss(self) -> None:
        """End the guard without harm to anybody. Safe to call twice."""
        self._process.kill()
        with self._process:  # closes the pipe and waits for the end
            pass


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """Return what a new child runs between fork and exec, after its change of user (which would clear the setting).

    The C library is opened here, before the fork, because a forked child of a threaded process must not take locks.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the daemon died before the kernel knew of our wish
            os._exit(1)

    return prepare


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Look at the condition every few milliseconds; False when it has not come true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(tuning.POLL_SECONDS)
    return True


def tail(path: Path) -> str:
    """Return the end of a log file for an error message."""
    if not path.exists():
        return "it left no output"
    content = path.read_bytes()[-tuning.LAST_WORDS_BYTES :]
    return content.decode("utf-8", errors="replace").strip() or "it left no output"


def open_process(process: psutil.Process) -> int | None:
    """Return a file descriptor that means this very process and no later one of its id; None if it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if process.is_running():  # looks at when it began: the id was still its own when the descriptor was made
        return descriptor
    os.close(descriptor)
    return None


def find_leftover(pid_file: Path, *, folder: Path) -> psutil.Process | None:
    """Return the live process that an earlier daemon left behind, or None.

    A process id alone proves nothing, because the kernel gives it out again: the process must also work in `folder`.
    """
    try:
        process = psutil.Process(int(pid_file.read_bytes().split()[0]))
        works_here = Path(process.cwd()) == folder.resolve()
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if works_here and process.status() != psutil.STATUS_ZOMBIE else None


def end_leftover(process: psutil.Process, name: str, stop_signal: signal.Signals, *, grace_seconds: float) -> None:
    """Stop a process that an earlier daemon left behind, or raise ServiceTimeoutError."""
    descriptor = open_process(process)
    if descriptor is None:
        return
    _logger.warning("%s of an earlier run (process %s) is still alive and is stopped first", name, process.pid)
    try:
        signal.pidfd_send_signal(descriptor, stop_signal)
        ended, _, _ = select.select([descriptor], [], [], grace_seconds)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
    if not ended:
        raise ServiceTimeoutError(f"{name} of an earlier run", "stopped", grace_seconds)
