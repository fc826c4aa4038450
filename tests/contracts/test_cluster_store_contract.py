"""Where everything is, in Postgres and in memory: one root writes, and no number of an actor is given out twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import pytest

from spark_actors.cluster.nodes import Common, Judgement, NodeRow, NodeState, Sighting
from spark_actors.cluster.ports import ClusterStore, Seat, SupersededError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.cluster import (
    PostgresClusterStore,
    end_tree,
    new_tree,
    newest_incarnation,
    newest_root,
    open_tree,
)
from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.memory_cluster import MemoryClusterStore

T = TypeVar("T")

PLACE, OTHER = "spark/auth/supervisor/0", "spark/auth/context/0"
SEEN = Sighting("n1", "one", "10.0.0.1", is_alive=True)


@dataclass
class Kept:
    """A store, and what others than the root ask of it and write there."""

    store: ClusterStore
    incarnation: Callable[[str], int]
    root: Callable[[], int]
    wish: Callable[[str, str], None]
    leave: Callable[[str], None]


Play = Callable[[Callable[[Kept], Coroutine[Any, Any, None]]], None]


def in_memory(test: Callable[[Kept], Coroutine[Any, Any, None]]) -> None:
    store = MemoryClusterStore()
    asyncio.run(test(Kept(store, store.incarnation, lambda: store.root, store.wish, store.leave)))


def in_postgres(dsn: str) -> Play:
    tree = new_tree(dsn, "tests/cluster", "1", "same", {})

    def execute(statement: str, *about: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"UPDATE {INGRESS}.{statement}".encode(), about)

    def play(test: Callable[[Kept], Coroutine[Any, Any, None]]) -> None:
        async def connected() -> None:
            async with make_pool(dsn) as pool:
                await test(
                    Kept(
                        PostgresClusterStore(pool, tree.epoch),
                        lambda place: newest_incarnation(dsn, tree.epoch, place),
                        lambda: newest_root(dsn, tree.epoch),
                        lambda place, node: execute("places SET wanted_node = %s WHERE place = %s", node, place),
                        lambda node: execute("nodes SET is_to_leave = true WHERE node_id = %s", node),
                    )
                )

        asyncio.run(connected())

    return play


@pytest.fixture(params=["memory", "postgres"])
def play(request: pytest.FixtureRequest) -> Play:
    return in_memory if request.param == "memory" else in_postgres(request.getfixturevalue("database"))


def test_each_root_has_a_higher_number_and_is_the_one_that_may_write(play: Play) -> None:
    async def test(kept: Kept) -> None:
        first = await kept.store.become_root()
        second = await kept.store.become_root()
        assert 0 < first < second == (await kept.store.read()).root == kept.root()

    play(test)


def test_each_actor_of_a_place_has_a_higher_number_and_the_newest_has_the_place(play: Play) -> None:
    async def test(kept: Kept) -> None:
        root = await kept.store.become_root()
        assert await kept.store.seat(root, PLACE, "n1") == 1
        assert await kept.store.seat(root, OTHER, "n1") == 1
        assert await kept.store.seat(root, PLACE, "n2") == 2
        assert (await kept.store.read()).seats == {PLACE: Seat(2, "n2"), OTHER: Seat(1, "n1")}
        assert (kept.incarnation(PLACE), kept.incarnation("spark/nowhere/context/0")) == (2, 0)

    play(test)


def test_an_actor_that_keeps_its_place_has_it_again_and_the_number_of_its_successor_is_used_up(play: Play) -> None:
    async def test(kept: Kept) -> None:
        root = await kept.store.become_root()
        await kept.store.seat(root, PLACE, "n1")
        await kept.store.seat(root, PLACE, "n2")
        await kept.store.seat_again(root, PLACE, Seat(1, "n1"))
        assert (await kept.store.read()).seats == {PLACE: Seat(1, "n1")}
        assert kept.incarnation(PLACE) == 1
        assert await kept.store.seat(root, PLACE, "n2") == 3

    play(test)


def test_to_a_place_that_is_vacated_nobody_has_a_right_and_its_numbers_are_used_up(play: Play) -> None:
    async def test(kept: Kept) -> None:
        root = await kept.store.become_root()
        await kept.store.seat(root, PLACE, "n1")
        await kept.store.vacate(root, PLACE)
        assert (await kept.store.read()).seats == {}
        assert kept.incarnation(PLACE) == 0
        assert await kept.store.seat(root, PLACE, "n1") == 2

    play(test)


def test_what_an_operator_wants_stays_wanted_whoever_fills_the_place(play: Play) -> None:
    async def test(kept: Kept) -> None:
        root = await kept.store.become_root()
        await kept.store.seat(root, PLACE, "n1")
        kept.wish(PLACE, "n2")
        await kept.store.seat(root, PLACE, "n3")
        assert (await kept.store.read()).seats == {PLACE: Seat(2, "n3", "n2")}

    play(test)


def test_what_is_held_of_a_node_is_written_and_written_over_and_keeps_what_others_have_said(play: Play) -> None:
    async def test(kept: Kept) -> None:
        root = await kept.store.become_root()
        await kept.store.note(root, [SEEN], {"n1": Judgement(NodeState.JOINING)})
        assert (await kept.store.read()).nodes == {"n1": NodeRow("n1", "one", "10.0.0.1")}
        await kept.store.introduce(root, "n1", Common("1.2", "abc"))
        kept.leave("n1")
        await kept.store.note(root, [], {"n1": Judgement(NodeState.GONE, "it went")})
        row = NodeRow("n1", "one", "10.0.0.1", "1.2", "abc", 0, None, True, NodeState.GONE, "it went")
        assert (await kept.store.read()).nodes == {"n1": row}

    play(test)


def test_a_root_with_a_successor_writes_nothing(play: Play) -> None:
    async def test(kept: Kept) -> None:
        old = await kept.store.become_root()
        await kept.store.seat(old, PLACE, "n1")
        new = await kept.store.become_root()
        await kept.store.note(new, [SEEN], {"n1": Judgement(NodeState.ACTIVE)})
        before = await kept.store.read()
        for write in (
            kept.store.seat(old, PLACE, "n2"),
            kept.store.seat(old, OTHER, "n2"),
            kept.store.seat_again(old, PLACE, Seat(7, "n2")),
            kept.store.vacate(old, PLACE),
            kept.store.note(old, [SEEN], {"n1": Judgement(NodeState.GONE)}),
            kept.store.introduce(old, "n1", Common("other", "other")),
        ):
            with pytest.raises(SupersededError):
                await write
        assert await kept.store.read() == before

    play(test)


def test_trees_know_nothing_of_each_others_seats_and_one_that_has_ended_leaves_nobody_a_right(database: str) -> None:
    old, new = (new_tree(database, "tests/cluster", "1", "same", {}) for _ in range(2))

    async def play() -> None:
        async with make_pool(database) as pool:
            stores = [PostgresClusterStore(pool, tree.epoch) for tree in (old, new)]
            for store in stores:
                assert await store.seat(await store.become_root(), PLACE, "n1") == 1

    asyncio.run(play())
    assert old.namespace != new.namespace
    open_tree(database, new.epoch)
    assert [newest_incarnation(database, tree.epoch, PLACE) for tree in (old, new)] == [0, 1]
    assert [newest_root(database, tree.epoch) for tree in (old, new)] == [0, 1]
    end_tree(database, new.epoch)
    assert newest_incarnation(database, new.epoch, PLACE) == 0
