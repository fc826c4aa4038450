"""Connections to Postgres: one kept by an AggregateActor for its turns, a small pool for everything asynchronous.

All are in autocommit mode, so nothing on them lives longer than a statement or an explicit transaction: PgBouncer in
transaction mode may stand between. With an old PgBouncer, switch prepared statements off (`prepare_threshold=None`).

Every session has limits that the server keeps: no lock, statement or idle transaction of ours lasts for ever, and the
backend of a client that is gone ends by itself. They are asked for when the session begins. A pooler refuses such
wishes or passes over them, because its sessions are many clients'; then each transaction of a turn carries them, and
for the rest the pooler's own time-outs hold.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self, TypeAlias, TypeVar

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from spark_actors.persistence import tuning
from spark_actors.persistence.arrays import ArrayDumper
from spark_actors.persistence.errors import translated

SqlText: TypeAlias = bytes
Row: TypeAlias = tuple[Any, ...]
C = TypeVar("C", bound=psycopg.Connection[Any])
Waiting: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Makes what is entered for as long as the server has been asked and has not answered."""

_LIVELINESS: Mapping[str, int] = MappingProxyType(
    {
        "connect_timeout": 5,  # seconds
        "keepalives_idle": 10,  # seconds
        "keepalives_interval": 3,  # seconds
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,  # milliseconds
    }
)
"""A server that vanished is noticed within about twenty seconds. The DSN wins over these."""

_WATCHFULNESS: Mapping[str, int] = MappingProxyType(
    {
        "client_connection_check_interval": 2_000,  # milliseconds; while a statement runs or waits
        "tcp_keepalives_idle": 4,  # seconds; while none does
        "tcp_keepalives_interval": 2,  # seconds
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # milliseconds
    }
)
"""The other way round: the server notices within ten seconds that we have vanished, and lets our locks go."""

READ_ONLY = "25006"
"""The server was a primary and is none any more: only a new connection finds the one that is."""
_OUTDATED = ("26000", "42P05", "0A000", READ_ONLY)
"""The session is not what this side believes (it lacks a prepared statement, say): only a new one is."""
_READ_ONLY_SIGNS = ("in_hot_standby", "default_transaction_read_only")
"""The server tells these unasked when they change."""
_POOLERS_REFUSE = ("unsupported startup parameter", "support command-line options")
"""PgBouncer's words, and those of Amazon's RDS Proxy."""


@dataclass(frozen=True)
class Limits:
    """How long the server lets a session wait and work, in seconds; 0: without end."""

    lock: float
    """For each lock, of a row or of a table."""
    statement: float
    """For each statement. A COMMIT that waits for its disk or replica is none."""
    idle: float
    """Between the statements of a transaction: it holds locks meanwhile."""

    @property
    def settings(self) -> dict[str, int]:
        """As Postgres names them, in milliseconds."""
        return {
            "lock_timeout": round(self.lock * 1000),
            "statement_timeout": round(self.statement * 1000),
            "idle_in_transaction_session_timeout": round(self.idle * 1000),
        }


TURN = Limits(lock=0.25, statement=30, idle=30)
"""A lock that others hold for longer makes one key wait (see AggregateActor); its neighbours wait so long once."""
ORDINARY = Limits(lock=5, statement=60, idle=60)
DESK = Limits(lock=2, statement=5, idle=10)
"""For what operators look at over the broker: somebody waits for the answer, and asks again."""
AUDIT = Limits(lock=5, statement=120, idle=600)
"""For an audit that somebody has asked for over the broker."""
PATIENT = Limits(lock=5, statement=3_600, idle=3_600)
"""For what reads everything, in snapshots that wait for each other."""


@dataclass(frozen=True)
class Statement:
    """One statement to send, with its parameters by name."""

    query: SqlText
    params: Mapping[str, object] = field(default_factory=dict)


class DatabaseSession(AsyncConnection):
    """A connection of a pool. It asks for the limits, and does without where a pooler stands between."""

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        try:
            return await super().connect(with_limits(conninfo, ORDINARY), **options)
        except psycopg.OperationalError as error:
            if not _is_pooler(error):
                raise
        return await super().connect(conninfo, **options)


