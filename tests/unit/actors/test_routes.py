"""The way to other actors, as this process was told it last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.routes import Route, Routes, RouteTable
from spark_actors.messaging.routing import Placement

PLACEMENT = Placement(2, 10)
PLACE = "spark/pool/aggregate/shared-0"


def a_table(version: int, incarnation: int = 1, actor: object = "one") -> RouteTable:
    return RouteTable(version, PLACEMENT, {PLACE: Route(incarnation, actor)})


async def answers(actor: object) -> object:
    return actor


async def fails(actor: object) -> object:
    raise ActorUnavailableError(PLACE, "it died")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "ROUTE_SECONDS", 0.05)


def test_a_call_goes_by_the_table_that_was_told_last() -> None:
    async def play() -> list[object]:
        routes = Routes()
        routes.take(a_table(1))
        first = await routes.call(PLACE, answers)
        routes.take(a_table(2, 2, "two"))
        return [first, await routes.call(PLACE, answers)]

    assert asyncio.run(play()) == ["one", "two"]


def test_an_older_table_is_ignored() -> None:
    async def play() -> object:
        routes = Routes()
        routes.take(a_table(2, 2, "two"))
        routes.take(a_table(1, 1, "one"))
        assert routes.version == 2
        return await routes.call(PLACE, answers)

    assert asyncio.run(play()) == "two"


def test_the_handle_of_an_unchanged_route_is_kept() -> None:
    """Each table brings handles of its own; the runtime keeps a queue for each that was called."""

    async def play() -> object:
        routes = Routes()
        routes.take(a_table(1, 1, "the first handle"))
        routes.take(a_table(2, 1, "another handle of the same actor"))
        return await routes.call(PLACE, answers)

    assert asyncio.run(play()) == "the first handle"


def test_who_has_been_told_nothing_waits_for_a_table() -> None:
    async def play() -> object:
        routes = Routes()
        asking = asyncio.ensure_future(routes.call(PLACE, answers))
        await asyncio.sleep(0)
        routes.take(RouteTable(1, PLACEMENT))
        await asyncio.sleep(0)
        assert not asking.done()
        routes.take(a_table(2))
        return await asking

    assert asyncio.run(play()) == "one"


def test_without_a_way_a_call_fails_after_a_while() -> None:
    with pytest.raises(ActorUnavailableError, match="nobody has said where it is"):
        asyncio.run(Routes().call(PLACE, answers))


def test_after_a_failure_the_next_call_waits_for_the_next_actor() -> None:
    async def play() -> object:
        routes = Routes()
        routes.take(a_table(1))
        with pytest.raises(ActorUnavailableError, match="it died"):
            await routes.call(PLACE, fails)
        asking = asyncio.ensure_future(routes.call(PLACE, answers))
        await asyncio.sleep(0)
        routes.take(a_table(2, 1, "one"))  # about somebody else
        await asyncio.sleep(0)
        assert not asking.done()
        routes.take(a_table(3, 2, "two"))
        return await asking

    assert asyncio.run(play()) == "two"


def test_one_that_has_failed_and_has_no_successor_is_tried_again_after_a_while() -> None:
    async def play() -> list[object]:
        routes = Routes()
        routes.take(a_table(1))
        with pytest.raises(ActorUnavailableError):
            await routes.call(PLACE, fails)
        first = await routes.call(PLACE, answers)
        async with asyncio.timeout(tuning.ROUTE_SECONDS / 2):
            return [first, await routes.call(PLACE, answers)]

    assert asyncio.run(play()) == ["one", "one"]


def test_the_failure_of_a_call_to_an_earlier_actor_is_not_held_against_its_successor() -> None:
    async def play() -> object:
        routes, goes_on = Routes(), asyncio.Event()

        async def fails_late(actor: object) -> object:
            await goes_on.wait()
            return await fails(actor)

        routes.take(a_table(1))
        late: Awaitable[object] = asyncio.ensure_future(routes.call(PLACE, fails_late))
        await asyncio.sleep(0)
        routes.take(a_table(2, 2, "two"))
        goes_on.set()
        with pytest.raises(ActorUnavailableError):
            await late
        async with asyncio.timeout(tuning.ROUTE_SECONDS / 2):
            return await routes.call(PLACE, answers)

    assert asyncio.run(play()) == "two"


def test_who_follows_gets_each_newer_table() -> None:
    async def play() -> list[int]:
        routes, got = Routes(), list[int]()
        routes.follow(lambda table: got.append(table.version))
        for version in (1, 3, 2):
            routes.take(a_table(version))
        return got

    assert asyncio.run(play()) == [1, 3]
