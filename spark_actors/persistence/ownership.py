"""The owner's lock: one daemon at a time works on a deployment's tables.

It is an advisory lock of a session that lives as long as the daemon, in each of its databases. Postgres gives it back
when the session ends, however the daemon ended; so nothing is left to be cleaned up, and no clock decides. A pooler in
transaction mode knows no sessions: the DSNs must be those on which LISTEN works.

The lock spares two daemons from doing everything twice. Correctness does not rest on it: versions and the inbox do.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable
from hashlib import sha256
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from spark_actors.kernel.errors import SparkError, StorageUnavailableError
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import conninfo
from spark_actors.persistence.errors import translate

_LOCK = (0x5350524B, 0x4F574E52)
_SESSION = (
    "SET idle_session_timeout = 0",
    # The server notices within ten seconds that this machine is gone, and gives the lock to its successor.
    "SET tcp_keepalives_idle = 4",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
)
_HOLDER = """
    SELECT application_name,
        coalesce(to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'unknown')
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND objsubid = 2 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_logger = logging.getLogger(__name__)


class OwnedElsewhereError(SparkError):
    """Another daemon works on these tables."""

    def __init__(self, database: str, holder: str, since: str) -> None:
        super().__init__(database, holder, since)
        self.database, self.holder, self.since = database, holder, since

    def __str__(self) -> str:
        return (
            f"the tables in {self.database} belong to another daemon ({self.holder}, since {self.since}): "
            "stop it first, or give this one a database of its own"
        )


def place_of(dsn: str) -> str:
    """Where a DSN leads, without user and password: the same for every daemon that is given this database."""
    given = conninfo_to_dict(dsn)
    host = given.get("host") or given.get("hostaddr") or "localhost"
    return f"{host}:{given.get('port') or 5432}/{given.get('dbname') or given.get('user') or 'postgres'}"


def deployment_id(dsn: str) -> str:
    """A short name for all daemons that ever work on these tables."""
    return sha256(place_of(dsn).encode()).hexdigest()[:12]


class OwnerLock:
    """The lock in every database of a deployment. `take` it, then `watch` it; `release` is safe at any time.

    A lost session (the server was restarted, the network broke) is made anew as soon as that is possible. Should
    another daemon have the lock by then, this one has lost it for good: see `lost`.
    """

    def __init__(self, dsns: Iterable[str]) -> None:
        self._sessions = [_Session(dsn) for dsn in sorted(set(dsns))]
        self._ended = Event()
        self._watcher: Thread | None = None
        self.lost: OwnedElsewhereError | None = None
        """Who works on the tables now instead of us; None as long as nobody does."""
        self.problem: str | None = None
        """Why it cannot be said just now that the tables are ours; None if they are."""

    def take(self, *, patience_seconds: float = tuning.OWNER_PATIENCE_SECONDS) -> None:
        """Raises OwnedElsewhereError if another daemon keeps it for so long, StorageUnavailableError if one is away."""
        deadline = time.monotonic() + patience_seconds
        for session in self._sessions:
            while holder := session.take():
                if time.monotonic() > deadline:
                    self.release()
                    raise _refusal(session, holder)
                time.sleep(tuning.OWNER_RETRY_SECONDS)

    def watch(self) -> None:
        """Look after it from now on, in a thread."""
        self._watcher = Thread(target=self._watch, name="owner's lock", daemon=True)
        self._watcher.start()

    def release(self) -> None:
        """End the sessions, and with them the lock."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join(timeout=tuning.OWNER_LOOK_SECONDS)
        for session in self._sessions:
            session.close()

    def _watch(self) -> None:
        while not self._ended.wait(tuning.OWNER_LOOK_SECONDS) and self.lost is None:
            self.problem = self._look()

    def _look(self) -> str | None:
        for session in self._sessions:
            try:
                if session.is_held() or not (holder := session.take()):
                    continue
                if holder.name != session.name:
                    self.lost = _refusal(session, holder)
                    _logger.error("the owner's lock is lost: %s", self.lost)
                    return str(self.lost)
                return f"the owner's lock in {session.place} is still kept by the session that was lost"
            except StorageUnavailableError as error:
                return f"the owner's lock in {session.place} is lost: {error}"
        return None


class _Holder(NamedTuple):
    """The session that has the lock."""

    name: str
    since: str


class _Session:
    """The lock in one database."""

    def __init__(self, dsn: str) -> None:
        self.place = place_of(dsn)
        # 63 characters is what Postgres keeps of it.
        self.name = f"{uuid4().hex[:8]} spark owner, process {os.getpid()} on {socket.gethostname()}"[:63]
        self._dsn = make_conninfo(conninfo(dsn), application_name=self.name)
        self._connection: psycopg.Connection | None = None

    def take(self) -> _Holder | None:
        """Make the session if there is none, and take the lock; gives who has it if we cannot have it."""
        try:
            connection = self._connected()
            row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK).fetchone()
            if row and row[0]:
                return None
            found = connection.execute(_HOLDER, _LOCK).fetchone()
        except psycopg.Error as error:
            self.close()
            raise translate(error) from error
        self.close()
        return _Holder(*found) if found else _Holder("somebody who has gone by now", "unknown")

    def is_held(self) -> bool:
        """Whether the session that took it lives, on a server that can be written to."""
        if self._connection is None:
            return False
        try:
            row = self._connection.execute("SELECT pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            row = None
        if row == (False,):
            return True
        self.close()
        return False

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            connection = psycopg.connect(self._dsn, autocommit=True)
            for setting in _SESSION:
                connection.execute(setting)
            self._connection = connection
        return self._connection


def _refusal(session: _Session, holder: _Holder) -> OwnedElsewhereError:
    return OwnedElsewhereError(session.place, holder.name.rpartition("spark owner, ")[2], holder.since)