class Pool(AsyncConnectionPool):
    """Lends sessions that are as new: one that turns out to be read-only is closed when it comes back.

    So is that of a caller who was cancelled. It may be in the middle of a pipeline, whose end psycopg then does not
    wait for: the next caller would work in the transaction that was left open, and lose what the server has confirmed.
    """

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[AsyncConnection]:
        async with super().connection(timeout) as session:
            try:
                yield session
            except (psycopg.errors.ReadOnlySqlTransaction, asyncio.CancelledError):
                await session.close()
                raise
            finally:
                if is_read_only(session):
                    await session.close()


def make_pool(dsn: str, *, max_size: int = tuning.POOL_SIZE, prepare_threshold: int | None = 5) -> Pool:
    """A pool for the asynchronous adapters, closed: open it with `async with`, inside the event loop that uses it.

    Borrowing waits at most five seconds for a connection, then raises what becomes StorageUnavailableError.
    """
    return Pool(
        conninfo(dsn),
        connection_class=DatabaseSession,
        kwargs={"autocommit": True, "prepare_threshold": prepare_threshold},
        configure=_adapt,
        min_size=1,
        max_size=max_size,
        timeout=5.0,
        open=False,
        name="spark",
        reconnect_timeout=tuning.RECONNECT_SECONDS,
    )


async def _adapt(connection: AsyncConnection) -> None:
    connection.adapters.register_dumper(list, ArrayDumper)


def connect(dsn: str, limits: Limits = ORDINARY, **options: Any) -> psycopg.Connection:
    """A connection of one's own that keeps the limits, unless a pooler stands between. Raises psycopg.Error."""
    return connected_within(limits, psycopg.connect, conninfo(dsn), **options)


def connected_within(limits: Limits, connect: Callable[..., C], wanted: str, **options: Any) -> C:
    """What *connect* gives for *wanted*, which `conninfo` gave, with the limits, unless a pooler stands between."""
    try:
        return connect(with_limits(wanted, limits), **options)
    except psycopg.OperationalError as error:
        if not _is_pooler(error):
            raise
    return connect(wanted, **options)


def conninfo(dsn: str) -> str:
    """The DSN with what it leaves open: how a dead server is noticed, a name, and a primary among several hosts."""
    given = conninfo_to_dict(dsn)
    # The process's number: pg_stat_activity and the server's log tell by it who is who, a zombie from its replacement.
    name = f"spark {os.getpid()}"
    wanted: dict[str, str | int] = {**_LIVELINESS, "application_name": name, "client_encoding": "utf8"}
    if "," in f"{given.get('host', '')}{given.get('hostaddr', '')}":
        wanted["target_session_attrs"] = "read-write"
    missing = {name: value for name, value in wanted.items() if name not in given}
    return make_conninfo(dsn, **missing)


def with_limits(wanted: str, limits: Limits) -> str:
    """What `conninfo` gave, with the wish for limits. What is asked for there already wins."""
    ours = " ".join(f"-c {name}={value}" for name, value in {**limits.settings, **_WATCHFULNESS}.items())
    theirs = conninfo_to_dict(wanted).get("options", "")
    return make_conninfo(wanted, options=f"{ours} {theirs}".strip())  # of what stands twice the last counts


def is_read_only(connection: psycopg.Connection | AsyncConnection) -> bool:
    """Whether the server has said that this session cannot write (any more); one that is closed has nothing to say."""
    return not connection.closed and any(connection.info.parameter_status(sign) == "on" for sign in _READ_ONLY_SIGNS)


def _is_pooler(error: psycopg.OperationalError) -> bool:
    return any(words in str(error) for words in _POOLERS_REFUSE)


def _for_each_transaction(limits: Limits) -> Statement:
    """Sets the limits until the transaction ends, where the session cannot have them."""
    wishes = [sql.SQL("set_config({}, {}, true)").format(name, f"{value}") for name, value in limits.settings.items()]
    return Statement(sql.SQL("SELECT {}").format(sql.SQL(", ").join(wishes)).as_bytes(None))


