"""The database of a run: the store in memory, with late visibility, outages and crash points around each call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import Event
from spark_actors.kernel.sagas import SagaProgress
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KeyState, OutboxBacklog, PendingMessage, Received, SagaRow
from spark_actors.messaging.unit_of_work import Versioned
from spark_actors.persistence.memory import (
    MemoryOutboxReader,
    MemoryRepository,
    MemorySagaLog,
    MemoryStore,
    MemoryUnitOfWork,
)
from spark_actors.persistence.memory_tasks import MemoryDurableTasks
from spark_actors.persistence.outbox import Floor
from spark_actors.persistence.tables import AggregateTable
from tests.simulation.history import Committed, History
from tests.simulation.machine import Machine, Process

RISE_DISTANCE = 5
"""Small, so that the floor rises often in a small world."""
LONGEST_COMMIT_SECONDS = 0.05
LOOKS = ("keys", "revision", "released", "count", "backlog", "summary", "running", "read")
"""Calls that only look, again and again: they take no time here, since what waits for nothing would cost the most."""


class SmallFloor(Floor):
    """The real floor, which rises sooner."""

    @property
    def wants_writers(self) -> bool:
        return bool(self.writers) or (self.writers is None and self.seen >= self.position + RISE_DISTANCE)


@dataclass
class _Open:
    """A transaction that holds its positions and that no reader sees yet."""

    process: Process
    keys: frozenset[str]
    positions: range


@dataclass
class Database:
    """One server for all contexts: it may be away, and comes back as another run of itself."""

    machine: Machine
    runs: int = 1
    is_away: bool = False
    away: set[str] = field(default_factory=set)
    """Ports whose own server is away, whatever the others do."""
    schemas: dict[str, Schema] = field(default_factory=dict)

    def check(self, process: Process, point: str) -> None:
        """Raises StorageUnavailableError while the server is away."""
        if self.is_away or not process.node.has_store or point.partition(".")[0] in self.away:
            raise StorageUnavailableError(f"{point}: the server is away")

    async def outage(self, seconds: float) -> None:
        self.machine.history.note("store", f"goes away for {seconds:.2f} s")
        self.is_away = True
        await asyncio.sleep(seconds)
        self.is_away = False
        self.runs += 1
        self.machine.history.note("store", "is back")
        for schema in self.schemas.values():
            schema.hint(is_sure=True)


class Schema(MemoryStore):
    """The tables of one context.

    A commit is durable at once. Its outbox rows are seen a little later, as if the transaction had taken that long, and
    so behind those of higher positions; whoever touches the same keys meanwhile has waited for it.
    """

    def __init__(self, context: str, database: Database, table: AggregateTable[Any] | None = None) -> None:
        super().__init__(table)
        self.context = context
        self.machine = database.machine
        self.sagas = SimulatedSagaLog(self.machine.history)
        self.tasks = MemoryDurableTasks(self.machine.now)
        self.listeners: list[SimulatedWakeUps] = []
        self._open: dict[int, _Open] = {}
        self._next_transaction = 1
        database.schemas[context] = self

    @property
    def writers(self) -> set[str]:
        """The transactions that are open."""
        return set(map(str, self._open))

    def waiting_for(self, subscriber: str, key: str) -> set[str]:
        """The messages that wait for a parked key."""
        return {message.message_id for message in self.parked.messages.get((subscriber, key), ())}

    def release_keys(self) -> None:
        """What an operator does once the bug is mended."""
        for (subscriber, key), parked in list(self.parked.keys.items()):
            if parked.state != KeyState.RELEASED:
                self.machine.history.note("operator", f"releases {key} for {subscriber}")
                self.parked.set(subscriber, key, KeyState.RELEASED, parked.reason, self.machine.now())

    def visible(self) -> dict[int, Envelope]:
        hidden = {position for it in self._open.values() for position in it.positions}
        return {position: row for position, row in self.outbox.items() if position not in hidden}

    def await_writers(self, keys: Collection[str], process: Process) -> None:
        """Whoever writes these keys, or in this process, is through before anything goes on."""
        for number in [n for n, it in self._open.items() if it.process is process or not it.keys.isdisjoint(keys)]:
            self._show(number)

    def commit_for(self, process: Process, turn: Any) -> float:
        """Commit and say after how many seconds all can see it."""
        keys = frozenset([*(change.key for change in turn.changes), *turn.unchanged])
        self.await_writers(keys, process)
        first = self._last_position + 1
        self.commit(turn)
        events = [self.outbox[position] for position in range(first, self._last_position + 1)]
        marks = [(self._command(process, mark.message_id), mark.outcome) for mark in turn.marks]
        history = self.machine.history
        history.commits.append(Committed(self.context, marks, events))
        for command, outcome in marks:
            told = f"commits {command.name} of {command.key}: {outcome.verdict} {outcome.reason}".rstrip()
            history.note(process.label, told, command.correlation_id)
        history.look(history.onlooker.committed(history.commits[-1]))
        self._next_transaction = number = self._next_transaction + 1
        self._open[number] = _Open(process, keys, range(first, self._last_position + 1))
        lasts = min(self.machine.faults.delay(), LONGEST_COMMIT_SECONDS)
        asyncio.get_running_loop().call_later(lasts, self._show, number)
        return lasts

    def hint(self, *, is_sure: bool = False) -> None:
        """Tell the listeners of new rows; a hint may get lost."""
        for listener in self.listeners:
            if is_sure or not (self.machine.faults.profile.loses_hints and self.machine.faults.happens(0.5)):
                listener.ring()

    def _show(self, number: int) -> None:
        if self._open.pop(number, None) is not None:
            self.hint()

    def _command(self, process: Process, message_id: str) -> Envelope:
        """What was handled under this id: of the turn in hand, or of what waited for a released key."""
        if command := process.batch.get(message_id):
            return command
        return next(it for it in self.machine.history.commands.values() if it.message_id == message_id)


class SimulatedSagaLog(MemorySagaLog):
    """Port `SagaLog`; whoever looks sees each change at once."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history

    async def merge(self, progress: Sequence[SagaProgress]) -> Sequence[SagaRow]:
        ended = await super().merge(progress)
        self._history.look(self._history.onlooker.tracked(progress))
        return ended


