"""The one folder in which a daemon keeps all that it owns: its layout, its secrets, its lock and its card.

<data-dir>/            0700; as it is, if somebody else owns it (a volume)
    daemon.lock        held while a daemon runs, holds its process id
    daemon.json        how to reach the running daemon (0600)
    secrets/           generated passwords and tokens (0600 each)
    logs/              log lines of all processes
    postgres/ nats/ ray/ web/   a folder per built-in service; postgres/ is 0711 for root, whose server is another user

Its path may hold anything but control characters and bytes that are no UTF-8; sockets, and whatever else must have a
short and plain path, then lie in a folder outside.
"""

import fcntl
import json
import os
import re
import secrets
import stat
import tempfile
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spark_actors.embedded.errors import DataDirLockedError, DataDirUnusableError, EmbeddedServiceError

PRIVATE = 0o700
PASSABLE = 0o711  # others may pass through to what they are allowed to open, and list nothing
_PLAIN = re.compile(r"[A-Za-z0-9/._+=-]*")  # what means nothing to any program, in a path or list of paths
SECRET_FILE = 0o600
SECRET_BYTES = 32
SUPERUSER_UID = 0
DAEMON_LOG, NODE_LOG = "daemon.jsonl", "node.jsonl"
"""What is logged on the head, or where there is no other machine, and on a node."""


@dataclass(frozen=True)
class DaemonCard:
    """How to reach a running daemon: the content of `daemon.json`. It holds secrets."""

    pid: int
    nats_url: str
    nats_token: str
    metrics_url: str
    started_at: str  # ISO 8601 with offset
    version: str
    dsn: dict[str, str] = field(default_factory=dict)  # by context
    web_url: str = ""  # where the pages are; empty if there are none
    operator_token: str = ""  # what an operator shows to the daemon; renewed long before it expires


class DataDir:
    """The data folder at `path`. The constructor touches nothing; `create` makes the folders."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock_descriptor: int | None = None

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def ray(self) -> Path:
        return self.path / "ray"

    @property
    def daemon_card(self) -> Path:
        return self.path / "daemon.json"

    def create(self) -> None:
        """Make the folders that are missing and take away what others may do with the folder, if it is ours.

        Raises DataDirUnusableError.
        """
        _refuse_characters(self.path)
        try:
            self._make_folders()
        except OSError as error:
            remedy = f"let user {os.geteuid()} own it, or choose another --data-dir"
            reason = f"{error.strerror} ({error.filename!a}): {remedy}"
            raise DataDirUnusableError(self.path, reason) from error

    def _make_folders(self) -> None:
        self.path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        if self.path.stat().st_uid == os.geteuid():
            self.path.chmod(PRIVATE)
        for folder in (self.secrets, self.logs, self.nats, self.ray):
            make_private_folder(folder)
        outer = PASSABLE if os.geteuid() == SUPERUSER_UID else PRIVATE
        self.postgres.mkdir(mode=outer, exist_ok=True)
        self.postgres.chmod(outer)

    def lock(self) -> None:
        """Take the folder for this process until `unlock` or its end, however violent. Taking it twice does nothing.

        Raises DataDirLockedError, with the holder's process id, when another process has it.
        """
        if self._lock_descriptor is not None:
            return
        descriptor = os.open(self.path / "daemon.lock", os.O_RDWR | os.O_CREAT, SECRET_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).strip()
            os.close(descriptor)
            raise DataDirLockedError(self.path, int(holder) if holder.isdigit() else 0) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._lock_descriptor = descriptor

    def holder(self) -> int:
        """The process that has the folder, or had it when it was killed; 0 if there is none."""
        try:
            text = (self.path / "daemon.lock").read_text("ascii")
        except OSError:
            return 0
        return int(text) if text.isdigit() else 0

    def unlock(self) -> None:
        """Let the folder go. Safe when it is not held."""
        if self._lock_descriptor is not None:
            os.ftruncate(self._lock_descriptor, 0)
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def secret(self, name: str) -> str:
        """Return the secret of this name, made up on first use and the same ever after."""
        path = self.secret_path(name)
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            write_private_file(path, secrets.token_hex(SECRET_BYTES))
        return path.read_text().strip()

    def secret_path(self, name: str) -> Path:
        """Return where the secret of this name is kept, whether it exists yet or not."""
        return self.secrets / name

    def write_daemon_card(self, card: DaemonCard) -> None:
        """Say how to reach this daemon; readers see the whole card or none."""
        write_private_file(self.daemon_card, json.dumps(asdict(card), indent=2) + "\n")

    def read_daemon_card(self) -> DaemonCard | None:
        """Return the card of the daemon that works here, or None. After a crash the card may be a dead daemon's."""
        try:
            return DaemonCard(**json.loads(self.daemon_card.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise EmbeddedServiceError(f"{self.daemon_card} is not a daemon's card: {error}") from error

    def remove_daemon_card(self) -> None:
        """Take the card away. Safe when there is none."""
        self.daemon_card.unlink(missing_ok=True)

    def short_folder(self, service: Path, longest: int) -> Path:
        """Return a private folder for Unix sockets whose path has at most `longest` bytes, and plain characters.

        It is `run` inside the service's folder when that is so; otherwise a folder of a random name under the
        system's temporary folder, remembered in the service's folder so that the next start finds it again.
        """
        inside = service / "run"
        if len(os.fsencode(inside)) <= longest and is_plain(inside):
            make_private_folder(inside)
            return inside
        note = service / "run.path"
        remembered = Path(note.read_text("utf-8")) if note.exists() else None
        if remembered is not None and _is_private_folder(remembered):
            return remembered
        outside = Path(tempfile.mkdtemp(prefix="spark-", dir="/tmp"))
        write_private_file(note, str(outside))
        return outside


def is_plain(path: Path) -> bool:
    """Whether no program takes a character of this path for something else: a separator, a quote, an escape."""
    return _PLAIN.fullmatch(str(path)) is not None


def _refuse_characters(path: Path) -> None:
    kinds = {"Cc": "a control character", "Cs": "a byte that is no text here (is LC_ALL a UTF-8 locale?)"}
    for character in str(path):
        if kind := kinds.get(unicodedata.category(character)):
            raise DataDirUnusableError(path, f"{character!a} in its path is {kind}: choose another --data-dir")


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter; an existing one loses what others may do."""
    path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    path.chmod(PRIVATE)


def write_private_file(path: Path, content: str | bytes) -> None:
    """Replace the file in one step, readable for its owner alone from its first byte on."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _is_private_folder(path: Path) -> bool:
    """Whether it is a real folder that nobody but this user (or, for root, a service of root's) may enter."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    owned = os.geteuid() in (found.st_uid, SUPERUSER_UID)
    return stat.S_ISDIR(found.st_mode) and owned and stat.S_IMODE(found.st_mode) == PRIVATE
