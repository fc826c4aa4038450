"""Missed events on Postgres: what leaves the outbox for a subscriber that is far behind waits in a table of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from spark_actors.messaging.ports import MissedSummary, PendingMessage
from spark_actors.persistence import tuning
from spark_actors.persistence.errors import translated
from spark_actors.persistence.rows import multirange, pending_message
from spark_actors.persistence.statements import load_for


class PostgresMissedEvents:
    """Port `MissedEvents` for the outbox of one context."""

    def __init__(self, pool: AsyncConnectionPool, context: str) -> None:
        self._pool = pool
        self._sql = load_for("missed_events", context)

    async def keep(self, subscriber: str, positions: Sequence[int]) -> None:
        async with self._connection() as connection:
            await connection.execute(self._sql["keep"], {"subscriber": subscriber, "positions": list(positions)})

    async def next(self, subscriber: str, *, floor: int, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        params = {"subscriber": subscriber, "floor": floor, "skip": multirange(skip), "limit": limit}
        async with self._connection() as connection:
            rows = await (await connection.execute(self._sql["next"], params, binary=True)).fetchall()
        return [pending_message(row, is_missed=True) for row in rows]

    async def forget(self, subscriber: str, positions: Sequence[int]) -> None:
        async with self._connection() as connection:
            await connection.execute(self._sql["forget"], {"subscriber": subscriber, "positions": list(positions)})

    async def summary(self) -> Mapping[str, MissedSummary]:
        summaries: dict[str, MissedSummary] = {}
        async with self._connection() as connection:
            subscribers = await (await connection.execute(self._sql["subscribers"])).fetchall()
        for (subscriber,) in subscribers:
            async with self._connection() as connection:
                params = {"subscriber": subscriber, "limit": tuning.COUNT_LIMIT}
                [(events, age)] = await (await connection.execute(self._sql["summary"], params)).fetchall()
            if events:
                summaries[subscriber] = MissedSummary(events, max(timedelta(), age or timedelta()))
        return summaries

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        with translated():
            async with self._pool.connection() as connection:
                yield connection