class _Repository(MemoryRepository[Any]):
    def __init__(self, schema: Schema, process: Process, turn: Any, database: Database) -> None:
        super().__init__(schema, turn)
        self._schema, self._process, self._database = schema, process, database

    def load(self, keys: Sequence[str]) -> Mapping[str, Versioned[Any]]:
        self._database.check(self._process, "load")
        self._process.boundary_now("turn.load.before", StorageUnavailableError)
        self._schema.await_writers(keys, self._process)
        return super().load(keys)


class SimulatedUnitOfWork(MemoryUnitOfWork[Any]):
    """A unit of work of one process, with the crash points of a commit."""

    def __init__(self, database: Database, schema: Schema, process: Process) -> None:
        self._database, self._schema, self._process = database, schema, process
        self.lasts = 0.0
        super().__init__(schema)

    def commit(self) -> None:
        turn = self._turn
        self._begin()
        self._database.check(self._process, "commit")
        self._process.boundary_now("turn.commit.before", StorageUnavailableError)
        self._process.busy_seconds = max(self._process.busy_seconds, self._schema.commit_for(self._process, turn))
        self._process.boundary_now("turn.commit.after", StorageUnavailableError)

    def _begin(self) -> None:
        super()._begin()
        self._repository = _Repository(self._schema, self._process, self._turn, self._database)


class SimulatedWakeUps:
    """Port `WakeUps` for one process."""

    def __init__(self, schema: Schema, process: Process) -> None:
        self._process = process
        self._hint = asyncio.Event()
        self._hint.set()  # a new connection counts as a hint
        schema.listeners.append(self)

    def ring(self) -> None:
        self._hint.set()

    async def wait(self, timeout: timedelta) -> bool:
        await self._process.gate()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._hint.wait()
        except TimeoutError:
            return False
        self._hint.clear()
        await self._process.gate()
        return True