class TurnConnection:
    """The connection on which turns are committed: made when first needed, and anew after it broke. For one thread."""

    def __init__(self, dsn: str, *, prepare_threshold: int | None = 5, waiting: Waiting = nullcontext) -> None:
        self._dsn, self._prepare_threshold, self._waiting = dsn, prepare_threshold, waiting
        self._connection: psycopg.Connection | None = None
        self._limits: Statement | None = None
        """What each transaction begins with; None where the session has the limits already."""

    def fetch(self, statement: Statement) -> list[Row]:
        """The rows of one statement, in one round trip and a transaction of its own.

        Raises RowLockedError, StorageUnavailableError.
        """
        with translated(), self._waiting(), self._session() as connection:
            if not self._limits:
                return connection.execute(statement.query, statement.params).fetchall()
            with connection.pipeline(), connection.transaction():
                connection.execute(self._limits.query, self._limits.params)
                cursor = connection.execute(statement.query, statement.params)
            return cursor.fetchall()

    def transact(self, statements: Sequence[Statement], afterwards: Sequence[Statement] = ()) -> None:
        """Execute all in one transaction and one round trip; on any error nothing is stored.

        What comes *afterwards* follows the commit in the same round trip; the commit stands even if it fails.
        """
        with translated(), self._waiting(), self._session() as connection:
            work = _Work([self._limits, *statements] if self._limits else statements, afterwards)
            try:
                work.run(connection)
            except psycopg.Error as error:
                _give_up(connection, error)
                if not work.is_committed:
                    raise

    def close(self) -> None:
        """Close the connection, if there is one. The next use makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection]:
        """The connection, fit for the next transaction whatever becomes of this one."""
        connection = self._connected()
        try:
            yield connection
        except psycopg.Error as error:
            _give_up(connection, error)
            raise
        except BaseException:
            connection.close()  # half a transaction must not become part of the next one
            raise

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            made = connect(self._dsn, TURN, autocommit=True, prepare_threshold=self._prepare_threshold)
            made.adapters.register_dumper(list, ArrayDumper)
            self._limits = None if _keeps_limits(made) else _for_each_transaction(TURN)
            self._connection = made
        return self._connection


def _keeps_limits(connection: psycopg.Connection) -> bool:
    """Whether the session has a limit: a pooler may have passed over what was asked for."""
    row = connection.execute("SELECT current_setting('lock_timeout')").fetchone()
    return row is not None and row[0] != "0"


class _Work:
    """One run of a transaction through a pipeline."""

    def __init__(self, statements: Sequence[Statement], afterwards: Sequence[Statement]) -> None:
        self._statements, self._afterwards = statements, afterwards
        self._commit: psycopg.Cursor[Row] | None = None

    @property
    def is_committed(self) -> bool:
        """Whether the server is known to have committed."""
        return self._commit is not None and self._commit.statusmessage == "COMMIT"

    def run(self, connection: psycopg.Connection) -> None:
        """Send all and wait. Raises the first error that the server reports."""
        early: psycopg.Error | None = None
        try:
            with connection.pipeline():
                try:
                    self._send(connection)
                except psycopg.Error as error:  # from a statement sent before; leaving the block reads what remains
                    early = error
        except psycopg.Error as error:
            raise early or error from None
        if early is not None:
            raise early

    def _send(self, connection: psycopg.Connection) -> None:
        # After an error the server skips what follows in the pipeline, COMMIT included.
        connection.execute("BEGIN")
        for statement in self._statements:
            connection.execute(statement.query, statement.params)
        self._commit = connection.execute("COMMIT")
        for statement in self._afterwards:
            connection.execute(statement.query, statement.params)


def _give_up(connection: psycopg.Connection, error: psycopg.Error) -> None:
    """End a transaction that an error left open; a session that cannot do that, or is outdated, is closed."""
    try:
        if error.sqlstate in _OUTDATED:
            connection.close()
        elif connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.rollback()
    except psycopg.Error:
        connection.close()
