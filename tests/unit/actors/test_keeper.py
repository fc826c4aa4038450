"""The keeper: fills its place, notices death and silence, replaces, adopts and moves its actor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.ports import Overlap
from spark_actors.actors.seating import Seating
from spark_actors.cluster.placing import Place
from spark_actors.messaging.telemetry import ActorMoved, ActorRestarted, TelemetryEvent
from spark_actors.persistence.memory_cluster import MemoryClusterStore
from tests.fixtures.fake_cluster import PLACEMENT, FakeChildren, a_spec

PLACE = "spark/accounting/context/0"
HEARTBEAT = 1.0


class Bench:
    """One keeper and its world: nodes `here` and `there`."""

    def __init__(self, *, overlap: Overlap = Overlap.WARM, store: MemoryClusterStore, children: FakeChildren) -> None:
        self.store, self.children = store, children
        self.told: list[TelemetryEvent] = []
        self.now = 0.0
        self.seating = Seating(self.store, own_node="here")
        self.seating.places = {PLACE: Place(PLACE, "context")}
        self.seating.usable = ["here", "there"]
        self.seating.opened.set()
        self.keeper = Keeper(
            a_spec(PLACE, overlap=overlap),
            self.children,
            self.seating,
            heartbeat_seconds=HEARTBEAT,
            patience_seconds=5,
            grace_seconds=1,
            telemetry=self.told.append,
            now=lambda: self.now,
        )

    async def become_root(self) -> None:
        root = await self.store.become_root()
        self.seating.begin(root, (await self.store.read()).seats, PLACEMENT, version=root << 20)

    def successor(self) -> Bench:
        """The same place, kept by another root."""
        return Bench(store=self.store, children=self.children)

    @property
    def done(self) -> list[str]:
        return self.children.done


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)


def play(test: Callable[[Bench], Awaitable[None]], *, overlap: Overlap = Overlap.WARM) -> Bench:
    async def begun() -> Bench:
        bench = Bench(overlap=overlap, store=MemoryClusterStore(lambda: 0.0), children=FakeChildren())
        await bench.become_root()
        await test(bench)
        await bench.seating.all_ended()
        return bench

    return asyncio.run(begun())


def test_an_actor_that_died_is_ended_for_good_and_replaced() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.keeper.step() == HEARTBEAT
        bench.children.die(PLACE)
        assert await bench.keeper.step() == 0
        assert bench.keeper.problem
        assert await bench.keeper.step() == HEARTBEAT

    bench = play(test)
    assert bench.done == ["make @1 on here", "begin @1", "kill @1", "make @2 on here", "begin @2"]
    assert bench.told == [ActorRestarted("AnActor")]
    assert bench.keeper.problem == ""


def test_one_whose_turn_has_not_moved_for_longer_than_patience_is_replaced() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.unmoved_seconds = 4.9
        assert await bench.keeper.step() == HEARTBEAT
        bench.children.unmoved_seconds = 5.1
        assert await bench.keeper.step() == 0
        bench.children.unmoved_seconds = 0.0
        await bench.keeper.step()

    assert play(test).done == ["make @1 on here", "begin @1", "kill @1", "make @2 on here", "begin @2"]


def test_one_that_never_lives_to_its_first_report_is_started_ever_more_slowly() -> None:
    """What is raised makes the keeper's loop pause; nothing else does."""

    async def test(bench: Bench) -> None:
        bench.children.unmoved_seconds = 99
        with pytest.raises(ActorUnavailableError):
            await bench.keeper.step()

    assert play(test).done == ["make @1 on here", "begin @1", "kill @1"]


def test_what_troubles_an_actor_is_passed_on() -> None:
    async def test(bench: Bench) -> None:
        bench.children.problems = ["no database"]
        await bench.keeper.step()
        assert "no database" in bench.keeper.problem

    play(test)


