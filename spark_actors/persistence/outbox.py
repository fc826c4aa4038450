"""The outbox on Postgres: the turn adds events, the relay reads them again and again until they are settled.

Rows are read by position, but positions become visible out of order: a transaction that drew a lower one may commit
later. So the relay never reads "above the last position seen". It does keep a floor, below which nothing can come any
more, because the rows that were settled leave dead entries at the low end of the index that a read would have to
walk through. An INSERT locks the table before it draws positions, and the lock goes only after its rows can be seen.
So the floor moves in three steps:

1. Rows up to some position P were seen. Who may hold a lower one that cannot be seen yet holds the lock now: these
   transactions are the writers to wait for.
2. None of them holds the lock any more.
3. A read that begins after that sees all that they wrote: the first row that waits, or else P + 1, is the new floor.

A session that sits idle in a transaction holds up nothing, unless it has written to this very table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import OutboxBacklog, PendingMessage
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import SqlText, Statement
from spark_actors.persistence.errors import translated
from spark_actors.persistence.missed_events import PostgresMissedEvents
from spark_actors.persistence.parking import PostgresParkedEvents
from spark_actors.persistence.rows import message_columns, multirange, pending_message
from spark_actors.persistence.statements import load_for


def channel_of(context: str) -> str:
    """The channel on which hints of new rows are sent."""
    return f"spark_outbox_{context}"


def hint_statement(context: str) -> Statement:
    """Tells whoever listens that the context's outbox has new rows."""
    return Statement(sql.SQL("NOTIFY {}").format(sql.Identifier(channel_of(context))).as_bytes(None))


class PostgresOutbox:
    """Port `Outbox`. What is added goes to *queue*, which the unit of work commits."""

    def __init__(self, statements: Mapping[str, SqlText], queue: list[Statement]) -> None:
        self._sql, self._queue = statements, queue

    def add(self, messages: Sequence[Envelope]) -> None:
        if messages:
            as_text = [message.data.decode() for message in messages]
            self._queue.append(Statement(self._sql["add"], message_columns(messages) | {"data": as_text}))


@dataclass
class Floor:
    """How far down the relay has to read: nothing lies below `position`, now or later."""

    server: datetime | None = None
    """Which run of which server it holds for. After a failover or a restore, positions may come again."""
    position: int = 0
    seen: int = 0
    """The highest position ever read."""
    aim: int = 0
    """The value of `seen` when the writers were first looked at."""
    writers: frozenset[str] | None = None
    """Those that may hold positions up to `aim` which cannot be seen yet; None while no rise is under way."""

    @property
    def wants_writers(self) -> bool:
        """Whether to look now who writes."""
        return bool(self.writers) or (self.writers is None and self.seen >= self.position + tuning.RISE_DISTANCE)

    def note(self, writers: Collection[str]) -> None:
        """Call between two reads with the transactions that hold the lock of writers."""
        if self.writers is None:
            self.aim, self.writers = self.seen, frozenset(writers)
        else:
            self.writers &= frozenset(writers)

    def rise(self, waiting: Collection[int]) -> None:
        """Call after a read from the floor, with all positions that wait."""
        if self.writers is not None and not self.writers:
            self.position = max(self.position, min([self.aim + 1, *waiting]))
            self.writers = None
        self.seen = max([self.seen, *waiting])


class PostgresOutboxReader:
    """Port `OutboxReader` for one context. Its floor is a short cut: a new reader starts without and loses nothing."""

    def __init__(self, pool: AsyncConnectionPool, context: str, subscribers: Collection[str]) -> None:
        """*subscribers*: all that events of *context* may be for."""
        self._pool = pool
        self._subscribers = sorted(subscribers)
        self._sql = load_for("outbox", context)
        self._parking = PostgresParkedEvents(pool, context)
        self._missed = PostgresMissedEvents(pool, context)
        self._floor = Floor()
        self._kept_for: Collection[str] = ()

    async def pending(self, *, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        with translated():
            async with self._pool.connection() as connection:
                server, found = await self._read(connection, skip, limit)
                if server != self._floor.server:
                    self._floor = Floor(server)
                    server, found = await self._read(connection, skip, limit)
                self._floor.rise([*skip, *(message.position for message in found)])
                if self._floor.wants_writers:
                    self._floor.note(await self._writers(connection))
        return found

    async def _read(
        self, connection: AsyncConnection, skip: Collection[int], limit: int
    ) -> tuple[datetime, list[PendingMessage]]:
        params = {
            "floor": self._floor.position,
            "skip": multirange(skip),
            "limit": limit,
            "subscribers": self._subscribers,
        }
        rows = await (await connection.execute(self._sql["pending"], params, binary=True)).fetchall()
        self._kept_for = frozenset(rows[0][1])
        return rows[0][0], [pending_message(row[2:]) for row in rows if row[2] is not None]

    async def _writers(self, connection: AsyncConnection) -> list[str]:
        return [row[0] for row in await (await connection.execute(self._sql["writers"])).fetchall()]

    @property
    def kept_for(self) -> Collection[str]:
        return self._kept_for

    async def settle(self, positions: Sequence[int]) -> None:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(self._sql["settle"], {"positions": list(positions)})

    @property
    def parking(self) -> PostgresParkedEvents:
        return self._parking

    @property
    def missed(self) -> PostgresMissedEvents:
        return self._missed

    async def backlog(self) -> OutboxBacklog:
        with translated():
            async with self._pool.connection() as connection:
                params = {"floor": self._floor.position, "limit": tuning.COUNT_LIMIT}
                rows = await (await connection.execute(self._sql["backlog"], params)).fetchall()
        pending, oldest, now = rows[0]
        return OutboxBacklog(pending, max(timedelta(), now - oldest) if oldest else timedelta())
