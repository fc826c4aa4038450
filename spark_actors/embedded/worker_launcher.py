"""What the raylet starts to have a worker: it asks the fork server of its job for one, and ends.

If there is none it becomes the fork server, which makes the worker. Where an environment of its own is to be set up for
the worker (that of another release) all is left to Ray. A script by itself, which imports next to nothing.
"""

import fcntl
import json
import os
import socket
import sys

JOB = "RAY_JOB_ID"
SOCKET, LOCK = "fork-{job}", "lock-{job}"
"""Beside the raylet's socket. Each job has a fork server of its own: Ray reads which it is when it is imported."""
PATIENCE_SECONDS = 40.0
"""The fork server may still be importing. Not longer than Ray waits for a worker that it has started, a minute."""
WAITING = 128
"""So many may wait for it. Not lower than the actors that a node starts at once: who is turned away becomes a worker by
itself."""
RAYLET_OPTION = "--raylet-name="
MODULES_OPTION = "--worker-preload-modules="
ENVIRONMENT_OPTION = "--serialized-runtime-env-context="
LANGUAGE_OPTION = "--language="
SETUP_WORKER = "setup_worker.py"
"""Ray's script for workers with an environment of their own, beside that for workers."""


def main(worker: str, options: list[str]) -> None:
    """*worker*: the path of Ray's script for workers; *options*: what the raylet says to it."""
    if any(option.startswith(ENVIRONMENT_OPTION) for option in options):
        become(os.path.join(os.path.dirname(worker), SETUP_WORKER), worker, *options)
    argv = [worker, *(option for option in options if not option.startswith(LANGUAGE_OPTION))]
    try:
        if is_made(argv, connected(os.path.dirname(value(RAYLET_OPTION, argv)), argv)):
            return
    except OSError as error:  # it is overrun, was killed just now, or has no room for its socket
        sys.stderr.write(f"the fork server cannot be asked, a worker starts by itself: {error}\n")
    become(*argv)


def connected(folder: str, argv: list[str]) -> socket.socket:
    """Reach the fork server. Becomes it if there is none. Raises OSError."""
    job = os.environ[JOB]
    path = os.path.join(folder, SOCKET.format(job=job))
    with open(os.path.join(folder, LOCK.format(job=job)), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = socket.socket(socket.AF_UNIX)
        server.settimeout(PATIENCE_SECONDS)
        try:
            server.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            listener = listening(path)
            module = ("-P", "-m", "spark_actors.embedded.fork_server")
            become(*module, str(listener.fileno()), value(MODULES_OPTION, argv), *argv)
    return server


def listening(path: str) -> socket.socket:
    if os.path.exists(path):  # of one that has ended
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(WAITING)
    listener.set_inheritable(True)
    return listener


def is_made(argv: list[str], server: socket.socket) -> bool:
    """Whether the fork server has made a process that runs *argv* as this one would. Raises OSError."""
    wanted = {"argv": argv, "environment": dict(os.environ), "folder": os.getcwd()}
    asked = json.dumps(wanted).encode()
    with server:
        sent = socket.send_fds(server, [asked], [0, 1, 2])
        server.sendall(asked[sent:])
        server.shutdown(socket.SHUT_WR)
        return bool(server.recv(64))


def value(option: str, argv: list[str]) -> str:
    """What is said with this option; empty if it is not said."""
    return next((each.removeprefix(option) for each in argv if each.startswith(option)), "")


def become(*arguments: str) -> None:
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
