"""Processes that can be killed, stopped and doubled, and the calls between them: what Ray and the kernel do otherwise.

A killed process is not cancelled, which would let its code clean up: whatever it does next outside its own memory
simply never returns. A stopped one goes on from there when it is resumed. A zombie has lost its name to a replacement
and goes on all the same: some calls still reach it, since whoever has called an actor keeps its address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Never, TypeVar

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop
from spark_actors.actors.ports import ActorSpec, Report
from spark_actors.messaging.crash_points import CrashPoint
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.routing import Placement
from tests.simulation.faults import Faults
from tests.simulation.history import History

T = TypeVar("T")

EPOCH = datetime(2026, 5, 6, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process has ended here, in the middle of what it did."""


class Process:
    """One life of an actor."""

    def __init__(self, machine: Machine, name: str, number: int) -> None:
        self.name = name
        self.label = f"{name.removeprefix('spark/')}#{number}"
        self.machine = machine
        self.is_alive = True
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once others can reach it no more."""
        self.ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        """The shell around what runs in it, once that has started."""
        self._runs = asyncio.Event()
        self._runs.set()
        self.batch: dict[str, Envelope] = {}
        """The commands of the turn in hand, by message id; of several with one id the first."""
        self.busy_seconds = 0.0
        """How long the transactions of the turn in hand still take."""
        self.loops: list[Loop] = []
        """What only wastes time once it is dead."""
        self.placed: list[Callable[[Placement, int], None]] = []
        """What goes by a placement in it."""
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

    def die(self, why: str) -> None:
        if self.is_alive:
            self.is_alive = False
            self.machine.history.note(self.label, f"is killed: {why}")
            self.machine.lose(self)
            for loop in self.loops:
                self.machine.spawn(loop.stop())

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


class Machine:
    """All processes by name, and the way from one to another."""

    def __init__(self, faults: Faults, history: History) -> None:
        self.faults = faults
        self.history = history
        self.listed: dict[str, Process] = {}
        self.zombies: list[Process] = []
        self.max_commands = faults.random.choice((3, 10, 100))
        """How many commands go into one turn."""
        self.is_durable: Callable[[str], bool] = lambda label: True
        """Whether a message that a producer sent is in the store, as handled or as a dead letter."""
        self.is_wanted: Callable[[str], bool] = lambda name: True
        """Whether there is to be a process of this name now."""
        self._births: dict[str, int] = {}
        self._hanging: list[asyncio.Future[None]] = []
        self._work: set[asyncio.Task[Any]] = set()

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

    def born(self, name: str) -> Process:
        """A new process under *name*."""
        self.listed[name] = process = self.made(name)
        return process

    def made(self, name: str) -> Process:
        """A new process, which has its name and is not found by it yet."""
        self._births[name] = number = self._births.get(name, 0) + 1
        process = Process(self, name, number)
        self.history.note(process.label, "is born")
        return process

    def succeed(self, old: Process, new: Process) -> None:
        """The one takes the place of the other, which lives on: some calls still reach it."""
        self.history.note(new.label, f"takes the place of {old.label}")
        self.zombies.append(old)
        self.listed[new.name] = new

    def lose(self, process: Process) -> None:
        """Nobody can reach it any more; it may live on."""
        self._delist(process)
        if not process.lost.done():
            process.lost.set_result(None)

    def _delist(self, process: Process) -> None:
        if self.listed.get(process.name) is process:
            del self.listed[process.name]

    def kill(self, name: str, why: str) -> None:
        """End the process of this name, or only lose sight of it: then it goes on as a zombie for a while."""
        process = self.listed.get(name)
        if process is None:
            return
        if self.faults.happens(self.faults.profile.zombie):
            self.double(process, why)
        else:
            process.die(why)

    def double(self, process: Process, why: str) -> None:
        """Take its name, so that it is replaced, and let it live for a while: those who know it may still call it."""
        self.history.note(process.label, f"loses its name and goes on: {why}")
        self.zombies.append(process)
        self._delist(process)
        loop = asyncio.get_running_loop()
        loop.call_later(self.faults.random.uniform(3.0, 8.0), process.die, "it was replaced")

    def cut_off(self, process: Process) -> None:
        """As `double`, and who waits for its answer hears nothing, or late: it works on all the same."""
        self.double(process, "is cut off")
        if not process.lost.done():
            process.lost.set_result(None)

    async def call(self, caller: Process, name: str, point: str, work: Callable[[Any], Awaitable[T]]) -> T:
        """Have the process called *name* do *work*; its own errors come back. Raises ActorUnavailableError.

        When that is raised the work may have been done, or never be done, or be done later.
        """
        unavailable = _unavailable(name)
        await caller.boundary(f"{point}.before", unavailable)
        callee = self._reached(name)
        if callee is None:
            raise unavailable("no such process now")
        task = self.spawn(self.serve(callee, work))
        if self.faults.happens(self.faults.profile.error / 4):
            self.history.note(caller.label, f"gives up on {name}, whose work goes on")
            raise unavailable("connection lost, the call goes on")
        await asyncio.wait((task, callee.lost), return_when=asyncio.FIRST_COMPLETED)
        await caller.boundary(f"{point}.after", unavailable)
        if not task.done():
            raise unavailable("it died")
        return task.result()  # type: ignore[no-any-return]

    def _reached(self, name: str) -> Process | None:
        """Whom a call reaches: the one of that name, or one that has lost it and lives on."""
        rivals = [process for process in self.zombies if process.name == name and process.is_alive]
        if rivals and self.faults.happens(0.5):
            return rivals[-1]
        return self.listed.get(name)

    async def serve(self, callee: Process, work: Callable[[Any], Awaitable[T]]) -> T:
        shell = await asyncio.shield(callee.ready)
        await callee.gate()
        try:
            result = await work(shell)
        except Killed:
            await self.never()
        await callee.gate()
        return result


def _unavailable(name: str) -> Callable[[str], ActorUnavailableError]:
    return lambda detail: ActorUnavailableError(name, detail)


class SimulatedChildren:
    """Port `Children`: starts processes, asks and ends them, for one keeper's process."""

    def __init__(self, machine: Machine, caller: Process) -> None:
        self._machine, self._caller = machine, caller

    async def start(self, spec: ActorSpec, patience_seconds: float) -> None:
        await self._caller.boundary("children.start", None)
        if not self._machine.is_wanted(spec.name):
            raise ActorUnavailableError(spec.name, "is not wanted now")
        child = self._machine.listed.get(spec.name)
        if child is not None and child.ready.done():
            await self.report(spec, patience_seconds)
            return
        if child is None:
            child = self._machine.born(spec.name)
            self._machine.spawn(self._begin(child, spec))
        await asyncio.wait((child.ready, child.lost), return_when=asyncio.FIRST_COMPLETED)
        await self._caller.gate()
        if not child.ready.done():
            raise ActorUnavailableError(spec.name, "died in its start")

    async def report(self, spec: ActorSpec, patience_seconds: float) -> Report:
        try:
            async with asyncio.timeout(patience_seconds):
                return await self._report(spec.name)
        except TimeoutError as error:
            raise ActorUnavailableError(spec.name, "is silent") from error

    async def _report(self, name: str) -> Report:
        await self._caller.gate()
        if (child := self._machine.listed.get(name)) is None:
            raise ActorUnavailableError(name, "no such process now")
        task = self._machine.spawn(self._machine.serve(child, lambda shell: shell.report()))
        await asyncio.wait((task, child.lost), return_when=asyncio.FIRST_COMPLETED)
        await self._caller.gate()
        if not task.done():
            raise ActorUnavailableError(name, "it died")
        report: Report = task.result()
        return report

    async def kill(self, spec: ActorSpec) -> None:
        await self._caller.gate()
        self._machine.kill(spec.name, f"by {self._caller.label}")

    async def stop(self, spec: ActorSpec, grace_seconds: float) -> None:
        await self.kill(spec)

    async def _begin(self, child: Process, spec: ActorSpec) -> None:
        await asyncio.sleep(self._machine.faults.random.uniform(0.05, 0.8))
        await child.gate()
        build: Any = spec.build()
        shell = build(child)
        await shell.start()
        child.ready.set_result(shell)