def test_stopping_lets_the_actor_finish_and_tells_it_meanwhile_where_the_others_are() -> None:
    async def test(bench: Bench) -> None:
        bench.keeper._heartbeat_seconds = 0.01
        bench.children.drains = asyncio.Event()
        bench.keeper.start()
        await until(lambda: bench.keeper.report is not None)
        (life,) = bench.children.alive
        stopping = asyncio.create_task(bench.keeper.stop(1))
        await until(lambda: "stop @1" in bench.done)
        heard = life.heartbeats
        await until(lambda: life.heartbeats > heard + 1)
        bench.children.drains.set()
        await stopping
        assert not life.is_alive

    play(test)


def test_to_let_go_of_an_actor_leaves_it_alone() -> None:
    async def test(bench: Bench) -> None:
        bench.keeper.start()
        await until(lambda: bench.keeper.report is not None)
        await bench.keeper.let_go()
        assert len(bench.children.alive) == 1

    assert play(test).done == ["make @1 on here", "begin @1"]


def test_an_actor_is_told_a_table_once() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3):
            await bench.keeper.step()
        assert bench.children.told == [bench.seating.table.version, 0, 0]

    play(test)


# --- a root that begins on what another has left ---


def test_a_living_actor_is_adopted() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        after = bench.successor()
        await after.become_root()
        assert await after.keeper.step() == HEARTBEAT
        assert after.seating.table.routes[PLACE].incarnation == 1
        assert after.seating.table.version > bench.seating.table.version
        assert after.told == []

    assert play(test).done == ["make @1 on here", "begin @1"]


def test_in_the_place_of_one_that_is_gone_another_is_made() -> None:
    async def test(bench: Bench) -> None:
        await bench.store.seat(1, PLACE, "there")
        await bench.become_root()
        await bench.keeper.step()

    assert play(test).done == ["make @2 on here", "begin @2"]


def test_one_that_does_not_answer_its_new_root_is_ended_and_replaced() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        after = bench.successor()
        await after.become_root()
        bench.children.lives[0].unmoved_seconds = 99
        await after.keeper.step()
        await after.seating.all_ended()

    assert sorted(play(test).done[2:]) == ["begin @2", "kill @1", "make @2 on here"]


def test_one_on_a_node_that_does_not_answer_is_given_up_and_made_elsewhere() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        after = bench.successor()
        await after.become_root()
        bench.children.hung = {"here"}
        after.seating.usable = ["there"]
        step = asyncio.create_task(after.keeper.step())
        await until(lambda: after.keeper.waits_for_node == "here")
        await asyncio.sleep(0)
        after.keeper.give_up()
        assert await step == 0
        assert await after.keeper.step() == HEARTBEAT

    assert "make @2 on there" in play(test).done


# --- a machine that does not answer ---


def test_one_that_is_silent_on_a_lost_node_is_given_up_and_made_elsewhere() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.hung = {"here"}
        bench.seating.usable = ["there"]
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: bench.keeper.waits_for_node == "here")
        bench.keeper.give_up()
        assert await step == 0
        assert bench.keeper.report is None
        assert await bench.keeper.step() == HEARTBEAT

    assert play(test).done == ["make @1 on here", "begin @1", "kill @1", "make @2 on there", "begin @2"]


def test_a_start_that_hangs_is_given_up_and_made_elsewhere() -> None:
    async def test(bench: Bench) -> None:
        bench.children.hung = {"here"}
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: bench.keeper.waits_for_node == "here")
        bench.seating.usable = ["there"]
        bench.keeper.give_up()
        assert await step == 0
        assert await bench.keeper.step() == HEARTBEAT

    assert play(test).done == ["make @1 on here", "make @2 on there", "begin @2"]


def test_to_give_up_between_two_rounds_does_nothing() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.keeper.give_up()
        assert await bench.keeper.step() == HEARTBEAT

    assert play(test).done == ["make @1 on here", "begin @1"]


def test_who_is_let_go_while_it_gives_up_ends() -> None:
    async def test(bench: Bench) -> None:
        bench.children.hung = {"here"}
        bench.keeper.start()
        await until(lambda: bench.keeper.waits_for_node == "here")
        bench.keeper.give_up()
        await bench.keeper.let_go()
        assert bench.done == ["make @1 on here"]

    play(test)


