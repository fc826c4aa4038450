"""The root supervisor: places, starts, moves, heals and drains all other actors.

Round after round it compares what should be (the store) with what is (Ray, heartbeats), and does what is missing. All
that it knows can be found out again: one that Ray has started anew adopts the actors that live.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import structlog

from spark_actors.actors import names, tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.fence import Fence
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.loop import Loop
from spark_actors.actors.ports import ActorSpec, Report
from spark_actors.actors.seating import Seating
from spark_actors.cluster.nodes import Common, Judgement, NodeState, Sighting, judge
from spark_actors.cluster.placing import Place, moves
from spark_actors.cluster.ports import ClusterRows, ClusterStore, RayView, SupersededError
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.telemetry import ActorsFenced, GcsSeen, NodesMeasured, RoutesMeasured

log = structlog.get_logger(__name__)


class Board(Protocol):
    """Adds up what the actors have measured."""

    def observe(self, actor_name: str, incarnation: str, snapshot: bytes) -> None: ...
    def render(self) -> bytes: ...


class ActorStatus(msgspec.Struct, frozen=True):
    """One actor as `status` shows it."""

    actor: str
    node: str
    release: str
    pid: int
    problems: list[str]
    warnings: list[str] = []


class NodeStatus(msgspec.Struct, frozen=True):
    """One node as `status` shows it."""

    node: str
    address: str
    state: NodeState
    reason: str
    actors: int


class TreeStatus(msgspec.Struct, frozen=True):
    """The whole tree as `status` shows it."""

    ready: bool
    warm: bool
    """Whether it only waits for another tree to hand over."""
    problems: list[str]
    actors: list[ActorStatus]
    nodes: list[NodeStatus]
    warnings: list[str] = []
    """What operators should see to though all works."""


@dataclass(frozen=True)
class RootPorts:
    """What the root learns from, and tells."""

    store: ClusterStore
    ray: RayView
    own_node: str
    """The id of the node on which it lives."""
    expected: Common
    """Of every node."""
    fence: Callable[[int], Fence]
    """Sees to it that a root with a successor ends itself."""
    placing: Callable[[Mapping[str, int]], Placement]
    """Where instances live if operators wish for so many slots of these pools."""
    host: Callable[[Slot], Keeper]
    """Makes the keeper of a slot's AggregateActor."""
    board: Board
    own_metrics: Callable[[], bytes]
    telemetry: Telemetry
    examines_all: bool = False
    """Whether what nodes say of themselves does not count: the actors are run by another program there."""
    now: Callable[[], float] = time.monotonic


