"""The process that serves the web pages, beside the daemon: a bug in a page, or many who look, cannot hold that up.

The daemon holds the listening socket and lends it: its address is known at once and stays, and who comes while the
process is started again waits for it. It knows where the broker is from a file that nobody else can read, and nothing
else of what the daemon knows: no database, no key of tokens.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from spark_actors.embedded import tuning
from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.data_dir import DataDir, make_private_folder, write_private_file
from spark_actors.embedded.errors import AddressUnusableError, EmbeddedServiceError
from spark_actors.embedded.processes import ChildProcess, Program, end_leftover, find_leftover, require_main_thread

SERVICE = "web"
MODULE = "spark_actors.web"
"""What the process runs: it is called with the folder, and the descriptor of the socket."""
OPTIONS_FILE, BROKER_FILE, PID_FILE = "options.json", "broker.json", "web.pid"


class EmbeddedWeb:
    """The web process of the data folder, on *host* and *port* (0: a free one; so it is if that one is taken).

    `launch` belongs to the main thread. All are safe to call twice.
    """

    def __init__(self, data_dir: DataDir, host: str, port: int, options: Mapping[str, object]) -> None:
        """*options*: what the process is told, as JSON takes it. No secrets."""
        self._data_dir = data_dir
        self._folder = data_dir.path / SERVICE
        self._host, self._wanted_port = host, port
        self._options = options
        self._socket: socket.socket | None = None
        self._process: ChildProcess | None = None

    def launch(self) -> None:
        """Listen, and start the process; do not wait for it. Raises AddressUnusableError."""
        if self._process is not None:
            return
        require_main_thread(SERVICE)
        self._data_dir.create()
        make_private_folder(self._folder)
        leftover = find_leftover(self._folder / PID_FILE, folder=self._folder)
        if leftover is not None:
            end_leftover(leftover, SERVICE, signal.SIGKILL, grace_seconds=tuning.WEB_LEFTOVER_SECONDS)
        for name in (BROKER_FILE, PID_FILE):
            (self._folder / name).unlink(missing_ok=True)
        self._socket = listen(self._host, self._wanted_port)
        write_private_file(self._folder / OPTIONS_FILE, json.dumps({**self._options, "port": self.port}))
        self._process = ChildProcess(self._command())
        self._process.launch()

    def tell_broker(self, url: str, token: str) -> None:
        """Where the broker is, and what it wants to be shown."""
        write_private_file(self._folder / BROKER_FILE, json.dumps({"url": url, "token": token}))

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before it was launched and after it was stopped."""
        return int(self._socket.getsockname()[1]) if self._socket else 0

    @property
    def url(self) -> str:
        """Where people find it on this machine, without a slash at the end."""
        return f"http://[{self._host}]:{self.port}" if ":" in self._host else f"http://{self._host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it was launched and has ended by itself."""
        return self._process is not None and self._process.has_ended

    @property
    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            said = (self._folder / PID_FILE).read_text("ascii")
        except FileNotFoundError:
            return False
        return not self.has_ended and said == str(self.pid)

    def is_choked(self) -> bool:
        """Never: it writes nothing."""
        return False

    def revive(self) -> None:
        """Launch it once more at the same address; do not wait for it."""
        if self._process is not None:
            self._process.launch()

    def last_words(self) -> str:
        """Why it has ended, as far as it says."""
        return self._process.last_words() if self._process else ""

    def stop(self) -> None:
        """Say farewell to who looks, and stop. Safe before launch and after stop."""
        if self._process is not None:
            self._process.stop(grace_seconds=tuning.WEB_STOP_SECONDS)
            self._process = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _command(self) -> Program:
        if self._socket is None:
            raise EmbeddedServiceError(f"{SERVICE} has no address yet")
        descriptor = self._socket.fileno()
        return Program(
            name=SERVICE,
            arguments=[sys.executable, "-m", MODULE, str(self._folder), str(descriptor)],
            folder=self._folder,
            output=self._folder / "startup.log",
            environment={"PYTHONPATH": os.pathsep.join(_absolute(entry) for entry in sys.path)},
            death_signal=signal.SIGKILL,  # there is nothing to save, and the next daemon wants the port
            descriptors=(descriptor,),
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, or on a free port if that one is taken (or 0). Raises AddressUnusableError."""
    try:
        return _bound(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            reason = f"no web pages can be served there ({error.strerror}): choose another web.host or web.port"
            raise AddressUnusableError(f"{host}:{port}", reason) from error
    return _bound(host, ANY_PORT)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=tuning.WEB_WAITING_CONNECTIONS)


def _absolute(entry: str) -> str:
    """What is imported from the working directory is so there, too."""
    return str(Path(entry).absolute())