def test_for_how_long_an_actor_is_silent_counts_from_its_last_answer() -> None:
    async def test(bench: Bench) -> None:
        heard = [bench.keeper.silent_seconds]
        await bench.keeper.step()
        bench.now += 3
        heard.append(bench.keeper.silent_seconds)
        bench.children.die(PLACE)
        await bench.keeper.step()
        heard.append(bench.keeper.silent_seconds)
        assert heard == [None, 3, None]

    play(test)


# --- moves ---


def test_one_that_is_only_called_moves_before_the_old_one_ends_and_that_only_when_everybody_knows_the_way() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        known = bench.seating.table.version
        bench.seating.is_known = lambda version: version <= known
        bench.keeper.move("there")
        was_moving = bench.keeper.is_moving
        assert await bench.keeper.step() == HEARTBEAT
        assert (was_moving, bench.keeper.is_moving) == (True, False)
        assert len(bench.children.alive) == 2
        assert bench.seating.table.routes[PLACE].incarnation == 2
        assert bench.seating.inhabited == {"here", "there"}
        await asyncio.sleep(3 * tuning.ROUTES_LOOK_SECONDS)
        assert "stop @1" not in bench.done
        known = bench.seating.table.version
        await bench.seating.all_ended()
        assert bench.seating.inhabited == {"there"}

    bench = play(test, overlap=Overlap.CALLS)
    assert bench.done == ["make @1 on here", "begin @1", "make @2 on there", "stop @1"]
    assert bench.told == [ActorMoved("AnActor")]


def test_the_old_one_is_ended_after_a_while_even_if_somebody_never_learns_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "ROUTES_SECONDS", 0.05)

    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.seating.is_known = lambda version: False
        bench.keeper.move("there")
        await bench.keeper.step()

    assert play(test, overlap=Overlap.CALLS).done[-1] == "stop @1"


def test_any_other_ends_before_the_new_one_begins_which_is_warm_by_then() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.keeper.move("there")
        assert await bench.keeper.step() == HEARTBEAT
        assert bench.keeper.node_id == "there"

    bench = play(test)
    assert bench.done == ["make @1 on here", "begin @1", "make @2 on there", "stop @1", "begin @2"]
    assert bench.told == [ActorMoved("AnActor")]


def test_one_that_takes_work_over_is_well_before_the_old_one_ends() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.problems = ["not there yet"]
        bench.keeper.move("there")
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: "begin @2" in bench.done)
        await asyncio.sleep(3 * tuning.ROUTES_LOOK_SECONDS)
        assert "stop @1" not in bench.done
        bench.children.problems = []
        assert await step == HEARTBEAT
        assert bench.seating.table.routes[PLACE].incarnation == 2

    bench = play(test, overlap=Overlap.WORK)
    assert bench.done == ["make @1 on here", "begin @1", "make @2 on there", "begin @2", "stop @1"]


def test_a_move_to_where_it_is_changes_nothing() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.keeper.move("here")
        assert await bench.keeper.step() == HEARTBEAT
        assert not bench.keeper.is_moving

    assert play(test).done == ["make @1 on here", "begin @1"]


def test_a_failed_move_leaves_the_old_one_in_its_place_with_the_right_to_it() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.refused = {"there"}
        bench.keeper.move("there")
        with pytest.raises(ActorUnavailableError):
            await bench.keeper.step()
        assert (bench.keeper.node_id, bench.keeper.is_moving) == ("here", False)
        assert bench.store.incarnation(PLACE) == 1
        assert await bench.keeper.step() == HEARTBEAT
        assert bench.keeper.problem == ""

    assert play(test, overlap=Overlap.CALLS).done == ["make @1 on here", "begin @1", "make @2 on there"]


def test_one_whose_successor_dies_before_it_begins_is_made_anew() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.drains = asyncio.Event()
        bench.keeper.move("there")
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: "stop @1" in bench.done)
        bench.children.lives[1].is_alive = False
        bench.children.drains.set()
        with pytest.raises(ActorUnavailableError):
            await step
        assert await bench.keeper.step() == HEARTBEAT

    bench = play(test)
    (life,) = bench.children.alive
    assert (life.incarnation, life.has_begun) == (3, True)