class SimulatedOutboxReader(MemoryOutboxReader):
    """Port `OutboxReader` of one process: sees what is visible, above the real floor."""

    def __init__(self, database: Database, schema: Schema, owed: Callable[[Envelope], Sequence[str]]) -> None:
        super().__init__(schema, schema.letters, schema.machine.now)
        self._database, self._schema, self._owed = database, schema, owed
        self.floor = SmallFloor()
        self._server = 0

    async def pending(self, *, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        if self._server != self._database.runs:
            self.floor, self._server = SmallFloor(), self._database.runs
        rows = self._read(skip, limit)
        self.floor.rise([*skip, *(row.position for row in rows)])
        if self.floor.wants_writers:
            await asyncio.sleep(0.001)
            self.floor.note(self._schema.writers)
        return rows

    def _read(self, skip: Collection[int], limit: int) -> list[PendingMessage]:
        self._note_kept()
        visible = self._schema.visible()
        waiting = sorted(position for position in visible if position >= self.floor.position and position not in skip)
        return [PendingMessage(position, visible[position]) for position in waiting[:limit]]

    async def settle(self, positions: Sequence[int]) -> None:
        history = self._schema.machine.history
        for position in positions:
            if (row := self._schema.outbox.get(position)) is None:
                continue
            for subscriber in self._owed(row):
                waits = row.message_id in self._schema.waiting_for(subscriber, row.key) or (
                    position in self._schema.missed[subscriber]
                )
                if (subscriber, row.message_id) not in history.taken_by and not waits:
                    history.accuse(f"{row.name} left the outbox before {subscriber} had it")
            history.note(f"{self._schema.context}/outbox", f"settles {row.name} of {row.key}", row.correlation_id)
        await super().settle(positions)

    async def backlog(self) -> OutboxBacklog:
        return OutboxBacklog(len(self._schema.outbox), timedelta())


class SimulatedProjection:
    """Port `Projection`: the real rows, merged as the store merges them."""

    def __init__(self, history: History, rows_of: Callable[[Envelope, Event], Sequence[Any]]) -> None:
        self.rows: dict[tuple[type[Any], str], Any] = {}
        self._history, self._rows_of = history, rows_of

    async def apply(self, received: Sequence[Received]) -> None:
        for envelope, event in received:
            for row in self._rows_of(envelope, event):
                known = self.rows.get((type(row), row.key))
                self.rows[type(row), row.key] = now = row if known is None else known.merged(row)
                self._history.look(self._history.onlooker.shown(known, now))


class Remote:
    """An asynchronous port as one process reaches it: each call takes time, may be refused, and may be the last."""

    def __init__(self, target: object, process: Process, kind: str, database: Database) -> None:
        self._target, self._process, self._kind, self._database = target, process, kind, database

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        target, point = getattr(self._target, method), f"{self._kind}.{method}"

        async def look(*args: Any, **named: Any) -> Any:
            await self._process.gate()
            self._database.check(self._process, point)
            return await target(*args, **named)

        async def call(*args: Any, **named: Any) -> Any:
            await self._process.boundary(f"{point}.before", StorageUnavailableError)
            self._database.check(self._process, point)
            result = await target(*args, **named)
            await self._process.boundary(f"{point}.after", StorageUnavailableError)
            return result

        return look if method in LOOKS else call


class RemoteOutbox(Remote):
    """The outbox with the parked keys and the missed events behind it."""

    def __init__(self, reader: SimulatedOutboxReader, process: Process, database: Database) -> None:
        super().__init__(reader, process, "outbox", database)
        self.parking = Remote(reader.parking, process, "parking", database)
        self.missed = Remote(reader.missed, process, "missed", database)
        self._reader = reader

    @property
    def kept_for(self) -> Collection[str]:
        return self._reader.kept_for


class NoMaintenance:
    """Port `Maintenance`: a run is too short for any."""

    async def run(self, now: datetime) -> None:
        """Nothing to do."""
