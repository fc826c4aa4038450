"""Every contract is held against both adapters: in memory, and on Postgres; what concerns the runtime alone, with the
contexts of either application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.fixtures.business import ACCOUNTS, Business
from tests.fixtures.stores import Async, MemoryStores, PostgresStores, Stores


@pytest.fixture
def business() -> Business:
    """Whose contexts are held to a contract; `with_each_business` says otherwise."""
    return ACCOUNTS


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest, business: Business) -> Iterator[Stores]:
    """One kind of adapters, on an empty store."""
    if request.param == "memory":
        yield MemoryStores(business)
        return
    dsn = request.getfixturevalue(business.database)
    with asyncio.Runner() as runner, PostgresStores(dsn, runner, business) as stores:
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
