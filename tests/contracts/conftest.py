"""Every contract is held against both adapters: in memory, and on Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.fixtures.stores import Async, MemoryStores, PostgresStores, Stores


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """One kind of adapters, on an empty store."""
    if request.param == "memory":
        yield MemoryStores()
        return
    with asyncio.Runner() as runner, PostgresStores(request.getfixturevalue("emptied_database"), runner) as stores:
        yield stores


@pytest.fixture
def postgres_stores(emptied_database: str) -> Iterator[PostgresStores]:
    """For what only a real database does."""
    with asyncio.Runner() as runner, PostgresStores(emptied_database, runner) as stores:
        yield stores


@pytest.fixture
def run(stores: Stores) -> Async:
    """Runs a coroutine to its end."""
    return stores.run
