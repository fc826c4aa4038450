"""The outbox on Postgres: the turn adds events, the relay reads them again and again until they are settled.

Rows are read by position, but positions become visible out of order: a transaction that drew a lower one may commit
later. So the relay never reads "above the last position seen". It does keep a floor, below which nothing can come any
more, because the rows that were settled leave dead entries at the low end of the index that a read would have to
walk through. The floor moves in two steps:

1. Rows up to some position P were seen. Every transaction that holds a position up to P has a transaction id by now
   (see the column's default), so an id drawn now, the fence, is above all of theirs.
2. A later read says that no transaction below the fence is open any more. Then it has seen all that they wrote, and
   the first row that waits, or else P + 1, is the new floor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

from domain.shared.ports import OutgoingMessage
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import OutboxBacklog, PendingMessage
from spark_actors.persistence.connections import Query, Row, Statement
from spark_actors.persistence.errors import translated
from spark_actors.persistence.parking import PostgresParkedEvents
from spark_actors.persistence.statements import load_for

COUNT_LIMIT = 100_000
"""Rows at which counting the backlog stops."""
FENCE_DISTANCE = 1_000
"""How many positions are worth a new fence, which costs a transaction id."""


def channel_of(context: str) -> str:
    """The channel on which hints of new rows are sent."""
    return f"spark_outbox_{context}"


def hint_statement(context: str) -> Statement:
    """Tells whoever listens that the context's outbox has new rows."""
    return Statement(sql.SQL("NOTIFY {}").format(sql.Identifier(channel_of(context))).as_bytes(None))


def multirange(positions: Collection[int]) -> str:
    """The positions as an int8multirange: what is in hand lies close together, so a few ranges say it all.

    Postgres would compare each row with every element of an array.
    """
    ranges: list[list[int]] = []
    for position in sorted(positions):
        if ranges and position == ranges[-1][1]:
            ranges[-1][1] += 1
        else:
            ranges.append([position, position + 1])
    return "{" + ",".join(f"[{first},{end})" for first, end in ranges) + "}"


class PostgresOutbox:
    """Port `Outbox`. What is added goes to *queue*, which the unit of work commits."""

    def __init__(self, statements: Mapping[str, Query], queue: list[Statement]) -> None:
        self._sql, self._queue = statements, queue

    def add(self, messages: Sequence[OutgoingMessage]) -> None:
        if messages:
            self._queue.append(Statement(self._sql["add"], _columns(messages)))


@dataclass
class Floor:
    """How far down the relay has to read: nothing lies below `position`, now or later."""

    server: datetime | None = None
    """Which run of which server it holds for. After a failover or a restore, positions may come again."""
    position: int = 0
    seen: int = 0
    """The highest position ever read."""
    fenced: int = 0
    """The value of `seen` when the fence was drawn."""
    fence: int | None = None
    """A transaction id above those of all who hold positions up to `fenced`; None while none is needed."""

    @property
    def wants_fence(self) -> bool:
        return self.fence is None and self.seen >= self.position + FENCE_DISTANCE

    def draw_fence(self, transaction_id: int) -> None:
        """Call with a transaction id drawn after the last read."""
        self.fence, self.fenced = transaction_id, self.seen

    def rise(self, horizon: int, waiting: Collection[int]) -> None:
        """Call after a read from the floor: with the lowest transaction id open then, and all positions that wait."""
        if self.fence is not None and horizon >= self.fence:
            self.position = max(self.position, min([self.fenced + 1, *waiting]))
            self.fence = None
        self.seen = max([self.seen, *waiting])


class PostgresOutboxReader:
    """Port `OutboxReader` for one context. Its floor is a short cut: a new reader starts without and loses nothing."""

    def __init__(self, pool: AsyncConnectionPool, context: str) -> None:
        self._pool = pool
        self._sql = load_for("outbox", context)
        self._parking = PostgresParkedEvents(pool, context)
        self._floor = Floor()

    async def pending(self, *, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        with translated():
            async with self._pool.connection() as connection:
                horizon, server, found = await self._read(connection, skip, limit)
                if server != self._floor.server:
                    self._floor = Floor(server)
                    horizon, server, found = await self._read(connection, skip, limit)
                self._floor.rise(horizon, [*skip, *(message.position for message in found)])
                if self._floor.wants_fence:
                    self._floor.draw_fence(await self._draw(connection))
        return found

    async def _read(
        self, connection: AsyncConnection, skip: Collection[int], limit: int
    ) -> tuple[int, datetime, list[PendingMessage]]:
        params = {"floor": self._floor.position, "skip": multirange(skip), "limit": limit}
        rows = await (await connection.execute(self._sql["pending"], params, binary=True)).fetchall()
        horizon, server = rows[0][:2]
        return horizon, server, [_pending(row[2:]) for row in rows if row[2] is not None]

    async def _draw(self, connection: AsyncConnection) -> int:
        rows = await (await connection.execute(self._sql["fence"])).fetchall()
        return int(rows[0][0])

    async def settle(self, positions: Sequence[int]) -> None:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(self._sql["settle"], {"positions": list(positions)})

    @property
    def parking(self) -> PostgresParkedEvents:
        return self._parking

    async def backlog(self) -> OutboxBacklog:
        with translated():
            async with self._pool.connection() as connection:
                params = {"floor": self._floor.position, "limit": COUNT_LIMIT}
                rows = await (await connection.execute(self._sql["backlog"], params)).fetchall()
        pending, oldest, now = rows[0]
        return OutboxBacklog(pending, max(timedelta(), now - oldest) if oldest else timedelta())


_COLUMNS = (
    *("message_ids", "names", "versions", "keys", "sequences", "data"),
    *("correlation_ids", "causation_ids", "occurred_at"),
)
"""The statement's names for the fields of an OutgoingMessage, in their order."""


def _columns(messages: Sequence[OutgoingMessage]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = dict(zip(_COLUMNS, map(list, zip(*messages, strict=True)), strict=True))
    columns["data"] = [message.data.decode() for message in messages]
    return columns


def _pending(row: Row) -> PendingMessage:
    position, message_id, name, version, key, data, correlation_id, causation_id, occurred_at, sequence = row
    envelope = Envelope(
        message_id, name, version, key, data.encode(), correlation_id, causation_id, occurred_at, sequence
    )
    return PendingMessage(position, envelope)
