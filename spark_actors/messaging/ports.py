"""The ports of the runtime: what supervisors, context actors and the ingress need from the outside world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

from spark_actors.kernel.messages import Event, Query
from spark_actors.kernel.sagas import SagaProgress, SagaState, StoryKey
from spark_actors.messaging.envelope import Envelope, Reply
from spark_actors.messaging.telemetry import TelemetryEvent
from spark_actors.messaging.unit_of_work import COMMANDS, Failure

INGRESS = "ingress"
"""The schema of messages that were refused at the door: they have no key, and nothing waits behind them."""

Clock = Callable[[], datetime]
"""The present, in UTC."""

Telemetry = Callable[[TelemetryEvent], None]
"""Takes a fact about the running system. Never raises, never blocks."""


class PendingMessage(NamedTuple):
    """A row of the outbox that has not left yet."""

    position: int
    """Grows with the order of writing; *not* with the order of commits across aggregates."""
    envelope: Envelope
    is_missed: bool = False
    """Whether it was read from a subscriber's missed events; the outbox need not hold it any more."""


KEPT_IN_PART = " bytes are kept of "
"""Says, in the reason of a dead letter, that its body is only the beginning of the message."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be delivered or understood, kept for an operator."""

    message_id: str
    """As far as it is known."""
    name: str
    """Wire name or subject, as far as it is known."""
    key: str
    subscriber: str
    """Who could not take it: a context, or `ingress`."""
    reason: str
    attempts: int
    body: bytes
    """The message's content, or the bytes as they came."""
    correlation_id: str
    causation_id: str
    died_at: datetime
    version: int = 1
    sequence: int = 0
    """Of an event, as in its envelope."""
    occurred_at: datetime | None = None
    """None when the message could not be read."""
    sender: str = ""
    why: str = ""
    """Of a command: as in its envelope."""


def letter_of(failure: Failure) -> DeadLetter:
    """The dead letter of a command that could not be handled."""
    message = failure.message
    return DeadLetter(
        message_id=message.message_id,
        name=message.name,
        key=message.key,
        subscriber=COMMANDS,
        reason=failure.reason,
        attempts=1,
        body=message.data,
        correlation_id=message.correlation_id,
        causation_id=message.causation_id,
        died_at=failure.failed_at,
        version=message.version,
        sequence=message.sequence,
        occurred_at=message.occurred_at,
        sender=message.sender,
        why=message.why,
    )


class KeyState(StrEnum):
    """Why the messages of a key wait."""

    PARKED = "parked"  # its first message has failed; an operator releases it
    PAUSED = "paused"  # an operator wants it so
    RELEASED = "released"  # what waits is being worked off, in order; then the key is free


class ParkedKey(NamedTuple):
    """A key whose messages wait."""

    subscriber: str
    """The context that events wait for, or `commands`."""
    key: str
    state: str


class Revision(NamedTuple):
    """Two that are equal stand for the same keys in the same states (but for a chance of 1 in 2^64)."""

    keys: int
    """How many there are."""
    digest: int


@dataclass(frozen=True)
class ParkedSummary:
    """Keys that wait for the same reason."""

    subscriber: str
    state: str
    cause: str
    """The first word of the reason."""
    keys: int
    oldest_age: timedelta


class ParkedEvents(Protocol):
    """The keys of one context's events (and commands) that must wait, and the events that wait for them.

    Calls raise StorageUnavailableError.
    """

    async def keys(self) -> Sequence[ParkedKey]:
        """All of them. One that is parked or freed meanwhile may be among them or not."""

    async def revision(self) -> Revision:
        """What tells whether `keys` would give anything else than before."""

    async def released(self, limit: int) -> Sequence[str]:
        """Keys of commands that are to be worked off, *limit* at most."""

    async def bury(self, letter: DeadLetter, envelope: Envelope) -> None:
        """At once: keep the dead letter, park its key for its subscriber, have the message wait as the first of it."""

    async def park(self, subscriber: str, envelopes: Sequence[Envelope]) -> None:
        """Let these wait behind what waits already. Twice is harmless.

        Raises StaleVersionError, and parks nothing, if a key of theirs must not wait (any more).
        """

    async def waiting(self, subscriber: str, key: str, limit: int) -> Sequence[Envelope]:
        """The first that wait for a key, in order."""

    async def take_out(self, subscriber: str, message_ids: Sequence[str]) -> None:
        """The subscriber is through with these."""

    async def close(self, subscriber: str, key: str) -> bool:
        """Free a released key if nothing waits for it; whether it is free now.

        Raises KeyParkedError if the key is not released (any more).
        """

    async def summary(self) -> Sequence[ParkedSummary]:
        """What waits, the most first; a few groups at most."""


