"""Makes the workers of a node, the processes in which actors live: copies of itself, which has all imported already.

A Python that begins from nothing needs a second of a core for the imports of an actor alone, and has its own copy of
all that they leave in memory; a copy of this process is there in milliseconds, and shares that memory. It is the first
worker that a raylet starts for a job (see `worker_launcher`): so Ray, which reads its environment once, at its import,
has read what holds for all workers of this job. Python's own `multiprocessing.forkserver` serves but the process that
has started it.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from ray._raylet import setproctitle  # type: ignore[attr-defined]  # made of C

from spark_actors.embedded import tuning
from spark_actors.embedded.errors import EmbeddedServiceError
from spark_actors.embedded.worker_launcher import become

WORKER = "ray._private.workers.default_worker"
RAYLET_PID = "RAY_RAYLET_PID"
STANDARD_STREAMS = (0, 1, 2)
TITLE = "ray::ForkServer"


class Wanted(msgspec.Struct):
    """A process as a launcher asks for it."""

    argv: list[str]
    """A Python script, and what is said to it."""
    environment: dict[str, str]
    folder: str
    streams: list[int] = []
    """Its standard streams, as descriptors of this process; empty: those of this process."""


def main(listener: socket.socket, modules: Sequence[str], argv: list[str]) -> None:
    """Make a worker that runs *argv*, then all that launchers ask for at *listener*, until the raylet has ended, or
    nobody who was made here has lived for a minute. Returns in each worker, too, when that has ended.

    *modules* are imported first. Without them, or with one that begins threads, it becomes that first worker itself, as
    each launcher then does that asks.
    """
    try:
        prepare(modules)
    except Exception:  # noqa: BLE001 - whatever a module raises, the actor that needs it shall say so
        traceback.print_exc()
        listener.close()  # else launchers would wait for an answer
        become(*argv)
    wanted: Wanted | None = Wanted(argv, dict(os.environ), os.getcwd())
    if os.fork() != 0:
        os.setpgid(0, os.getpgid(os.getppid()))  # the raylet ends a worker with its process group, which this was in
        setproctitle(TITLE)
        wanted = serve(listener)
    listener.close()
    if wanted:
        run(wanted)


def prepare(modules: Sequence[str]) -> None:
    """Import them. Raises EmbeddedServiceError if there are more threads then than this one: copies would lack them."""
    sys.path.append(os.getcwd())  # that of the daemon: an application that is not installed may lie there
    for module in (WORKER, *modules):
        importlib.import_module(module)
    if len(threads := os.listdir("/proc/self/task")) > 1:
        raise EmbeddedServiceError(f"one of {', '.join(modules)} begins threads: {len(threads)}, expected one")
    gc.collect()
    gc.freeze()  # what a collector touches in a copy is shared no more


def serve(listener: socket.socket) -> Wanted | None:
    """Make what launchers ask for. Returns in each new process, with what it is to be, and in the end: None."""
    signal.signal(signal.SIGCHLD, lambda *_: has_children())
    raylet = os.pidfd_open(int(os.environ[RAYLET_PID]))
    while True:
        ready, _, _ = select.select([listener.fileno(), raylet], [], [], tuning.FORK_IDLE_SECONDS)
        if raylet in ready or (not ready and not has_children()):
            return None
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            with connection:
                if wanted := made(connection):
                    return wanted


def has_children() -> bool:
    """Whether one that was made here lives. Takes note of those that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
        return True
    return False


def made(connection: socket.socket) -> Wanted | None:
    """Make a process for the launcher at the other end. Returns in it, with what it is to be, and here: None."""
    connection.settimeout(tuning.FORK_ASKED_SECONDS)
    try:
        wanted = received(connection)
    except (OSError, msgspec.MsgspecError):  # a launcher that was killed meanwhile
        return None
    pid = os.fork()
    if pid == 0:
        return wanted
    for stream in wanted.streams:
        os.close(stream)
    with suppress(OSError):  # killed now: Ray does not know a worker that it does not wait for any more
        connection.sendall(b"%d" % pid)
    return None


def received(connection: socket.socket) -> Wanted:
    first, streams, _, _ = socket.recv_fds(connection, tuning.FORK_READ_BYTES, len(STANDARD_STREAMS))
    parts = [first]
    while part := connection.recv(tuning.FORK_READ_BYTES):
        parts.append(part)
    wanted = msgspec.json.decode(b"".join(parts), type=Wanted)
    wanted.streams = list(streams)
    return wanted


def run(wanted: Wanted) -> None:
    """Run the script as if Python had been started with it, in a process group of its own, as a raylet starts it."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream, number in zip(wanted.streams, STANDARD_STREAMS, strict=False):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(wanted.environment)
    os.chdir(wanted.folder)
    sys.argv = wanted.argv
    runpy.run_path(wanted.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), list(filter(None, sys.argv[2].split(","))), sys.argv[3:])