class RootSupervisor:
    """Keeps all actors.

    *tiers*, and behind them that of the AggregateActors, go from the way in to the store; draining stops one after the
    other, so that first nothing comes in and then nothing is under way.
    """

    def __init__(
        self, tiers: Sequence[Sequence[Keeper]], seating: Seating, ports: RootPorts, *, grace_seconds: float
    ) -> None:
        self._fixed = tiers
        self._hosts: dict[str, Keeper] = {}
        """By place."""
        self._retiring: dict[str, asyncio.Task[None]] = {}
        """By place of a slot that is no more."""
        self._seating = seating
        self._ports = ports
        self._grace_seconds = grace_seconds
        self._number = 0
        """Of this root; 0 before it has become one."""
        self._superseded: SupersededError | None = None
        self._fence: Fence | None = None
        self._sightings: Sequence[Sighting] = ()
        self._judgements: dict[str, Judgement] = {}
        self._looked_at = ports.now()
        self._sure_from = 0.0
        """From then on nobody lives whom an earlier root was about to end."""
        self._telling: asyncio.TimerHandle | None = None
        self._fenced: int | None = None
        """Actors that have ended themselves before now; None before the first look."""
        self._examining: dict[str, asyncio.Task[None]] = {}
        self._examine_at: dict[str, float] = {}
        self._found: dict[str, Common] = {}
        self._unfit: dict[str, str] = {}
        """Why a node could not be examined."""
        self._loop = Loop("reconcile", self.reconcile)
        self._name_places()
        seating.is_known = self._is_known
        seating.on_change = self._tell_soon

    @property
    def _tiers(self) -> list[Sequence[Keeper]]:
        return [*self._fixed, list(self._hosts.values())]

    @property
    def _by_place(self) -> dict[str, Keeper]:
        return {keeper.spec.place: keeper for tier in self._tiers for keeper in tier}

    def _name_places(self) -> None:
        self._seating.places = {place: _place(keeper.spec) for place, keeper in self._by_place.items()}

    async def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        """Drain, tier by tier."""
        await self._loop.stop()
        for retiring in self._retiring.values():
            retiring.cancel()
        for tier in self._tiers:
            ends = await asyncio.gather(*(keeper.stop(self._grace_seconds) for keeper in tier), return_exceptions=True)
            for keeper, end in zip(tier, ends, strict=True):
                if isinstance(end, Exception):  # the other actors and tiers are stopped all the same
                    log.error("not_stopped", actor=keeper.spec.place, exc_info=end)
        await self._seating.all_ended()
        if self._fence:
            self._fence.stop()

    def open(self) -> None:
        """Have all actors begin as soon as they are warm. It is written already that the tree works."""
        self._seating.opened.set()

    @property
    def is_warm(self) -> bool:
        """Whether all actors only wait for the tree to begin."""
        return all(keeper.is_warm for keeper in self._by_place.values())

    def asked(self) -> None:
        """The driver has asked for something: it knows this root."""
        if self._fence:
            self._fence.asked()

    async def reconcile(self) -> float:
        """One round. Gives the seconds until the next. Raises what keeps it from knowing how things are."""
        if self._superseded:
            await self._give_way(self._superseded)
            raise self._superseded
        try:
            await self._look()
        except SupersededError as error:
            self._superseded = error
            await self._let_go()
            raise
        self._looked_at = self._ports.now()
        return tuning.CLUSTER_LOOK_SECONDS

    async def _look(self) -> None:
        self._sightings = await self._seen()
        written = await self._rows()
        rows = self._as_examined(written)
        # A process that stood still, in whatever it did, has not heard what others have said meanwhile.
        late = self._ports.now() - self._looked_at
        self._judgements = self._judged(rows, listened=late < tuning.CLUSTER_LOOK_SECONDS + tuning.LAG_SECONDS)
        self._seating.usable = self._usable(rows)
        if rows.is_open:
            await self._note(written)
            self.open()
        self._scale(self._ports.placing(rows.slots))
        for tier in reversed(self._tiers):
            for keeper in tier:
                keeper.start()
        for keeper in self._by_place.values():
            if (node := keeper.waits_for_node) and self._state(node) in (NodeState.SUSPECT, NodeState.GONE):
                keeper.give_up()
        self._examine(rows)
        self._move(rows)

    async def _rows(self) -> ClusterRows:
        """What is written, once this is the root: then nobody else writes any more."""
        number = self._number or await self._ports.store.become_root()
        rows = await self._ports.store.read()
        if rows.root != number:
            raise SupersededError(number)
        if not self._number:
            self._begin(number, rows)
        return rows

    def _begin(self, number: int, rows: ClusterRows) -> None:
        """Be the root from now on, on what an earlier one has left."""
        self._number = number
        self._fence = self._ports.fence(number)
        self._fence.start()
        placement = self._ports.placing(rows.slots)
        self._keep_hosts(placement)
        # Tables of this root are newer than all of those before it.
        self._seating.begin(number, rows.seats, placement, version=number << 20)
        for place in sorted(rows.seats.keys() - self._seating.places.keys()):  # an earlier root has not come to it
            self._retiring[place] = asyncio.create_task(self._vacated(place))
        if rows.seats:
            self._sure_from = self._ports.now() + tuning.FENCED_SECONDS

    def _keep_hosts(self, placement: Placement) -> None:
        for slot in placement.slots:
            if (place := names.aggregate_actor(slot)) not in self._hosts and place not in self._retiring:
                self._hosts[place] = self._ports.host(slot)
        self._name_places()

    def _scale(self, wanted: Placement) -> None:
        """Have as many slots as are wanted: new ones are filled first, then told of; what is no more ends after that.

        What is in the hand of a slot that ends stays with those who have sent it: they send it to its successor.
        """
        for place in [place for place, retiring in self._retiring.items() if retiring.done()]:
            del self._retiring[place]
        self._keep_hosts(wanted)
        places = {names.aggregate_actor(slot) for slot in wanted.slots}
        if wanted != self._seating.table.placement:
            if not places <= self._seating.table.routes.keys() - self._retiring.keys():
                return
            log.info("slots_changed", slots=len(wanted.slots))
            self._seating.place(wanted)
        for place in sorted(self._hosts.keys() - places - self._retiring.keys()):
            self._retiring[place] = asyncio.create_task(self._retired(place, self._seating.table.version))

    async def _retired(self, place: str, version: int) -> None:
        """End the AggregateActor of a slot that is not in the table of this *version* any more."""
        await self._seating.known_everywhere(version)
        await self._hosts[place].stop(self._grace_seconds)
        await self._vacated(place)
        del self._hosts[place]
        self._name_places()

    async def _vacated(self, place: str) -> None:
        while True:
            try:
                await self._seating.vacate(place)
            except StorageUnavailableError:
                await asyncio.sleep(tuning.CLUSTER_LOOK_SECONDS)
            else:
                return

    async def _give_way(self, superseded: SupersededError) -> None:
        """End the process, if there is a newer root; one whose tree has ended waits to be ended with it.

        If this is the one that Ray starts again, it becomes the newest then, and the other, whom nobody asks, ends.
        """
        if (await self._ports.store.read()).root not in (0, superseded.root):
            self._ports.fence(superseded.root).end()

    async def _let_go(self) -> None:
        """Another is the root: neither ask nor end anybody any more, or those who have successors would live on."""
        for retiring in self._retiring.values():
            retiring.cancel()
        await asyncio.gather(*(keeper.let_go() for keeper in self._by_place.values()))

    def _judged(self, rows: ClusterRows, *, listened: bool) -> dict[str, Judgement]:
        inhabited = {*self._seating.inhabited, *(keeper.waits_for_node for keeper in self._by_place.values())}
        silent = {node for node in inhabited if self._is_silent(node)} if listened else set[str]()
        judgements = judge(
            self._sightings,
            rows.nodes,
            self._ports.expected,
            own_node=self._ports.own_node,
            silent=silent,
            inhabited=inhabited,
            patience_seconds=tuning.NODE_SILENT_SECONDS if listened else float("inf"),
        )
        return {
            node_id: Judgement(NodeState.DRAINING)
            if judgement.state is NodeState.DRAINED and not self._is_surely_empty(node_id)
            else judgement
            for node_id, judgement in judgements.items()
        }

    def _is_surely_empty(self, node_id: str) -> bool:
        """Whether nobody lives on a node without actors whom this root, or an earlier one, could not end."""
        return self._ports.now() >= max(self._sure_from, self._seating.empty_from.get(node_id, 0.0))

    def _is_silent(self, node_id: str) -> bool:
        """Whether every actor there that has ever answered has been silent for too long, and there is one."""
        heard = [
            silent
            for keeper in self._by_place.values()
            if keeper.node_id == node_id and (silent := keeper.silent_seconds) is not None
        ]
        return bool(heard) and min(heard) > tuning.NODE_SILENT_SECONDS

    def _usable(self, rows: ClusterRows) -> Sequence[str]:
        """Where actors may be placed; where one was lost only if there is no other node, until that one is heard of."""
        for node_id, lost_at in list(self._seating.doubted.items()):
            ago = self._ports.now() - lost_at
            if node_id not in rows.nodes or ago > tuning.DOUBT_SECONDS or self._heard_ago(node_id, rows) < ago:
                del self._seating.doubted[node_id]
        active = [each.node_id for each in self._sightings if self._state(each.node_id) is NodeState.ACTIVE]
        return [node_id for node_id in active if node_id not in self._seating.doubted] or active

    def _heard_ago(self, node_id: str, rows: ClusterRows) -> float:
        """The seconds since the node itself, or an actor there, was heard of."""
        silences = [keeper.silent_seconds for keeper in self._by_place.values() if keeper.node_id == node_id]
        return min(
            (silent for silent in (rows.nodes[node_id].silent_seconds, *silences) if silent is not None),
            default=float("inf"),
        )

    def _state(self, node_id: str) -> NodeState:
        judgement = self._judgements.get(node_id)
        return judgement.state if judgement else NodeState.GONE

    async def _seen(self) -> Sequence[Sighting]:
        """The nodes as Ray knows them. Raises ActorUnavailableError if it does not say."""
        try:
            found = await self._ports.ray.nodes()
        except ActorUnavailableError:
            self._ports.telemetry(GcsSeen(is_up=False))
            raise
        self._ports.telemetry(GcsSeen(is_up=True))
        return found

    async def _note(self, rows: ClusterRows) -> None:
        """Write what has changed about nodes, and tell of it."""
        changed = {
            node_id: judgement
            for node_id, judgement in self._judgements.items()
            if (row := rows.nodes.get(node_id)) is None or Judgement(row.state, row.reason) != judgement
        }
        if changed:
            await self._ports.store.note(self._number, self._sightings, changed)
            for node_id, judgement in changed.items():
                log.info("node_changed", node=node_id, state=judgement.state, reason=judgement.reason)
        self._measure(rows)

    def _measure(self, rows: ClusterRows) -> None:
        tell = self._ports.telemetry
        count = Counter(judgement.state for judgement in self._judgements.values())
        hosts = Counter(
            node_id for place, node_id in self._seating.seats.items() if names.kind_of(place) == names.AGGREGATE
        )
        slots = Counter[str]()
        for each in self._sightings:
            if each.is_alive:
                slots[each.name] += hosts[each.node_id]
        tell(NodesMeasured({state: count[state] for state in NodeState}, slots))
        versions: dict[str, int] = {"root": self._seating.table.version}
        for report in (keeper.report for keeper in self._by_place.values()):
            if report and not _is_called_only(report):
                role = names.kind_of(report.actor)
                versions[role] = min(report.routes, versions.get(role, report.routes))
        tell(RoutesMeasured(versions))
        if self._fenced is not None and rows.fenced > self._fenced:
            tell(ActorsFenced(rows.fenced - self._fenced))
        self._fenced = rows.fenced

    def _examine(self, rows: ClusterRows) -> None:
        """Look at nodes that do not speak for themselves, once they have had the time to; again if that fails."""
        now = self._ports.now()
        for node_id, judgement in self._judgements.items():
            if judgement.state is not NodeState.JOINING or node_id not in rows.nodes:
                continue
            due = self._examine_at.setdefault(node_id, now + tuning.INTRODUCTION_SECONDS)
            if now >= due and (node_id not in self._examining or self._examining[node_id].done()):
                self._examine_at[node_id] = now + tuning.EXAMINE_AGAIN_SECONDS
                self._examining[node_id] = asyncio.create_task(self._examine_one(node_id))

    async def _examine_one(self, node_id: str) -> None:
        try:
            found = self._found[node_id] = await self._ports.ray.examine(node_id)
        except ActorUnavailableError as error:
            log.warning("node_not_examined", node=node_id, error=str(error))
            self._unfit[node_id] = f"nothing of this deployment works there: {error.detail}"
            return
        if not self._ports.examines_all:
            with suppress(StorageUnavailableError, SupersededError):  # for operators alone: this root knows it now
                await self._ports.store.introduce(self._number, node_id, found)

    def _as_examined(self, rows: ClusterRows) -> ClusterRows:
        """With what was found out about nodes that do not speak for themselves, or whose word does not count."""
        nodes = dict(rows.nodes)
        for node_id, row in rows.nodes.items():
            if self._ports.examines_all or not row.release:
                found = self._found.get(node_id, Common("", ""))
                nodes[node_id] = replace(row, **vars(found), reason=self._unfit.get(node_id, ""))
        return replace(rows, nodes=nodes)

    def _move(self, rows: ClusterRows) -> None:
        """Have actors move, a few at a time, to where they should be."""
        seats = {
            place: keeper.node_id
            for place, keeper in self._by_place.items()
            if (keeper.report or keeper.is_moving) and place not in self._retiring
        }
        leaving = {node for node in seats.values() if self._state(node) in (NodeState.DRAINING, NodeState.REFUSED)}
        wanted = {place: seat.wanted_node for place, seat in rows.seats.items() if seat.wanted_node}
        under_way = sum(keeper.is_moving for keeper in self._by_place.values())
        for move in moves(self._seating.places.values(), seats, self._seating.usable, leaving, wanted):
            keeper = self._by_place[move.place]
            if under_way < tuning.MOVES_AT_ONCE and not keeper.is_moving:
                keeper.move(move.node_id)
                under_way += 1

    def _is_known(self, version: int) -> bool:
        """Whether all actors that are there, and call others, go by a table of this version."""
        reports = [keeper.report for keeper in self._by_place.values()]
        return all(report.routes >= version for report in reports if report and not _is_called_only(report))

    def _tell_soon(self) -> None:
        """Have everybody told the new table; several changes that come together are told together."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(tuning.ROUTES_LOOK_SECONDS, self._tell)

    def _tell(self) -> None:
        self._telling = None
        for keeper in self._by_place.values():
            keeper.wake()

    def problems(self) -> list[str]:
        """Why the tree cannot do its work just now; empty when it can."""
        if self._loop.problem:
            return [self._loop.problem]
        refused = [
            f"node {node_id}: {judgement.reason}"
            for node_id, judgement in self._judgements.items()
            if judgement.state in (NodeState.SUSPECT, NodeState.REFUSED)
        ]
        return [*(problem for keeper in self._by_place.values() if (problem := keeper.problem)), *refused]

    def status(self) -> TreeStatus:
        problems = self.problems()
        actors = [
            ActorStatus(
                *(report.actor, keeper.node_id, report.release, report.pid),
                problems=report.problems,
                warnings=report.warnings,
            )
            for keeper in self._by_place.values()
            if (report := keeper.report)
        ]
        warnings = [f"{actor.actor}: {warning}" for actor in actors for warning in actor.warnings]
        root = ActorStatus(names.ROOT, self._ports.own_node, self._ports.expected.release, os.getpid(), [])
        return TreeStatus(not problems, self.is_warm, problems, [root, *actors], self._nodes(), warnings)

    def _nodes(self) -> list[NodeStatus]:
        inhabitants = Counter(self._seating.seats.values())
        return [
            NodeStatus(each.node_id, each.address, judgement.state, judgement.reason, inhabitants[each.node_id])
            for each in self._sightings
            if (judgement := self._judgements.get(each.node_id)) and judgement.state is not NodeState.GONE
        ]

    def metrics(self) -> bytes:
        """What all actors have measured, living and dead, as Prometheus text."""
        board = self._ports.board
        board.observe(names.ROOT, "", self._ports.own_metrics())
        for keeper in self._by_place.values():
            if keeper.report:
                board.observe(keeper.report.actor, keeper.report.incarnation, keeper.report.metrics)
        return board.render()


def _place(spec: ActorSpec) -> Place:
    kind = names.kind_of(spec.place)
    return Place(spec.place, kind, is_mobile=kind == names.AGGREGATE)


def _is_called_only(report: Report) -> bool:
    """Whether it is an AggregateActor, which calls nobody."""
    return names.kind_of(report.actor) == names.AGGREGATE
