"""Housekeeping of a context's tables: partitions of the inbox come and go, old sagas and dead letters are forgotten."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from psycopg_pool import AsyncConnectionPool

from spark_actors.kernel.errors import RowLockedError
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import SqlText
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for

_logger = logging.getLogger(__name__)


class PostgresMaintenance:
    """Port `Maintenance` for a context with inbox and sagas. Each duration says how long something is kept at least."""

    def __init__(
        self,
        pool: AsyncConnectionPool,
        context: str,
        *,
        inbox: timedelta = timedelta(days=7),
        sagas: timedelta = timedelta(days=30),
        dead_letters: timedelta = timedelta(days=365),
    ) -> None:
        self._pool = pool
        self._inbox_sql, self._sagas_sql = load_for("inbox", context), load_for("sagas", context)
        self._inbox, self._sagas = inbox, sagas
        self._dead_letters = DeadLetterMaintenance(pool, context, dead_letters)

    async def run(self, now: datetime) -> None:
        """Raises StorageUnavailableError; what was done until then stays."""
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(self._inbox_sql["make_partitions"], {"now": now})
            past = {"now": now, "retention": self._inbox}
            await drop_partitions(self._pool, self._inbox_sql["drop_partitions"], past)
            await forget(self._pool, self._sagas_sql["forget"], now, self._sagas)
        await self._dead_letters.run(now)


class DeadLetterMaintenance:
    """Port `Maintenance` for a schema that has dead letters only, and for those of a context."""

    def __init__(self, pool: AsyncConnectionPool, schema: str, retention: timedelta) -> None:
        self._pool, self._retention = pool, retention
        self._sql = load_for("dead_letters", schema)

    async def run(self, now: datetime) -> None:
        with translated():
            await forget(self._pool, self._sql["forget"], now, self._retention)


async def drop_partitions(pool: AsyncConnectionPool, query: SqlText, params: Mapping[str, object]) -> None:
    """Drop what *query* says is old; while somebody reads the table nothing is dropped: that is for the next run.

    Whoever waits for the lock of a whole table has all others wait behind him, so this waits for moments only.
    """
    limit = f"{round(tuning.MAINTENANCE_LOCK_SECONDS * 1000)}ms"
    try:
        with translated():
            async with pool.connection() as connection, connection.transaction():
                await connection.execute("SELECT set_config('lock_timeout', %s, true)", (limit,))
                await connection.execute(query, params)
    except RowLockedError:
        _logger.info("old partitions stay for now: somebody reads their table")


async def forget(pool: AsyncConnectionPool, query: SqlText, now: datetime, retention: timedelta) -> None:
    """Delete what is older, a few rows at a time, so that neither locks nor vacuum ever have much to do.

    It is as late as the earlier of two clocks says, *now* and the database's: one that is ahead must not forget.
    """
    params = {"now": now, "retention": retention, "limit": tuning.MAINTENANCE_ROWS}
    for _ in range(tuning.MAINTENANCE_BATCHES):
        async with pool.connection() as connection:
            cursor = await connection.execute(query, params)
        if cursor.rowcount < tuning.MAINTENANCE_ROWS:
            return
