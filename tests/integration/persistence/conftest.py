"""What the tests of the Postgres adapters share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.fixtures.stores import Async, PostgresStores


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop of the test's own."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def stores(database: str, runner: asyncio.Runner) -> Iterator[PostgresStores]:
    """The adapters on a database of the test's own."""
    with PostgresStores(database, runner) as stores:
        yield stores


@pytest.fixture
def run(stores: PostgresStores) -> Async:
    """Runs a coroutine to its end."""
    return stores.run


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A look at the test's database from outside, in autocommit mode."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection
