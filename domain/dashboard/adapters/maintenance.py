"""Housekeeping of the dashboard: the weekly partitions of its activity."""

from __future__ import annotations

from datetime import datetime, timedelta

from psycopg_pool import AsyncConnectionPool

from spark_actors.persistence import statements
from spark_actors.persistence.errors import translated
from spark_actors.persistence.maintenance import drop_partitions

WEEK = timedelta(days=7)
RETENTION = 13 * WEEK
"""How long activity is kept unless something else is asked for."""


class DashboardMaintenance:
    """Port `Maintenance`: an event stays in the feed for at least *retention*; other read models stay for good."""

    def __init__(self, pool: AsyncConnectionPool, *, retention: timedelta = RETENTION) -> None:
        self._pool, self._retention = pool, retention
        self._statements = statements.load(__package__, "dashboard.sql")

    async def run(self, now: datetime) -> None:
        coming = {"moments": [now, now + WEEK]}
        past = {"moment": now, "retention": self._retention}
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(self._statements["make_activity_partitions"], coming)
            await drop_partitions(self._pool, self._statements["drop_activity_partitions"].encode(), past)