@dataclass(frozen=True)
class MissedSummary:
    """What a subscriber that is far behind has not had yet."""

    events: int
    """Counting stops at 100,000."""
    oldest_age: timedelta


class MissedEvents(Protocol):
    """The events of one outbox that subscribers far behind have not had, kept for each of them alone.

    Calls raise StorageUnavailableError.
    """

    async def keep(self, subscriber: str, positions: Sequence[int]) -> None:
        """Have these rows of the outbox wait for *subscriber*, too. Twice is harmless.

        One that is not in the outbox (any more) is passed over: somebody has brought it to all its subscribers.
        """

    async def next(self, subscriber: str, *, floor: int, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        """At most *limit* that wait for *subscriber*, by position from *floor* on, without those in *skip*."""

    async def forget(self, subscriber: str, positions: Sequence[int]) -> None:
        """The subscriber is through with these. Twice is harmless."""

    async def summary(self) -> Mapping[str, MissedSummary]:
        """What waits, by subscriber."""


@dataclass(frozen=True)
class OutboxBacklog:
    """How far the relay is behind."""

    pending: int
    """Rows waiting; counting stops at 100,000."""
    oldest_age: timedelta
    """Age of the oldest row; zero if there is none."""


class OutboxReader(Protocol):
    """The relay's side of a context's outbox. Rows are read again and again until settled."""

    async def pending(self, *, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        """At most *limit* committed rows by position, without those whose position is in *skip*.

        A row that became visible late (its transaction committed after that of a higher position) is found by the
        next call. Raises StorageUnavailableError.
        """

    @property
    def kept_for(self) -> Collection[str]:
        """The subscribers for whom missed events were kept when `pending` last read.

        What had left the outbox by then, and one of them had not had, is among these.
        """

    async def settle(self, positions: Sequence[int]) -> None:
        """Forget rows that every subscriber has durably. Settling twice is harmless."""

    @property
    def parking(self) -> ParkedEvents:
        """Where events wait that a subscriber cannot take; the rows themselves leave with `settle`."""

    @property
    def missed(self) -> MissedEvents:
        """Where events wait for a subscriber that is far behind; the rows themselves leave with `settle`."""

    async def backlog(self) -> OutboxBacklog: ...


class DeadLetters(Protocol):
    """Where messages that nobody could take are kept and seen."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None: ...
    async def count(self) -> int: ...


@dataclass(frozen=True)
class SagaRow:
    """A story of a saga as operators see it."""

    kind: str
    saga_id: str
    step: str
    state: SagaState
    last_event: str
    correlation_id: str
    started_at: datetime
    deadline_at: datetime
    updated_at: datetime
    overdue_since: datetime | None
    """When the supervisor raised the alarm, if the saga was running past its deadline."""

    @property
    def story(self) -> StoryKey:
        return (self.kind, self.saga_id, self.correlation_id)


class SagaLog(Protocol):
    """Progress rows of the sagas that a context has started, one for each story."""

    async def merge(self, progress: Sequence[SagaProgress]) -> Sequence[SagaRow]:
        """Merge progress by rank (earliest start and highest step win); gives the rows that this call has ended.

        One that had ended before and now ends by a higher step is given again.
        """

    async def mark_overdue(self, now: datetime, limit: int) -> Sequence[SagaRow]:
        """Mark running sagas whose deadline has passed; gives those that were not marked before."""

    async def running(self) -> dict[tuple[str, bool], int]:
        """How many are running, by kind and whether they are marked overdue."""


class Received(NamedTuple):
    """An event as it was handed over, and read."""

    envelope: Envelope
    event: Event


QueryHandler: TypeAlias = Callable[[Any], Awaitable[object | None]]
"""Answers a query; None: there is no such thing. Raises StorageUnavailableError, or RefusedError for what is wrong."""
QueryHandlers: TypeAlias = Mapping[type[Query], QueryHandler]


class Asker(NamedTuple):
    """Who has asked something, as the guard knows them."""

    name: str
    """What the books call them: `operator root`."""
    subject: str
    roles: Collection[str]
    good_until: float
    """When their token ends, in Unix seconds."""
    authorization: str
    """What they have shown of who they are: to be handed on to the door, and nowhere else."""


DeskHandler: TypeAlias = Callable[[Any, Asker], Awaitable[object | None]]
"""Answers a question, or does what is asked, of the runtime itself. Raises as a QueryHandler does."""
DeskHandlers: TypeAlias = Mapping[type[Query], DeskHandler]


class CommandSender(Protocol):
    """Sends commands to aggregates."""

    async def send(self, commands: Sequence[Envelope]) -> Sequence[Reply]:
        """A reply for each, in order, once committed; LOCKED for what could not be done yet: send it again later."""


class Projection(Protocol):
    """Turns events into read models; safe to repeat and, across aggregates, in any order."""

    async def apply(self, received: Sequence[Received]) -> None:
        """All or nothing. Raises StorageUnavailableError, or ConstraintError when a row cannot be stored."""


class Maintenance(Protocol):
    """Housekeeping of a context's tables."""

    async def run(self, now: datetime) -> None:
        """Make the partitions that are needed soon, drop those past their retention. Safe to run at any time."""


class WakeUps(Protocol):
    """Hints that a context's outbox has new rows. A hint may get lost: the poll is the truth."""

    async def wait(self, timeout: timedelta) -> bool:
        """Whether a hint came within *timeout*; hints that came since the last call count."""


FARTHEST = timedelta(minutes=1)
"""No task is ever put off for so long. Near, because a task that a wrong clock put off waits up to this."""


@dataclass(frozen=True)
class ListedTask:
    """A task that is to be done, and when."""

    envelope: Envelope
    """The task as a message: its id repeats with the event that it follows from, its time is that from which on it is
    to be done."""
    due_at: datetime
    """When it is done next."""
    is_scheduled: bool = False
    """Whether it still waits for a time that its content names, rather than that a clock has."""
    attempts: int = 0
    problem: str = ""
    """Why the last attempt has not ended it, if something was wrong."""


@dataclass(frozen=True)
class TasksSummary:
    """Tasks of one kind that are to be done. Counts stop at 100,000."""

    name: str
    """Wire name."""
    waiting: int
    """How many could be done now."""
    scheduled: int
    """How many wait for their time."""
    failing: int
    """Of those waiting, how many had a problem when last tried."""
    oldest_age: timedelta
    """For how long the first has been waiting; zero if none is."""


class DurableTasks(Protocol):
    """What a context has to do outside or later. Calls raise StorageUnavailableError."""

    async def add(self, tasks: Sequence[ListedTask]) -> None:
        """Add these; one that is there already stays as it is."""

    async def due(self, name: str, now: datetime, limit: int) -> Sequence[ListedTask]:
        """At most *limit* tasks of one kind that are due at *now*, longest due first. They stay in the list.

        One that was put off until later than FARTHEST from *now* was so by a clock that has been set back: it is due.
        """

    async def put_off(self, tasks: Sequence[ListedTask]) -> None:
        """Store new due times, attempts and problems; none of these waits for a time of its own any more."""

    async def remove(self, task_ids: Sequence[str]) -> None:
        """What follows from these is durable: forget them."""

    async def summary(self) -> Sequence[TasksSummary]:
        """What is to be done, by kind of task."""


Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""
