"""The root: places all actors on the nodes, follows what becomes of these, and lets go when another is the root."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from spark_actors.actors import names, tuning
from spark_actors.actors.fence import Fence
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.ports import Overlap
from spark_actors.actors.root import RootPorts, RootSupervisor
from spark_actors.actors.seating import Seating
from spark_actors.cluster.nodes import NodeRow, NodeState
from spark_actors.cluster.ports import SupersededError
from spark_actors.messaging.routing import Placement
from spark_actors.messaging.telemetry import NodesMeasured, TelemetryEvent
from spark_actors.persistence.memory_cluster import MemoryClusterStore
from tests.fixtures.fake_cluster import EXPECTED, FakeChildren, FakeRay, a_spec

HOSTS = [f"spark/pool/aggregate/shared-{number}" for number in range(4)]
SUPERVISOR, CONTEXT, INGRESS = "spark/auth/supervisor/0", "spark/auth/context/0", "spark/broker/ingress/0"
PLACES = [INGRESS, SUPERVISOR, CONTEXT, *HOSTS]


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats in these tests come every millisecond, and so does the rest."""
    monkeypatch.setattr(tuning, "ROUTES_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(tuning, "INTRODUCTION_SECONDS", 0.0)


class Cluster:
    """What outlives a root: the store, the nodes, the actors."""

    def __init__(self, *nodes: str) -> None:
        self.now = 100.0
        self.store = MemoryClusterStore(lambda: self.now)
        self.ray = FakeRay(list(nodes))
        self.children = FakeChildren()
        self.told: list[TelemetryEvent] = []
        self.fenced: list[int] = []

    def root(self) -> RootSupervisor:
        seating = Seating(self.store, "head")

        def keeper(place: str) -> Keeper:
            return Keeper(
                a_spec(place, overlap=Overlap.CALLS if names.kind_of(place) == names.AGGREGATE else Overlap.WARM),
                self.children,
                seating,
                heartbeat_seconds=0.001,
                patience_seconds=60,
                grace_seconds=1,
                telemetry=self.told.append,
                now=lambda: self.now,
            )

        board: Any = None
        ports = RootPorts(
            self.store,
            self.ray,
            own_node="head",
            expected=EXPECTED,
            fence=lambda number: Fence("root", number, lambda: number, end=lambda: self.fenced.append(number)),
            placing=lambda slots: Placement(slots.get("shared", len(HOSTS)), 10),
            host=lambda slot: keeper(names.aggregate_actor(slot)),
            board=board,
            own_metrics=lambda: b"",
            telemetry=self.told.append,
            now=lambda: self.now,
        )
        tiers = [[keeper(INGRESS)], [keeper(SUPERVISOR)], [keeper(CONTEXT)]]
        return RootSupervisor(tiers, seating, ports, grace_seconds=1)

    def state(self, node: str) -> NodeState:
        return self.store._nodes[node].state

    def shares(self) -> Counter[str]:
        """How many AggregateActors live on each node."""
        return Counter(node for place, node in self.children.where().items() if place in HOSTS)

    async def is_settled(self, root: RootSupervisor, is_so: Callable[[], bool]) -> None:
        """Rounds of the root, half a second each, until all actors are there, one in each place, and *is_so*."""
        async with asyncio.timeout(20):
            while True:
                await self.round(root)
                alive = Counter(life.place for life in self.children.alive)
                if set(alive) == set(PLACES) and set(alive.values()) == {1} and is_so():
                    return

    async def round(self, root: RootSupervisor) -> None:
        await root.reconcile()
        self.now += tuning.CLUSTER_LOOK_SECONDS
        await asyncio.sleep(0.005)

    async def is_scaled_away(self, root: RootSupervisor) -> None:
        """Rounds until no place is left that is no more."""
        async with asyncio.timeout(20):
            slots = {names.aggregate_actor(slot) for slot in root._seating.table.placement.slots}
            while (await self.store.read()).seats.keys() - slots - {INGRESS, SUPERVISOR, CONTEXT}:
                await self.round(root)

    async def let_go(self, root: RootSupervisor) -> None:
        """The root's process ends."""
        await root._let_go()


def play(test: Callable[[Cluster, RootSupervisor], Awaitable[None]], *nodes: str) -> Cluster:
    async def begun() -> Cluster:
        cluster = Cluster("head", *nodes)
        root = cluster.root()
        await cluster.is_settled(root, lambda: all(cluster.state(node) is NodeState.ACTIVE for node in nodes))
        await cluster.is_settled(root, lambda: max(cluster.shares().values()) <= len(HOSTS) / (1 + len(nodes)))
        await test(cluster, root)
        await cluster.let_go(root)
        return cluster

    return asyncio.run(begun())


@contextmanager
def deaf(cluster: Cluster, *nodes: str) -> Iterator[None]:
    cluster.children.hung |= set(nodes)
    yield
    cluster.children.hung -= set(nodes)


def test_all_actors_are_spread_over_the_nodes_that_are_there() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        assert cluster.shares() == {"head": 2, "n1": 2}
        assert root.problems() == []
        assert {each.node: each.state for each in root.status().nodes} == {"head": "active", "n1": "active"}

    play(test, "n1")


def test_a_node_that_joins_gets_its_share_and_those_who_work_go_on() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        supervisor = cluster.children.where()[SUPERVISOR]
        cluster.ray.names = ["head", "n1"]
        await cluster.is_settled(root, lambda: cluster.shares() == {"head": 2, "n1": 2})
        assert cluster.children.where()[SUPERVISOR] == supervisor == "head"
        assert not any(what.startswith("kill") for what in cluster.children.done)

    play(test)


def test_no_more_actors_move_at_once_than_may() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        before, cluster.ray.names = len(cluster.children.done), ["head", "n1", "n2", "n3"]
        cluster.children.hung = {"n1", "n2", "n3"}
        for _ in range(3):
            await cluster.round(root)
        starts = [what for what in cluster.children.done[before:] if what.startswith("make")]
        assert len(starts) == tuning.MOVES_AT_ONCE
        cluster.children.hung = set()

    play(test)


def test_a_node_that_is_to_leave_is_emptied_and_then_counts_as_drained() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.store.leave("n1")
        await cluster.round(root)
        assert cluster.state("n1") is NodeState.DRAINING
        await cluster.is_settled(root, lambda: cluster.state("n1") is NodeState.DRAINED)
        assert set(cluster.children.where().values()) == {"head"}
        assert not any(what.startswith("kill") for what in cluster.children.done)

    play(test, "n1")


def test_a_node_is_not_drained_while_an_actor_that_has_moved_away_still_ends_there() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.children.drains = asyncio.Event()
        cluster.store.leave("n1")
        for _ in range(60):
            await cluster.round(root)
            there = [life for life in cluster.children.alive if life.node_id == "n1"]
            assert there
            assert cluster.state("n1") is NodeState.DRAINING
        cluster.children.drains.set()
        await cluster.is_settled(root, lambda: cluster.state("n1") is NodeState.DRAINED)

    play(test, "n1")


def test_a_node_from_which_an_actor_was_lost_is_drained_only_when_that_has_ended_for_sure() -> None:
    """It may have been out of reach, and live on until its fence ends it."""

    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        began = cluster.now
        cluster.children.die(HOSTS[1])
        await cluster.is_settled(root, lambda: True)
        cluster.store.leave("n1")
        await cluster.is_settled(root, lambda: cluster.state("n1") is NodeState.DRAINED)
        assert cluster.now - began > tuning.FENCED_SECONDS

    play(test, "n1")


def test_a_root_that_begins_while_a_node_drains_does_not_call_it_drained() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.children.drains = asyncio.Event()
        cluster.store.leave("n1")
        await cluster.round(root)
        await cluster.let_go(root)
        successor = cluster.root()
        await successor.reconcile()
        assert cluster.state("n1") is NodeState.DRAINING
        cluster.children.drains.set()
        await cluster.is_settled(successor, lambda: cluster.state("n1") is NodeState.DRAINED)
        await cluster.let_go(successor)

    play(test, "n1")


def test_a_node_that_does_not_fit_gets_nothing_and_says_why() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.store.heartbeat(NodeRow("n1", "n1", "", "2", "same"))
        cluster.ray.names = ["head", "n1"]
        for _ in range(5):
            await cluster.round(root)
        assert set(cluster.children.where().values()) == {"head"}
        assert root.problems() == ["node n1: its release is 2, expected 1"]

    play(test)


def test_a_node_on_which_nothing_of_ours_works_gets_nothing_and_says_why() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.ray.names, cluster.ray.strange = ["head", "n1"], {"n1"}
        for _ in range(6):
            await cluster.round(root)
        row = (await cluster.store.read()).nodes["n1"]
        assert (row.state, row.reason) == (
            NodeState.JOINING,
            "nothing of this deployment works there: no such module",
        )
        assert set(cluster.children.where().values()) == {"head"}

    play(test)


def test_actors_of_a_silent_node_are_made_elsewhere_before_ray_says_that_it_is_dead() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        began = cluster.now
        with deaf(cluster, "n1"):
            while cluster.now - began <= tuning.NODE_SILENT_SECONDS:
                await cluster.round(root)
                assert cluster.state("n1") is NodeState.ACTIVE
            await cluster.is_settled(root, lambda: cluster.shares() == {"head": 4})
            assert cluster.state("n1") is NodeState.SUSPECT
            assert cluster.now - began < tuning.NODE_SILENT_SECONDS + 3

    play(test, "n1")


def test_what_was_lost_with_its_machine_is_made_elsewhere_at_once_and_nothing_there_until_it_is_heard_of() -> None:
    """Ray takes seconds to say that a node is dead, and whatever is to be made there hangs until then."""

    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        began, before = cluster.now, len(cluster.children.done)
        for life in cluster.children.alive:
            life.is_alive = life.node_id != "n1"
        await cluster.is_settled(root, lambda: cluster.shares() == {"head": 4})
        assert cluster.now - began < tuning.NODE_SILENT_SECONDS
        for _ in range(5):
            await cluster.round(root)
        assert not any(what.endswith("on n1") for what in cluster.children.done[before:])
        cluster.store.heartbeat(NodeRow("n1", "n1", "", "1", "same"))
        await cluster.is_settled(root, lambda: cluster.shares() == {"head": 2, "n1": 2})

    play(test, "n1")


def test_what_was_lost_is_made_anew_where_it_was_if_there_is_no_other_node_or_that_of_the_root() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        [place] = [place for place, node in cluster.children.where().items() if node == "head" and place in HOSTS][:1]
        cluster.children.die(place)
        await cluster.is_settled(root, lambda: True)
        assert cluster.children.where()[place] == "head"

    play(test)
    play(test, "n1")


def test_a_node_that_sends_heartbeats_is_not_suspected_whatever_its_actors_do() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        with deaf(cluster, "n1"):
            for _ in range(10):
                cluster.store.heartbeat(NodeRow("n1", "n1", "", "1", "same"))
                await cluster.round(root)
            assert cluster.state("n1") is NodeState.ACTIVE

    play(test, "n1")


def test_a_root_that_was_away_itself_suspects_nobody_for_what_it_has_not_heard() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        with deaf(cluster, "n1"):
            cluster.now += 60
            await root.reconcile()
            assert cluster.state("n1") is NodeState.ACTIVE
        await cluster.is_settled(root, lambda: cluster.shares() == {"head": 2, "n1": 2})
        assert not any(what.startswith("kill") for what in cluster.children.done)

    play(test, "n1")


def test_a_root_that_stood_still_in_the_middle_of_its_round_does_not_either() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        with deaf(cluster, "n1"):
            read = cluster.store.read

            async def slow_read() -> Any:
                cluster.now += 60
                return await read()

            cluster.store.read = slow_read  # type: ignore[method-assign]
            await root.reconcile()
            cluster.store.read = read  # type: ignore[method-assign]
            assert cluster.state("n1") is NodeState.ACTIVE

    play(test, "n1")


def test_the_own_node_is_never_suspected() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        with deaf(cluster, "head"):
            for _ in range(10):
                await cluster.round(root)
            assert cluster.state("head") is NodeState.ACTIVE

    play(test, "n1")


def test_what_was_on_a_node_that_is_gone_is_made_elsewhere() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        with deaf(cluster, "n1"):
            cluster.ray.dead = {"n1"}
            await cluster.is_settled(root, lambda: cluster.shares() == {"head": 4})
            assert cluster.state("n1") is NodeState.GONE

    play(test, "n1")


def test_a_node_is_counted_by_its_state() -> None:
    cluster = play(_nothing, "n1")
    counted = [event for event in cluster.told if isinstance(event, NodesMeasured)][-1]
    assert {state: count for state, count in counted.by_state.items() if count} == {"active": 2}
    assert set(counted.by_state) == set(NodeState)


async def _nothing(cluster: Cluster, root: RootSupervisor) -> None:
    """It is there."""


def test_where_an_operator_wants_an_actor_it_goes_and_stays() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.store.wish(SUPERVISOR, "n1")
        cluster.store.wish(HOSTS[0], "n1")
        wanted = {SUPERVISOR: "n1", HOSTS[0]: "n1"}
        await cluster.is_settled(root, lambda: wanted.items() <= cluster.children.where().items())
        assert cluster.shares() == {"head": 2, "n1": 2}

    play(test, "n1")


# --- other numbers of slots ---


def slot_places(count: int) -> set[str]:
    return {f"spark/pool/aggregate/shared-{number}" for number in range(count)}


async def is_scaled(cluster: Cluster, root: RootSupervisor, count: int) -> None:
    """Rounds until as many slots are filled, and everybody goes by them."""
    async with asyncio.timeout(20):
        while True:
            await cluster.round(root)
            hosts = [life.place for life in cluster.children.alive if names.kind_of(life.place) == names.AGGREGATE]
            if sorted(hosts) == sorted(slot_places(count)) and root._seating.table.placement.shared_actors == count:
                return


def test_more_slots_are_filled_before_anybody_is_told_of_them() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.children.hung = {"n1"}
        cluster.store.scale("shared", 6)
        for _ in range(3):
            await cluster.round(root)
            assert root._seating.table.placement.shared_actors == 4
        cluster.children.hung = set()
        await is_scaled(cluster, root, 6)
        assert slot_places(6) <= root._seating.table.routes.keys()

    play(test, "n1")


def test_of_fewer_slots_everybody_is_told_before_those_that_are_no_more_end() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        versions: dict[str, int] = {}
        stop = cluster.children.stop

        async def noted(actor: Any, grace_seconds: float) -> bool:
            versions[actor.spec.place] = min(
                life.version for life in cluster.children.alive if names.kind_of(life.place) != names.AGGREGATE
            )
            return await stop(actor, grace_seconds)

        cluster.children.stop = noted  # type: ignore[method-assign]
        before = root._seating.table.version
        cluster.store.scale("shared", 1)
        await is_scaled(cluster, root, 1)
        assert versions.keys() == slot_places(4) - slot_places(1)
        assert min(versions.values()) > before
        await cluster.is_scaled_away(root)
        assert {place for place in (await cluster.store.read()).seats if "shared" in place} == slot_places(1)

    play(test, "n1")


def test_slots_that_go_and_come_again_are_filled_by_new_actors() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.children.drains = asyncio.Event()
        cluster.store.scale("shared", 2)
        for _ in range(5):
            await cluster.round(root)
        cluster.store.scale("shared", 4)
        for _ in range(5):
            await cluster.round(root)
        cluster.children.drains.set()
        await is_scaled(cluster, root, 4)
        incarnations = {life.place: life.incarnation for life in cluster.children.alive}
        assert incarnations[HOSTS[3]] > 1

    play(test)


def test_a_successor_ends_what_an_earlier_root_did_not_come_to() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        await cluster.let_go(root)
        cluster.store.scale("shared", 3)
        successor = cluster.root()
        await successor.reconcile()
        await cluster.is_scaled_away(successor)
        assert cluster.store.incarnation(HOSTS[3]) == 0, "its fence ends it"
        await cluster.let_go(successor)

    play(test)


# --- one root after the other ---


def test_a_successor_adopts_all_actors_and_starts_none() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        before = cluster.children.where()
        cluster.children.done.clear()
        await cluster.let_go(root)
        successor = cluster.root()
        await cluster.is_settled(successor, lambda: not successor.problems())
        assert cluster.children.where() == before
        assert not [what for what in cluster.children.done if not what.startswith("begin")]
        heard = {life.place: life.version for life in cluster.children.alive}
        assert min(heard.values()) > root._seating.table.version
        await cluster.let_go(successor)

    play(test, "n1")


def test_a_root_with_a_successor_neither_asks_nor_ends_nor_makes_anybody_any_more() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        successor = cluster.root()
        await successor.reconcile()
        with pytest.raises(SupersededError):
            await root.reconcile()
        await cluster.is_settled(successor, lambda: not successor.problems())
        await cluster.let_go(successor)
        heard = {life.place: life.heartbeats for life in cluster.children.alive if life.place != HOSTS[0]}
        cluster.children.die(HOSTS[0])
        with pytest.raises(SupersededError):
            await root.reconcile()
        await asyncio.sleep(0.02)
        assert {life.place: life.heartbeats for life in cluster.children.alive} == heard

    play(test, "n1")


def test_a_root_that_has_a_successor_ends_itself_and_never_becomes_one_again() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        newest = await cluster.store.become_root()
        for _ in range(3):
            with pytest.raises(SupersededError):
                await root.reconcile()
        assert cluster.fenced == [newest - 1, newest - 1]
        assert cluster.store.root == newest

    play(test)


def test_one_that_cannot_read_what_is_written_begins_nothing() -> None:
    async def begun() -> None:
        cluster = Cluster("head")
        root, read = cluster.root(), cluster.store.read

        async def unreadable() -> Any:
            raise OSError("away")

        cluster.store.read = unreadable  # type: ignore[method-assign]
        with pytest.raises(OSError, match="away"):
            await root.reconcile()
        assert cluster.children.done == []
        cluster.store.read = read  # type: ignore[method-assign]
        await cluster.is_settled(root, lambda: True)
        await cluster.let_go(root)

    asyncio.run(begun())


def test_draining_goes_tier_by_tier_from_the_way_in_to_the_store() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        stopped: list[str] = []
        stop = cluster.children.stop

        async def noted(actor: Any, grace_seconds: float) -> bool:
            stopped.append(actor.spec.place)
            return await stop(actor, grace_seconds)

        cluster.children.stop = noted  # type: ignore[method-assign]
        await root.stop()
        assert stopped == PLACES
        assert cluster.children.alive == []

    play(test)


def test_what_actors_warn_of_is_shown_with_their_names_and_the_tree_is_ready_all_the_same() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        assert root.status().warnings == []
        cluster.children.warnings.append("the node is short")
        await cluster.is_settled(root, lambda: len(root.status().warnings) == len(PLACES))
        assert set(root.status().warnings) == {f"{place}: the node is short" for place in PLACES}
        assert (root.status().ready, root.problems()) == (True, [])

    play(test)


def test_each_actor_shows_where_it_lives() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        shown = {each.actor: each.node for each in root.status().actors}
        assert shown == {"spark/root/supervisor/0": "head", **cluster.children.where()}
        actors = {each.node: each.actors for each in root.status().nodes}
        assert actors == Counter(cluster.children.where().values())

    play(test, "n1")


def test_rows_of_a_node_keep_its_name_after_it_has_gone() -> None:
    async def test(cluster: Cluster, root: RootSupervisor) -> None:
        cluster.ray.dead = {"n1"}
        await cluster.round(root)
        row = (await cluster.store.read()).nodes["n1"]
        assert replace(row, silent_seconds=None) == NodeRow("n1", "n1", "", "1", "same", state=NodeState.GONE)

    play(test, "n1")
