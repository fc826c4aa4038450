"""Who sits where, and the one table that everybody is told."""

from __future__ import annotations

import asyncio

import pytest

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import Actor
from spark_actors.actors.seating import Seating
from spark_actors.cluster.placing import Place
from spark_actors.cluster.ports import Seat, SupersededError
from spark_actors.persistence.memory_cluster import MemoryClusterStore
from tests.fixtures.fake_cluster import PLACEMENT, a_spec

PLACES = ("spark/pool/aggregate/shared-0", "spark/pool/aggregate/shared-1", "spark/auth/context/0")


def a_seating(store: MemoryClusterStore | None = None) -> Seating:
    seating = Seating(store or MemoryClusterStore())
    seating.places = {place: Place(place, place.split("/")[2]) for place in PLACES}
    seating.usable = ["one", "two"]
    return seating


def an_actor(place: str, incarnation: int, node_id: str) -> Actor:
    return Actor(a_spec(place), incarnation, node_id, f"{place}@{incarnation}")


def test_places_that_are_chosen_one_after_the_other_are_spread() -> None:
    seating = a_seating()
    assert [seating.choose(place) for place in PLACES] == ["one", "two", "one"]


def test_without_a_node_nothing_can_be_chosen() -> None:
    seating = a_seating()
    seating.usable = []
    with pytest.raises(ActorUnavailableError, match="no node"):
        seating.choose(PLACES[0])


def test_each_actor_that_is_published_is_in_a_newer_table_with_all_others() -> None:
    seating, told = a_seating(), list[int]()
    seating.on_change = lambda: told.append(seating.table.version)
    seating.begin(1, {}, PLACEMENT, version=100)
    seating.publish(an_actor(PLACES[0], 1, "one"))
    seating.publish(an_actor(PLACES[2], 1, "two"))
    seating.publish(an_actor(PLACES[0], 2, "two"))
    assert told == [101, 102, 103]
    assert {place: route.incarnation for place, route in seating.table.routes.items()} == {PLACES[0]: 2, PLACES[2]: 1}
    assert seating.node_of(PLACES[0]) == "two"
    assert seating.table.placement is PLACEMENT


def test_a_root_begins_on_what_an_earlier_one_has_left_but_for_places_that_are_no_more() -> None:
    seating = a_seating()
    seating.begin(
        2, {PLACES[0]: Seat(4, "gone"), "spark/pool/aggregate/shared-9": Seat(1, "one")}, PLACEMENT, version=5
    )
    assert seating.seats == {PLACES[0]: "gone"}
    assert seating.inherited(PLACES[0]) == Seat(4, "gone")
    assert seating.inherited(PLACES[0]) is None, "it is adopted at most once"


def test_a_root_with_a_successor_fills_no_place() -> None:
    async def play() -> None:
        store = MemoryClusterStore()
        seating = a_seating(store)
        seating.begin(await store.become_root(), {}, PLACEMENT, version=0)
        assert await seating.seat(PLACES[0], "one") == 1
        await store.become_root()
        with pytest.raises(SupersededError):
            await seating.seat(PLACES[0], "one")
        assert store.incarnation(PLACES[0]) == 1

    asyncio.run(play())


def test_a_node_is_inhabited_until_what_ends_there_has_ended() -> None:
    async def play() -> None:
        seating, ends = a_seating(), asyncio.Event()

        async def ending() -> None:
            await ends.wait()

        seating.publish(an_actor(PLACES[0], 2, "two"))
        seating.end(an_actor(PLACES[0], 1, "one"), ending())
        assert seating.inhabited == {"one", "two"}
        ends.set()
        await seating.all_ended()
        await asyncio.sleep(0)
        assert seating.inhabited == {"two"}

    asyncio.run(play())


def test_to_wait_until_everybody_knows_takes_as_long_as_it_must_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "ROUTES_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(tuning, "ROUTES_SECONDS", 0.05)

    async def play() -> None:
        seating, asked = a_seating(), list[int]()

        def is_known(version: int) -> bool:
            asked.append(version)
            return len(asked) == 3

        seating.is_known = is_known
        await seating.known_everywhere(7)
        assert asked == [7, 7, 7]
        seating.is_known = lambda version: False
        async with asyncio.timeout(5):
            await seating.known_everywhere(8)

    asyncio.run(play())
