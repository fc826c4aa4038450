"""The contract of Permits: of those who ask for the permit of a payment hash one gets it, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from domain.bitcoin.adapters.permits import PostgresPermits
from domain.bitcoin.ports import Permits
from spark_actors.persistence.connections import make_pool
from tests.fixtures.lightning import MemoryPermits

Play = Callable[[Callable[[Permits], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "postgres"])
def play(request: pytest.FixtureRequest) -> Play:
    """Runs a scene with permits of which none was given."""
    dsn = request.getfixturevalue("emptied_database") if request.param == "postgres" else ""

    async def played(scene: Callable[[Permits], Awaitable[None]]) -> None:
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(make_pool(dsn)) if dsn else None
            await scene(PostgresPermits(pool) if pool else MemoryPermits())

    return lambda scene: asyncio.run(played(scene))


def test_of_twenty_who_come_at_once_one_gets_it(play: Play) -> None:
    async def scene(permits: Permits) -> None:
        taken = await asyncio.gather(*(permits.take("h", f"w-{number}") for number in range(20)))
        assert sorted(taken) == [False] * 19 + [True]

    play(scene)


def test_who_has_it_does_not_get_it_again(play: Play) -> None:
    async def scene(permits: Permits) -> None:
        assert await permits.holder("h") == ""
        assert await permits.take("h", "w")
        assert await permits.holder("h") == "w"
        assert not await permits.take("h", "w")
        assert await permits.take("other", "w")

    play(scene)


def test_one_that_was_given_back_is_to_be_had_again(play: Play) -> None:
    async def scene(permits: Permits) -> None:
        assert await permits.take("h", "w")
        assert await permits.take("other", "w")
        await permits.give_back("h")
        assert await permits.holder("h") == ""
        assert await permits.holder("other") == "w"
        assert await permits.take("h", "w-2")

    play(scene)
