"""The composition root of a run: the real plain classes on the stand-ins, as `spark_actors.bootstrap` does it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from spark_actors.actors import names
from spark_actors.actors.admission import Admission
from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.assembly import Service
from spark_actors.actors.context import (
    ContextActor,
    ContextService,
    EventHandler,
    Projecting,
    Refusal,
    Steps,
    Tracking,
)
from spark_actors.actors.dispatcher import Answered, Dispatcher
from spark_actors.actors.fence import Fence
from spark_actors.actors.ingress import Ingress
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.lane_runner import RelayLimits
from spark_actors.actors.lookups import HostedContext
from spark_actors.actors.loop import Loop
from spark_actors.actors.pace import IngressLimits, Pace
from spark_actors.actors.parking import CommandReleases
from spark_actors.actors.ports import ActorSpec, Overlap, RelayPorts, Report
from spark_actors.actors.queries import Queries
from spark_actors.actors.refused import RefusedMessages
from spark_actors.actors.root import RootPorts, RootSupervisor
from spark_actors.actors.routes import RouteTable
from spark_actors.actors.seating import Seating
from spark_actors.actors.supervisor import OutboxRelay, Supervisor
from spark_actors.actors.tasks import TaskListing, TaskWorkers
from spark_actors.actors.watch import Watch
from spark_actors.cluster.nodes import NodeRow
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.decisions import Verdict
from spark_actors.messaging.envelope import Envelope, Receipt, unpack_deliveries, unpack_envelopes, unpack_replies
from spark_actors.messaging.ports import INGRESS, Received
from spark_actors.messaging.retry import RetryPolicy
from spark_actors.messaging.routing import Placement, Slot, Subscriptions
from spark_actors.messaging.telemetry import TelemetryEvent
from spark_actors.messaging.unit_of_work import UnitOfWork
from spark_actors.persistence.memory_cluster import MemoryClusterStore
from tests.simulation.broker import BrokerServer, SimulatedBroker
from tests.simulation.history import name_of
from tests.simulation.machine import EXPECTED, Machine, Node, Process, SimulatedChildren, SimulatedFence, SimulatedRay
from tests.simulation.store import (
    Database,
    NoMaintenance,
    Remote,
    RemoteOutbox,
    Schema,
    SimulatedOutboxReader,
    SimulatedProjection,
    SimulatedUnitOfWork,
    SimulatedWakeUps,
)
from tests.simulation.subject import Subject

REFUSED = INGRESS
PROJECTION = "projection"
"""The port to the store of the read models, which may be one of its own."""
T = TypeVar("T")

HEARTBEAT_SECONDS, PATIENCE_SECONDS, GRACE_SECONDS = 0.7, 2.5, 3.0
MOST_SLOTS = 4
POISON = 1_000
"""More refusals than anybody tries: the event parks its key until the bug is mended and the key is released."""


def ignore(event: TelemetryEvent) -> None:
    """Nothing is counted in a run."""


@dataclass
class Shell:
    """A service inside a process, as others reach it."""

    process: Process
    service: Service
    fence: Fence | None = None

    async def start(self) -> None:
        await self.service.start()

    async def report(self, table: RouteTable | None) -> Report:
        if self.fence:
            self.fence.asked()
        routes = self.process.routes
        if table:
            routes.take(table)
        return Report(
            self.process.name, self.process.label, 0, "1", b"", self.service.problems(), routes=routes.version
        )

    async def stop(self) -> None:
        await self.service.stop()


class ContextShell(Shell):
    """A ContextActor: what it takes is noted."""

    async def take_events(self, payload: bytes) -> bytes:
        service: Any = self.service
        answer: bytes = await service.take_events(payload)
        taken = {it.message_id for it in unpack_deliveries(answer) if it.receipt is Receipt.TAKEN}
        history, context = self.process.machine.history, names_context(self.process.name)
        for envelope in unpack_envelopes(payload):
            is_taken = envelope.message_id in taken
            word = "takes" if is_taken else "does not take"
            history.note(self.process.label, f"{word} {envelope.name} of {envelope.key}", envelope.correlation_id)
            if is_taken:
                history.took(context, envelope)
        return answer


class HostShell:
    """An AggregateActor: one turn at a time, and an answer only when others can see what it has done."""

    def __init__(self, process: Process, actor: AggregateActor) -> None:
        self._process, self._actor = process, actor
        self._turn = asyncio.Lock()
        self.fence: Fence | None = None

    async def start(self) -> None:
        """Nothing to begin."""

    async def report(self, table: RouteTable | None) -> Report:
        """Beside the turn, as the Ray actor answers."""
        if self.fence:
            self.fence.asked()
        if table:
            self._actor.place(table.placement, table.version)
        return Report(self._process.name, self._process.label, 0, "1", b"")

    async def stop(self) -> None:
        """Finish what is in hand."""
        async with self._turn:
            return

    async def release(self, context: str, keys: Sequence[str], at_once: int) -> list[str]:
        async with self._turn:
            self._process.batch = {}
            return self._actor.release(context, keys, at_once)

    async def take_turn(self, context: str, payload: bytes, version: int) -> bytes:
        async with self._turn:
            await self._process.boundary("turn.begin", None)
            self._process.batch = {}
            for envelope in unpack_envelopes(payload):
                self._process.machine.history.commands.setdefault(name_of(envelope), envelope)
                self._process.batch.setdefault(envelope.message_id, envelope)
            self._process.busy_seconds = 0.0
            answer = self._take_turn(context, payload, version)
            await asyncio.sleep(self._process.busy_seconds)
            await self._process.boundary("turn.reply", None)
            return answer

    def _take_turn(self, context: str, payload: bytes, version: int) -> bytes:
        history = self._process.machine.history
        before = len(history.commits)
        answer = self._actor.take_turn(context, payload, version)
        done = {command.message_id for commit in history.commits[before:] for command, _ in commit.marks}
        moved = {reply.message_id for reply in unpack_replies(answer) if reply.verdict is Verdict.MOVED}
        if moved:
            history.note(self._process.label, f"says that {len(moved)} commands are for another slot")
        if both := done & moved:
            history.accuse(f"{self._process.label} has handled {sorted(both)}, and says that another slot is to do it")
        return answer


def names_context(actor: str) -> str:
    return actor.split("/")[1]


class NotingDispatcher(Dispatcher):
    """The real one; who posted what in which order is noted."""

    def __init__(self, process: Process, placement: Placement, hosts: Any) -> None:
        super().__init__(
            placement,
            hosts,
            max_commands=process.machine.max_commands,
            telemetry=ignore,
            draw=process.machine.faults.random.random,
        )
        self._process = process
        process.routes.follow(lambda table: self.place(table.placement, table.version))

    def post(self, commands: Sequence[Envelope]) -> asyncio.Future[list[Answered]]:
        for command in commands:
            self._process.machine.history.post(self._process.label, command)
        return super().post(commands)


class Refusing:
    """A part that cannot take some events at first, as a bug or a poisoned row would have it."""

    def __init__(self, process: Process, left: dict[tuple[str, str], int]) -> None:
        self._process, self._left = process, left
        self._context = names_context(process.name)

    async def take(self, received: Sequence[Received]) -> Mapping[str, Refusal]:
        refusals = {}
        for item in received:
            name = (self._context, item.envelope.message_id)
            if name not in self._left:
                faults = self._process.machine.faults
                is_refused = faults.happens(faults.profile.refusal)
                self._left[name] = faults.random.choice((1, 2, 3, POISON)) if is_refused else 0
            if self._left[name] > 0 and (self._process.machine.faults.is_on or self._left[name] < POISON / 2):
                self._left[name] -= 1
                refusals[item.envelope.message_id] = Refusal("seeded", Receipt.RETRY)
        return refusals


@dataclass(frozen=True)
class RayStandIn:
    """Ports `Hosts` and `Subscribers` of one process."""

    process: Process

    async def _call(self, place: str, point: str, work: Callable[[Any], Awaitable[T]]) -> T:
        """By the way that this process was told last."""
        await self.process.gate()
        call = self.process.machine.call
        return await self.process.routes.call(place, lambda callee: call(self.process, callee, point, work))

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await self._call(
            names.aggregate_actor(slot), "call.take_turn", lambda shell: shell.take_turn(context, payload, version)
        )

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await self.take_turn(slot, context, payload, version)

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        raise NotImplementedError("no message of a run kills its host")

    async def release(self, slot: Slot, context: str, keys: Sequence[str], at_once: int) -> list[str]:
        return await self._call(
            names.aggregate_actor(slot), "call.release", lambda shell: shell.release(context, keys, at_once)
        )

    async def take_events(self, subscriber: str, payload: bytes, *, alone: bool = False) -> bytes:
        return await self._call(
            names.context_actor(subscriber), "call.take_events", lambda shell: shell.take_events(payload)
        )


@dataclass
class Deployment:
    """Everything that outlives the processes of a run, and how each process is made."""

    subject: Subject
    machine: Machine
    database: Database
    broker: BrokerServer
    outside: Any
    """What the subject says is outside."""
    projection: SimulatedProjection
    settings: Placement
    """What a process goes by until it is told of another placement."""
    limits: RelayLimits
    cluster: MemoryClusterStore
    refusals_left: dict[tuple[str, str], int] = field(default_factory=dict)

    def placing(self, slots: Mapping[str, int]) -> Placement:
        """Where instances live if so many slots are wished for."""
        return replace(self.settings, shared_actors=slots.get("shared", self.settings.shared_actors))

    @property
    def placement(self) -> Placement:
        """That which is wished for now."""
        return self.placing(self.cluster.slots)

    def schema(self, context: str) -> Schema:
        return self.database.schemas[context]

    def remote(self, target: object, process: Process, kind: str) -> Any:
        return Remote(target, process, kind, self.database)

    def host(self, slot: Slot, process: Process) -> HostShell:
        hosted = [
            HostedContext(context, partial(self._unit_of_work, context.name, process))
            for context in self.subject.writing
        ]
        actor = AggregateActor(
            hosted,
            self.subject.registry,
            slot=slot,
            max_attempts=5,
            clock=process.clock,
            telemetry=ignore,
            pass_point=process.pass_point,
        )
        return HostShell(process, actor)

    def _unit_of_work(self, context: str, process: Process) -> UnitOfWork[Any]:
        return SimulatedUnitOfWork(self.database, self.schema(context), process)

    def context(self, name: str, process: Process) -> ContextShell:
        context = self.subject.application.installed(name).context
        dispatcher = self._dispatcher(process)
        does: list[EventHandler] = [Refusing(process, self.refusals_left)]
        if context.sagas:
            does.append(Tracking(context, self.remote(self.schema(name).sagas, process, "sagas"), ignore))
        if context.steps:
            does.append(Steps(context, dispatcher, self.subject.registry, process.pass_point))
        if name == self.subject.read_models:
            does.append(Projecting(context, self.remote(self.projection, process, PROJECTION)))
        loops: list[Loop] = []
        if context.to_do:
            tasks = self.remote(self.schema(name).tasks, process, "tasks")
            work = TaskWorkers(
                tasks,
                self.subject.workers(self, name, process),
                self.subject.registry,
                dispatcher,
                clock=process.clock,
                telemetry=ignore,
                pass_point=process.pass_point,
            )
            loops += work.loops
            does.append(TaskListing(context, tasks, process.clock, work.wake))
        loops += self.subject.loops(self, name, process, dispatcher)
        actor = ContextActor(context, self.subject.registry, does)
        return ContextShell(process, ContextService(actor, dispatcher, loops))

    def supervisor(self, name: str, process: Process) -> Shell:
        schema = self.schema(name)
        outbox: Any = RemoteOutbox(
            SimulatedOutboxReader(self.database, schema, self.subject.owed), process, self.database
        )
        relay = OutboxRelay(
            name,
            RelayPorts(
                outbox,
                SimulatedWakeUps(schema, process),
                RayStandIn(process),
                clock=process.clock,
                telemetry=ignore,
                pass_point=process.pass_point,
                draw=self.machine.faults.random.random,
            ),
            Subscriptions(self.subject.contexts, self.subject.registry),
            limits=self.limits,
            policy=RetryPolicy(5, BackOff(0.1, 1, jitter=0.3)),
        )
        releases = CommandReleases(
            name, outbox.parking, self.settings, RayStandIn(process), clock=process.clock, telemetry=ignore
        )
        process.routes.follow(lambda table: releases.place(table.placement, table.version))
        watch = self._watch(name, process, outbox, self.remote(schema.sagas, process, "sagas"))
        process.loops += [*relay.loops, *watch.loops, releases.loop]
        return Shell(process, Supervisor(watch, relay, releases))

    def ingress(self, group: int, process: Process) -> Shell:
        broker: Any = SimulatedBroker(self.broker, process)
        letters = self.remote(self.schema(REFUSED).letters, process, "letters")
        limits = IngressLimits(in_flight=50, batch=10, relay_backlog=20, leeway_seconds=30)
        service = Ingress(
            broker,
            Admission(
                self.subject.door,
                self.subject.guard,
                RefusedMessages(letters, self.subject.application.scrubber, process.clock, ignore),
                process.clock,
            ),
            self._dispatcher(process),
            Queries(self.subject.door, self.subject.guard, {}, process.clock, ignore),
            Pace(limits, self._relay_backlog, ignore),
            self._watch(REFUSED, process, None, None),
            pass_point=process.pass_point,
        )
        return Shell(process, service)

    def _dispatcher(self, process: Process) -> NotingDispatcher:
        return NotingDispatcher(process, self.settings, RayStandIn(process))

    async def _relay_backlog(self) -> int:
        return max(len(self.schema(context.name).outbox) for context in self.subject.writing)

    def root(self, process: Process) -> Shell:
        store: Any = self.remote(self.cluster, process, "cluster")
        seating = Seating(store)
        children = SimulatedChildren(self.machine, process)
        time = asyncio.get_running_loop().time

        def keeper(
            place: str, kind: str, build: Callable[[Process], object], *, overlap: Overlap = Overlap.WARM
        ) -> Keeper:
            fence: Any = partial(self._fence, place)
            return Keeper(
                ActorSpec(place, kind, lambda: build, fence, overlap),
                children,
                seating,
                heartbeat_seconds=HEARTBEAT_SECONDS,
                patience_seconds=PATIENCE_SECONDS,
                grace_seconds=GRACE_SECONDS,
                telemetry=ignore,
                now=time,
            )

        tiers = [
            [keeper(names.ingress(0), "Ingress", partial(self.ingress, 0), overlap=Overlap.WORK)],
            [keeper(names.supervisor(name), "Supervisor", partial(self.supervisor, name)) for name in self._writing],
            [
                keeper(names.context_actor(name), "ContextActor", partial(self.context, name))
                for name in (*self._writing, self.subject.read_models)
            ],
        ]
        board: Any = None
        ports = RootPorts(
            store,
            SimulatedRay(self.machine, process),
            own_node=process.node.node_id,
            expected=EXPECTED,
            fence=lambda number: SimulatedFence(process, number, self._asked_by(process, lambda: self.cluster.root)),
            placing=self.placing,
            host=lambda slot: keeper(
                names.aggregate_actor(slot), "AggregateActor", partial(self.host, slot), overlap=Overlap.CALLS
            ),
            board=board,
            own_metrics=lambda: b"",
            telemetry=ignore,
            now=time,
        )
        return Shell(process, RootSupervisor(tiers, seating, ports, grace_seconds=GRACE_SECONDS))

    @property
    def _writing(self) -> list[str]:
        return [context.name for context in self.subject.writing]

    @property
    def places(self) -> list[str]:
        """All that are to be filled, beside the root's."""
        contexts = [names.context_actor(name) for name in (*self._writing, self.subject.read_models)]
        hosts = [names.aggregate_actor(slot) for slot in self.placement.slots]
        return [names.ingress(0), *map(names.supervisor, self._writing), *contexts, *hosts]

    def _fence(self, place: str, process: Process) -> Fence:
        newest = self._asked_by(process, lambda: self.cluster.incarnation(place))
        return SimulatedFence(process, process.number, newest)

    def _asked_by(self, process: Process, question: Callable[[], int]) -> Callable[[], int]:
        """A look into the store, from where the process is."""

        def look() -> int:
            self.database.check(process, "cluster.look")
            return question()

        return look

    def tell_of(self, node: Node) -> None:
        """What a node says of itself, if it can."""
        if node.is_up and node.has_store and not self.database.is_away:
            self.cluster.heartbeat(NodeRow(node.node_id, "", "", EXPECTED.release, EXPECTED.fingerprint))

    def _watch(self, context: str, process: Process, outbox: Any, saga_log: Any) -> Watch:
        return Watch(
            context,
            outbox=outbox,
            saga_log=saga_log,
            dead_letters=self.remote(self.schema(context).letters, process, "letters"),
            maintenance=NoMaintenance(),
            clock=process.clock,
            telemetry=ignore,
        )