def test_a_tree_that_does_not_work_yet_has_warm_actors_that_have_not_begun() -> None:
    async def test(bench: Bench) -> None:
        bench.seating.opened.clear()
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: bench.keeper.is_warm)
        assert bench.done == ["make @1 on here"]
        assert bench.seating.table.routes == {}
        bench.seating.opened.set()
        assert await step == HEARTBEAT
        assert bench.done == ["make @1 on here", "begin @1"]

    play(test)


def test_a_move_to_a_node_that_is_lost_meanwhile_is_given_up_and_the_old_one_stays() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.hung = {"there"}
        bench.keeper.move("there")
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: bench.keeper.waits_for_node == "there")
        bench.keeper.give_up()
        assert await step == 0
        assert await bench.keeper.step() == HEARTBEAT
        assert bench.keeper.node_id == "here"
        assert bench.store.incarnation(PLACE) == 1

    assert play(test, overlap=Overlap.CALLS).done == ["make @1 on here", "begin @1", "make @2 on there"]


def test_an_old_node_that_is_lost_while_its_actor_drains_is_given_up() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.hung = {"here"}
        bench.seating.usable = ["there"]
        bench.keeper.move("there")
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: "stop @1" in bench.done)
        bench.keeper.give_up()
        assert await step == 0
        assert await bench.keeper.step() == HEARTBEAT

    bench = play(test)
    ended = ["kill @2", "kill @1"]  # the one that was warm, too
    assert bench.done == [
        "make @1 on here",
        "begin @1",
        "make @2 on there",
        "stop @1",
        *ended,
        "make @3 on there",
        "begin @3",
    ]
    assert bench.children.where() == {PLACE: "there"}


def test_an_actor_that_drains_for_long_is_not_silent() -> None:
    async def test(bench: Bench) -> None:
        bench.keeper._heartbeat_seconds = 0.01
        await bench.keeper.step()
        bench.children.drains = asyncio.Event()
        bench.keeper.move("there")
        step = asyncio.create_task(bench.keeper.step())
        await until(lambda: "stop @1" in bench.done)
        bench.now += 60
        await until(lambda: bench.keeper.silent_seconds == 0)
        bench.children.drains.set()
        await step

    play(test)


def test_one_that_dies_when_it_was_to_move_is_made_anew_and_moves_only_if_somebody_asks_again() -> None:
    async def test(bench: Bench) -> None:
        await bench.keeper.step()
        bench.children.refused = {"there"}
        bench.keeper.move("there")
        with pytest.raises(ActorUnavailableError):
            await bench.keeper.step()
        bench.children.refused = set()
        bench.children.die(PLACE)
        await bench.keeper.step()
        await bench.keeper.step()
        assert bench.keeper.node_id == "here"

    play(test, overlap=Overlap.CALLS)


def test_there_is_never_more_than_one_that_fills_the_place_whatever_comes_between() -> None:
    """Give-ups, deaths and moves at every moment: in the end one actor lives, and the table names it."""

    async def test(bench: Bench) -> None:
        bench.keeper._heartbeat_seconds = 0.001
        bench.keeper.start()
        await until(lambda: bench.keeper.report is not None)
        blows: list[Callable[[], None]] = [
            lambda: bench.children.die(PLACE),
            lambda: bench.keeper.move("there"),
            bench.keeper.give_up,
            lambda: bench.keeper.move("here"),
        ]
        for pauses in range(12):
            for blow in blows:
                for _ in range(pauses):
                    await asyncio.sleep(0)
                blow()
        await until(lambda: bench.keeper.report is not None and not bench.keeper.is_moving)
        await bench.seating.all_ended()
        (life,) = bench.children.alive
        assert bench.seating.table.routes[PLACE].actor is life
        assert bench.seating.node_of(PLACE) == life.node_id
        await bench.keeper.let_go()

    for overlap in Overlap:
        play(test, overlap=overlap)
