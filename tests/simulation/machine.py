"""Processes that can be killed, stopped and doubled, and the calls between them: what Ray and the kernel do otherwise.

A killed process is not cancelled, which would let its code clean up: whatever it does next outside its own memory
simply never returns. A stopped one goes on from there when it is resumed. One that is out of sight is replaced, since
its keeper reaches it no more, and goes on all the same until its fence ends it: calls still reach it, from whoever has
not been told of its successor yet.

Each process lives on a node. A node that loses power takes all its processes with it, which the others do not notice
until Ray says so; so is one that is cut off, but its processes go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Never, TypeVar

from spark_actors.actors import names, tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.fence import Fence
from spark_actors.actors.loop import Loop
from spark_actors.actors.ports import Actor, ActorSpec, Report
from spark_actors.actors.routes import Routes, RouteTable
from spark_actors.cluster.nodes import Common, Sighting
from spark_actors.messaging.crash_points import CrashPoint
from spark_actors.messaging.envelope import Envelope
from tests.simulation.faults import Faults
from tests.simulation.history import History

T = TypeVar("T")

EXPECTED = Common("1", "the same")
"""Of every node."""
EPOCH = datetime(2026, 5, 6, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process has ended here, in the middle of what it did."""


class Process:
    """One life of an actor."""

    def __init__(self, machine: Machine, node: Node, name: str, number: int) -> None:
        """*number*: the incarnation of its place that it is."""
        self.name, self.number = name, number
        self.label = f"{name.removeprefix('spark/')}#{number}"
        self.machine, self.node = machine, node
        self.is_alive = True
        self.is_in_sight = True
        """Whether who keeps it reaches it."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once Ray tells those on other nodes that it is gone, whether it is or not."""
        self.ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        """The shell around what runs in it, once that has started."""
        self._runs = asyncio.Event()
        self._runs.set()
        self.routes = Routes()
        self.batch: dict[str, Envelope] = {}
        """The commands of the turn in hand, by message id; of several with one id the first."""
        self.busy_seconds = 0.0
        """How long the transactions of the turn in hand still take."""
        self.loops: list[Loop] = []
        """What only wastes time once it is dead."""
        self.skew = timedelta(seconds=machine.faults.random.uniform(-1, 1))

    @property
    def is_stopped(self) -> bool:
        return not self._runs.is_set()

    def clock(self) -> datetime:
        """Its own idea of the present, up to a second off."""
        return self.machine.now() + self.skew

    def stop(self) -> None:
        """SIGSTOP."""
        self._runs.clear()
        self.machine.history.note(self.label, "is stopped (SIGSTOP)")

    def resume(self) -> None:
        """SIGCONT."""
        if self.is_stopped and self.is_alive:
            self.machine.history.note(self.label, "goes on (SIGCONT)")
        self._runs.set()

    def die(self, why: str, *, is_noticed: bool = True) -> None:
        """*is_noticed*: whether Ray tells the others."""
        if self.is_alive:
            self.is_alive = False
            self.machine.history.note(self.label, f"is killed: {why}")
            self.machine.living.remove(self)
            self.ended.set_result(None)
            for loop in self.loops:
                self.machine.spawn(loop.stop())
        if is_noticed:
            self.lose()

    def lose(self) -> None:
        """Those on other nodes are told that it is gone."""
        if not self.lost.done():
            self.lost.set_result(None)

    async def gate(self) -> None:
        """Pass when the process runs; a dead one never passes."""
        while not self.is_alive or self.is_stopped:
            if not self.is_alive:
                await self.machine.never()
            await self._runs.wait()

    async def boundary(self, point: str, error: Callable[[str], Exception] | None) -> None:
        """Meet the outside world at a named point: take time, and perhaps die or be refused there."""
        await self.gate()
        await asyncio.sleep(self.machine.faults.delay())
        await self.gate()
        match self.machine.faults.strikes(point):
            case "crash":
                self.die(f"at {point}")
                await self.machine.never()
            case "error" if error is not None:
                self.machine.history.note(self.label, f"is refused at {point}")
                raise error(f"{point}: seeded fault")

    def pass_point(self, point: CrashPoint, detail: str = "") -> None:
        """Perhaps die at one of the code's own crash points."""
        if self.is_alive and self.machine.faults.strikes(point) == "crash":
            self.die(f"at {point} {detail}".rstrip())

    def boundary_now(self, point: str, error: Callable[[str], Exception]) -> None:
        """The same inside code that does not wait. Raises Killed."""
        if not self.is_alive:
            raise Killed
        match self.machine.faults.strikes(point):
            case "crash":
                self.die(f"at {point}")
                raise Killed
            case "error":
                self.machine.history.note(self.label, f"is refused at {point}")
                raise error(f"{point}: seeded fault")


