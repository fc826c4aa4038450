"""The dashboard on a database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from spark_actors.persistence.connections import make_pool
from tests.fixtures.dashboard import Dashboard


@pytest.fixture
def dashboard(database: str) -> Iterator[Dashboard]:
    with asyncio.Runner() as runner:
        pool = make_pool(database)
        runner.run(pool.open())
        try:
            yield Dashboard(database, runner, pool)
        finally:
            runner.run(pool.close())
