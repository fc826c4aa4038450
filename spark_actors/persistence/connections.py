"""Connections to Postgres: one kept by an AggregateActor for its turns, a small pool for everything asynchronous.

All are in autocommit mode, so nothing on them lives longer than a statement or an explicit transaction: PgBouncer in
transaction mode may stand between. With an old PgBouncer, switch prepared statements off (`prepare_threshold=None`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from spark_actors.persistence.arrays import ArrayDumper
from spark_actors.persistence.errors import translated

Query: TypeAlias = bytes
Pool: TypeAlias = AsyncConnectionPool
Row: TypeAlias = tuple[Any, ...]
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


POOL_SIZE = 4
"""Connections in a pool at most."""
RECONNECT_SECONDS = 5.0
"""After this a pool stops trying by itself, ever more slowly; whoever borrows next makes it try at once."""
_PREPARED_GONE = ("26000", "42P05", "0A000")
"""A prepared statement is not what this side believes: only a new connection knows none."""


@dataclass(frozen=True)
class Statement:
    """One statement to send, with its parameters by name."""

    query: Query
    params: Mapping[str, object] = field(default_factory=dict)


def make_pool(dsn: str, *, max_size: int = POOL_SIZE, prepare_threshold: int | None = 5) -> AsyncConnectionPool:
    """A pool for the asynchronous adapters, closed: open it with `async with`, inside the event loop that uses it.

    Borrowing waits at most five seconds for a connection, then raises what becomes StorageUnavailableError.
    """
    options = {"autocommit": True, "prepare_threshold": prepare_threshold}
    return AsyncConnectionPool(
        conninfo(dsn),
        kwargs=options,
        configure=_adapt,
        min_size=1,
        max_size=max_size,
        timeout=5.0,
        open=False,
        name="spark",
        reconnect_timeout=RECONNECT_SECONDS,
    )


async def _adapt(connection: AsyncConnection) -> None:
    connection.adapters.register_dumper(list, ArrayDumper)


def conninfo(dsn: str) -> str:
    """The DSN with what it leaves open of the settings that notice a dead server, and with a name."""
    given = psycopg.conninfo.conninfo_to_dict(dsn)
    # The process's number: pg_stat_activity and the server's log tell by it who is who, a zombie from its replacement.
    wanted: dict[str, str | int] = {**_LIVELINESS, "application_name": f"spark {os.getpid()}"}
    missing = {name: value for name, value in wanted.items() if name not in given}
    return make_conninfo(dsn, **missing)


class TurnConnection:
    """The connection on which turns are committed: made when first needed, and anew after it broke. For one thread."""

    def __init__(self, dsn: str, *, prepare_threshold: int | None = 5, waiting: Waiting = nullcontext) -> None:
        self._dsn, self._prepare_threshold, self._waiting = dsn, prepare_threshold, waiting
        self._connection: psycopg.Connection | None = None

    def fetch(self, statement: Statement) -> list[Row]:
        """The rows of one statement, in one round trip and a transaction of its own."""
        with translated(), self._waiting():
            return self._connected().execute(statement.query, statement.params).fetchall()

    def transact(self, statements: Sequence[Statement], afterwards: Sequence[Statement] = ()) -> None:
        """Execute all in one transaction and one round trip; on any error nothing is stored.

        What comes *afterwards* follows the commit in the same round trip; the commit stands even if it fails.
        """
        with translated(), self._waiting():
            connection = self._connected()
            work = _Work(statements, afterwards)
            try:
                work.run(connection)
            except psycopg.Error as error:
                _reset(connection)
                if error.sqlstate in _PREPARED_GONE:
                    connection.close()
                if not work.is_committed:
                    raise
            except BaseException:
                connection.close()  # half a transaction must not become part of the next one
                raise

    def close(self) -> None:
        """Close the connection, if there is one. The next use makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                conninfo(self._dsn), autocommit=True, prepare_threshold=self._prepare_threshold
            )
            self._connection.adapters.register_dumper(list, ArrayDumper)
        return self._connection


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


def _reset(connection: psycopg.Connection) -> None:
    """End a transaction that an error left open; a connection that cannot do that is closed."""
    try:
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.rollback()
    except psycopg.Error:
        connection.close()