class Node:
    """A machine of the cluster."""

    def __init__(self, machine: Machine, node_id: str) -> None:
        self.node_id = node_id
        self.machine = machine
        self.is_up = True
        self.is_cut = False
        """Whether no call crosses its border."""
        self.has_store = True
        """Whether the store and the broker are reached from it."""
        self.is_declared_dead = False
        """Whether Ray counts it among the dead."""
        self.changed = asyncio.Event()

    @property
    def is_reachable(self) -> bool:
        """From other nodes."""
        return self.is_up and not self.is_cut

    @property
    def processes(self) -> list[Process]:
        return [process for process in self.machine.living if process.node is self]

    def cut(self, *, has_store: bool) -> None:
        self.machine.history.note(self.node_id, f"is cut off, {'but not' if has_store else 'also'} from the store")
        self.is_cut, self.has_store = True, has_store

    def heal(self) -> None:
        """The cut is over; what Ray has taken for dead ends itself."""
        if self.is_cut and self.is_up:
            self.machine.history.note(self.node_id, "is reached again")
            self.is_cut, self.has_store = False, True
            if self.is_declared_dead:
                self.end("its raylet was taken for dead")
            for process in [process for process in self.processes if process.lost.done()]:
                process.die("the word to end it arrives")
            self._tell()

    def end(self, why: str) -> None:
        """It loses power, or its raylet ends itself, and with it all that runs there."""
        if self.is_up:
            self.machine.history.note(self.node_id, f"goes down: {why}")
            self.is_up = False
            for process in self.processes:
                process.die(f"{self.node_id} is down", is_noticed=self.is_declared_dead)

    def declare_dead(self) -> None:
        """Ray's verdict, if it does not answer."""
        if not self.is_declared_dead and not self.is_reachable:
            self.machine.history.note(self.node_id, "is dead, Ray says")
            self.is_declared_dead = True
            for process in self.machine.born_on(self):
                process.lose()
            self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Machine:
    """All processes, the nodes that they live on, and the way from one to another."""

    def __init__(self, faults: Faults, history: History) -> None:
        self.faults = faults
        self.history = history
        self.nodes: dict[str, Node] = {}
        self.living: list[Process] = []
        self.max_commands = faults.random.choice((3, 10, 100))
        """How many commands go into one turn."""
        self.is_durable: Callable[[str], bool] = lambda label: True
        """Whether a message that a producer sent is in the store, as handled or as a dead letter."""
        self._by_number: dict[tuple[str, int], Process] = {}
        self._hanging: list[asyncio.Future[None]] = []
        self._work: set[asyncio.Task[Any]] = set()
        self.head = self.join()

    @property
    def others(self) -> list[Node]:
        """All nodes but the head."""
        return [node for node in self.nodes.values() if node is not self.head]

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())

    async def never(self) -> Never:
        """Hang; the future is kept, so that nothing that hangs is collected while the run goes on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hanging.append(future)
        await future
        raise AssertionError("nobody ends this")

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    def join(self) -> Node:
        """A new node."""
        node = Node(self, f"node-{len(self.nodes)}")
        self.nodes[node.node_id] = node
        self.history.note(node.node_id, "is there")
        return node

    def born(self, name: str, number: int, node: Node) -> Process:
        """A new process; no two of one name have the same number."""
        process = self._by_number[name, number] = Process(self, node, name, number)
        self.living.append(process)
        self.history.note(process.label, f"is born on {node.node_id}")
        return process

    def born_on(self, node: Node) -> list[Process]:
        """All that were ever made there."""
        return [process for process in self._by_number.values() if process.node is node]

    def named(self, name: str, number: int) -> Process | None:
        """The one that Ray knows by that name."""
        process = self._by_number.get((name, number))
        return process if process and not process.lost.done() and process.is_in_sight else None

    def in_sight(self, kind: str = "") -> list[Process]:
        """Those that fill their places, or are about to, by name; of one kind, or of all."""
        found = (it for it in self.living if it.is_in_sight and kind in ("", names.kind_of(it.name)))
        return sorted(found, key=lambda process: (process.name, process.number))

    def kill(self, process: Process, why: str) -> None:
        """End a process, or only lose sight of it: then it goes on as a zombie for a while."""
        if not process.node.is_reachable:
            process.lose()
        elif process.is_alive and self.faults.happens(self.faults.profile.zombie):
            self.hide(process, why)
        else:
            process.die(why)

    def hide(self, process: Process, why: str) -> None:
        """Let it go on where its keeper does not see it: those who know it may still call it."""
        if process.is_alive and process.is_in_sight:
            self.history.note(process.label, f"is out of sight and goes on: {why}")
            process.is_in_sight = False

    async def call(self, caller: Process, callee: Process, point: str, work: Callable[[Any], Awaitable[T]]) -> T:
        """Have a process do *work*; its own errors come back. Raises ActorUnavailableError.

        When that is raised the work may have been done, or never be done, or be done later.
        """
        unavailable = _unavailable(callee.name)
        await caller.boundary(f"{point}.before", unavailable)
        if self._fate(caller, callee).done():
            raise unavailable("no such process now")
        task = self.spawn(self._sent(caller, callee, work))
        if self.faults.happens(self.faults.profile.error / 4):
            self.history.note(caller.label, f"gives up on {callee.label}, whose work goes on")
            raise unavailable("connection lost, the call goes on")
        await self._heard(caller, callee, task)
        await caller.boundary(f"{point}.after", unavailable)
        return _told_by(task, unavailable)  # type: ignore[no-any-return]

    async def ask(self, caller: Process, callee: Process, work: Callable[[Any], Awaitable[T]]) -> T:
        """The same for a keeper, whose calls do not go wrong by chance, but reach nobody who is out of its sight."""
        await caller.gate()
        if self._fate(caller, callee).done() or not callee.is_in_sight:
            raise ActorUnavailableError(callee.name, "no such process now")
        task = self.spawn(self._sent(caller, callee, work))
        await self._heard(caller, callee, task)
        await caller.gate()
        return _told_by(task, _unavailable(callee.name))  # type: ignore[no-any-return]

    def _fate(self, caller: Process, callee: Process) -> asyncio.Future[None]:
        """Done when the one counts as dead for the other: on one node nobody need ask Ray."""
        return callee.ended if caller.node is callee.node else callee.lost

    async def _sent(self, caller: Process, callee: Process, work: Callable[[Any], Awaitable[T]]) -> T:
        await self._connected(caller, callee)
        shell = await asyncio.shield(callee.ready)
        await callee.gate()
        try:
            result = await work(shell)
        except Killed:
            await self.never()
        await callee.gate()
        await self._connected(caller, callee)
        return result

    async def _heard(self, caller: Process, callee: Process, task: asyncio.Task[Any]) -> None:
        """Wait for an answer, or for the news that there will be none."""
        await asyncio.wait((task, self._fate(caller, callee)), return_when=asyncio.FIRST_COMPLETED)

    async def _connected(self, one: Process, other: Process) -> None:
        """Wait until something that is sent arrives."""
        while one.node is not other.node and (cut := [it.node for it in (one, other) if it.node.is_cut]):
            await cut[0].changed.wait()


def _told_by(task: asyncio.Task[Any], unavailable: Callable[[str], ActorUnavailableError]) -> Any:
    """What a call has given. One that its callee has given up, since it stops, ends as if that had died."""
    if not task.done() or task.cancelled():
        raise unavailable("it died" if not task.done() else "it stops")
    return task.result()


def _unavailable(name: str) -> Callable[[str], ActorUnavailableError]:
    return lambda detail: ActorUnavailableError(name, detail)


class SimulatedFence(Fence):
    """The real one, in the process's own loop instead of a thread beside it."""

    def __init__(self, process: Process, number: int, newest: Callable[[], int]) -> None:
        super().__init__(
            process.name,
            number,
            newest,
            end=lambda: process.die("it has a successor"),
            now=asyncio.get_running_loop().time,
        )
        self._process = process

    def start(self) -> None:
        self._process.machine.spawn(self._look_again_and_again())

    async def _look_again_and_again(self) -> None:
        wait = tuning.UNASKED_SECONDS
        while self._process.is_alive:
            await asyncio.sleep(max(wait, 0.001))  # virtual time would stand still over less than it can tell apart
            await self._process.gate()
            wait = self.look()


