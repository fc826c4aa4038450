"""The ports through which the runtime reaches a context's store. Adapters: Postgres, and memory for unit tests.

One contract suite (`tests/contracts`) holds every adapter to what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Generic, NamedTuple, Protocol, TypeVar

from spark_actors.kernel.decisions import Outcome
from spark_actors.messaging.envelope import Envelope

S = TypeVar("S")


class Versioned(NamedTuple, Generic[S]):
    """A state and the version it was stored under. Version 0 with no state: the instance does not exist."""

    state: S | None
    version: int


class Change(NamedTuple, Generic[S]):
    """An instance to be stored: refused unless the store still holds *expected_version* (0: must not exist)."""

    key: str
    expected_version: int
    version: int
    """The version it is stored under, greater than *expected_version*."""
    state: S


class InboxMark(NamedTuple):
    """A message that was handled, and how it ended."""

    message_id: str
    outcome: Outcome
    key: str | None = None
    """The instance that it was for; None for a command that has waited its turn (see `Parking`)."""
    digest: bytes | None = None
    """Of what was asked, so that the id is not taken for anything else; None where nobody chooses the id."""


class Handled(NamedTuple):
    """What is known of a message that came before: how it ended, or that it waits (Verdict.PARKED)."""

    outcome: Outcome
    digest: bytes | None
    """As it was marked; None: whatever comes under this id is the same message."""


COMMANDS = "commands"
"""What commands wait for, where the name of a context says which subscriber events wait for."""


class OperatorAction(NamedTuple):
    """What somebody did by hand, and why."""

    who: str
    """As in the envelope: `operator root`."""
    why: str
    action: str
    """The wire name of the command."""
    key: str
    message_id: str
    detail: str
    """How it ended, and what was asked."""


class Failure(NamedTuple):
    """A command that cannot be handled as it is."""

    message: Envelope
    reason: str
    failed_at: datetime


@dataclass(frozen=True)
class Unreadable:
    """Stands for a state that cannot be built from its row."""

    error: Exception


class Effect(NamedTuple, Generic[S]):
    """What one command of a turn does to the store."""

    key: str
    state: S | None
    """The next state of its instance; None: it stays as it is."""
    records: Sequence[object]


class Repository(Protocol[S]):
    """Loads and saves many instances of one aggregate at once."""

    def load(self, keys: Sequence[str]) -> Mapping[str, Versioned[S]]:
        """The named instances; one that does not exist comes as `Versioned(None, 0)`. At once, one round trip.

        One whose state cannot be built from its row comes with an `Unreadable` in its place; the others are not
        touched by it.
        """

    def locked(self, keys: Sequence[str]) -> frozenset[str]:
        """Those of the named instances that somebody else holds a lock on. At once, one round trip.

        It waits for no instance. Raises RowLockedError if somebody holds all of them at once, as a migration does.
        """

    def save(
        self,
        changes: Sequence[Change[S]],
        records: Sequence[object],
        unchanged: Mapping[str, int],
        senders: Sequence[str] = (),
    ) -> None:
        """Store the states and add the rows to the aggregate's books, in order, with the unit of work's commit.

        *senders* says who sent the command behind each record, from outside; a book may keep it.
        *unchanged* names the instances that were decided on but stay as they are (a refusal, say) and their versions
        (0: does not exist). The commit raises StaleVersionError if any of these, or of *changes*, has another
        version in the store by then: a stale writer may not even refuse.
        """

    def offenders(self, effects: Sequence[Effect[S]]) -> Mapping[int, str]:
        """Which of these (by place) break a named rule, and which: against the store, and against those before them.

        Of two that want the same, the first one has it. At once, one round trip. What is no rule between rows (a
        check on one row, a value that cannot be stored) is not found.
        """


class Inbox(Protocol):
    """The messages that a context has handled, remembered for a declared time."""

    def handled(self, message_ids: Sequence[str]) -> Mapping[str, Handled]:
        """Those of *message_ids* that were handled before, or wait for their key. At once, one round trip."""

    def mark(self, marks: Sequence[InboxMark]) -> None:
        """Remember these with the unit of work's commit.

        It raises DuplicateMessageError if one is known, at every instant and whatever week it is; KeyParkedError if
        the key of one must wait, or a command waits that has the id of one (see `InboxMark.key`).
        """


class Outbox(Protocol):
    """Where events wait, in the aggregate's own transaction, until every subscriber has them."""

    def add(self, messages: Sequence[Envelope]) -> None:
        """Add these, in order, with the unit of work's commit."""


class Parking(Protocol):
    """Keys whose commands must wait, and the commands that wait for them, in order.

    A key waits from `bury` (or an operator's pause) until it was released and nothing waits for it any more.
    """

    def parked(self, keys: Sequence[str]) -> frozenset[str]:
        """Those of *keys* that must wait. At once, one round trip."""

    def waiting(self, key: str, limit: int) -> Sequence[Envelope]:
        """The first commands that wait for *key*, in order. At once, one round trip."""

    def bury(self, failures: Sequence[Failure]) -> None:
        """With the commit: keep a dead letter of each, park its key, and have it wait as the first of that key."""

    def add(self, messages: Sequence[Envelope]) -> None:
        """With the commit: let these wait behind what waits already. To park one twice is harmless.

        The commit raises StaleVersionError if a key of theirs must not wait (any more).
        """

    def take_out(self, key: str, message_ids: Sequence[str]) -> None:
        """With the commit: *key* is being worked off and these commands of it are through.

        When nothing is left the key is free again. The commit raises KeyParkedError if the key is not released.
        """


class UnitOfWork(Protocol[S]):
    """One transaction of one context. What is not committed when the block ends is as if it had never been.

    `commit` sends everything in one round trip and raises StaleVersionError, DuplicateMessageError, KeyParkedError,
    ConstraintError, RowLockedError or StorageUnavailableError; after any of these nothing of it is stored. (If the
    connection breaks during `commit`, StorageUnavailableError means *unknown*: the inbox tells on the next try.)
    """

    @property
    def repository(self) -> Repository[S]: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def parking(self) -> Parking: ...

    def audit(self, actions: Sequence[OperatorAction]) -> None:
        """With the commit: remember what was done by hand."""

    def commit(self) -> None: ...
    def __enter__(self) -> UnitOfWork[S]: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class UnitOfWorkFactory(Protocol):
    """Begins a unit of work; the kind of aggregate is that of the context it was made for."""

    def __call__(self) -> UnitOfWork[object]: ...
