"""The dashboard on a database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from domain.shared.messages import MessageRegistry, Query
from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.dashboard_maintenance import DashboardMaintenance
from spark_actors.persistence.dashboard_projection import PostgresProjection
from spark_actors.persistence.dashboard_views import PostgresViews
from tests.fixtures.dashboard_events import EVENTS, Happened


class Dashboard:
    """Both sides of the dashboard, for tests that are not asynchronous."""

    def __init__(self, runner: asyncio.Runner, pool: AsyncConnectionPool) -> None:
        self.runner, self.pool = runner, pool
        self.projection = PostgresProjection(pool, MessageRegistry(EVENTS))
        self.views = PostgresViews(pool)
        self.maintenance = DashboardMaintenance(pool)

    def apply(self, *happened: Happened) -> None:
        self.runner.run(self.projection.apply([one.envelope for one in happened]))

    def apply_at_once(self, *batches: list[Happened]) -> None:
        """Apply the batches concurrently."""

        async def all_batches() -> None:
            await asyncio.gather(*(self.projection.apply([one.envelope for one in batch]) for batch in batches))

        self.runner.run(all_batches())

    def ask(self, query: Query) -> Any:
        return self.runner.run(self.views.answer(query))

    def rows(self, statement: str) -> list[dict[str, Any]]:
        async def fetch() -> list[dict[str, Any]]:
            async with self.pool.connection() as connection:
                cursor = connection.cursor(row_factory=dict_row)
                await cursor.execute(statement.encode())
                return await cursor.fetchall() if cursor.description else []

        return self.runner.run(fetch())

    def partitions(self) -> set[str]:
        found = self.rows(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'dashboard.activity'::regclass"
        )
        return {row["name"] for row in found}


@pytest.fixture
def dashboard(database: str) -> Iterator[Dashboard]:
    with asyncio.Runner() as runner:
        pool = make_pool(database)
        runner.run(pool.open())
        try:
            yield Dashboard(runner, pool)
        finally:
            runner.run(pool.close())