class SimulatedChildren:
    """Port `Children`: starts processes, asks and ends them, for the root's process."""

    def __init__(self, machine: Machine, caller: Process) -> None:
        self._machine, self._caller = machine, caller

    async def make(self, spec: ActorSpec, incarnation: int, node_id: str) -> Actor:
        await self._caller.boundary("children.start", None)
        node = self._machine.nodes[node_id]
        try:
            async with asyncio.timeout(tuning.START_SECONDS):
                while not node.is_reachable and not node.is_declared_dead:
                    await node.changed.wait()
            if node.is_declared_dead:
                raise ActorUnavailableError(spec.place, "its node is dead")
            child = self._machine.born(spec.place, incarnation, node)
            self._machine.spawn(self._build(child, spec))
            try:
                async with asyncio.timeout(tuning.START_SECONDS):
                    await self._machine.ask(self._caller, child, _nothing)
            except (ActorUnavailableError, TimeoutError, asyncio.CancelledError):
                if self._caller.is_alive:
                    self._machine.kill(child, "nobody waits for it any more")
                raise
        except TimeoutError as error:
            await self._caller.gate()
            raise ActorUnavailableError(spec.place, "does not start") from error
        return Actor(spec, incarnation, node_id, child)

    async def begin(self, actor: Actor) -> None:
        await self._caller.boundary("children.begin", None)
        await self._machine.ask(self._caller, actor.handle, lambda shell: shell.start())

    async def find(self, spec: ActorSpec, incarnation: int, node_id: str) -> Actor:
        await self._caller.gate()
        if (found := self._machine.named(spec.place, incarnation)) is None:
            raise ActorUnavailableError(spec.place, "cannot be found")
        return Actor(spec, incarnation, node_id, found)

    async def report(self, actor: Actor, routes: RouteTable | None, patience_seconds: float) -> Report:
        try:
            async with asyncio.timeout(patience_seconds):
                return await self._machine.ask(self._caller, actor.handle, lambda shell: shell.report(routes))
        except TimeoutError as error:
            await self._caller.gate()
            raise ActorUnavailableError(actor.spec.place, "is silent") from error

    async def kill(self, actor: Actor) -> None:
        await self._caller.gate()
        self._machine.kill(actor.handle, f"by {self._caller.label}")

    async def stop(self, actor: Actor, grace_seconds: float) -> bool:
        try:
            async with asyncio.timeout(grace_seconds):
                await self._machine.ask(self._caller, actor.handle, lambda shell: shell.stop())
        except (ActorUnavailableError, TimeoutError):
            await self.kill(actor)
            return False
        await self._caller.gate()
        actor.handle.die(f"it has finished, says {self._caller.label}")
        return True

    async def _build(self, child: Process, spec: ActorSpec) -> None:
        await asyncio.sleep(self._machine.faults.random.uniform(0.05, 0.8))
        await child.gate()
        build: Any = spec.build()
        shell = build(child)
        shell.fence = spec.fence(child)  # type: ignore[arg-type]  # here a process knows its own number
        shell.fence.start()
        child.ready.set_result(shell)


async def _nothing(shell: Any) -> None:
    """To be answered is enough."""


class SimulatedRay:
    """Port `RayView`, for the root's process."""

    def __init__(self, machine: Machine, caller: Process) -> None:
        self._machine, self._caller = machine, caller

    async def nodes(self) -> Sequence[Sighting]:
        await self._caller.boundary("ray.nodes", _unavailable("Ray's GCS"))
        return [Sighting(node.node_id, "", "", not node.is_declared_dead) for node in self._machine.nodes.values()]

    async def examine(self, node_id: str) -> Common:
        """A node that is reached has the same as all others."""
        await self._caller.boundary("ray.examine", _unavailable(node_id))
        if not self._machine.nodes[node_id].is_reachable:
            raise ActorUnavailableError(node_id, "does not answer")
        return EXPECTED
