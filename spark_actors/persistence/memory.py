"""The store in memory, for unit tests: the promises of Postgres, named constraints included, without durability."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Generic, TypeVar

from spark_actors.kernel.decisions import PARKED, Outcome
from spark_actors.kernel.errors import (
    ConstraintError,
    DuplicateMessageError,
    KeyParkedError,
    RowLockedError,
    StaleVersionError,
)
from spark_actors.kernel.sagas import SagaProgress, SagaState, StoryKey, merged_progress
from spark_actors.messaging.envelope import Envelope, content_digest
from spark_actors.messaging.ports import Clock, MissedSummary, OutboxBacklog, PendingMessage, SagaRow, letter_of
from spark_actors.messaging.unit_of_work import (
    COMMANDS,
    Change,
    Effect,
    Failure,
    Handled,
    InboxMark,
    OperatorAction,
    Versioned,
)
from spark_actors.persistence.memory_parking import MemoryDeadLetters, MemoryParkedEvents, ParkedRows
from spark_actors.persistence.rules import Claim, Rule, Values, claims_by_rule, offenders
from spark_actors.persistence.tables import AggregateTable

S = TypeVar("S")


@dataclass
class _Turn:
    """What one unit of work wants to store."""

    marks: list[InboxMark] = field(default_factory=list)
    changes: list[Change[Any]] = field(default_factory=list)
    unchanged: dict[str, int] = field(default_factory=dict)
    records: list[object] = field(default_factory=list)
    outgoing: list[Envelope] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    waiting: list[Envelope] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    """Who sent the command behind each record."""
    actions: list[OperatorAction] = field(default_factory=list)
    through: list[tuple[str, Sequence[str]]] = field(default_factory=list)
    """Released keys, and which of their messages are through."""


class MemoryStore:
    """The tables of one context. Safe for threads; a commit is all or nothing."""

    def __init__(self, table: AggregateTable[Any] | None = None) -> None:
        self.rules: Sequence[Rule] = table.rules if table else ()
        self.checks = table.checks if table else {}
        self.instances: dict[str, Versioned[Any]] = {}
        self.records: list[object] = []
        self.senders: list[str] = []
        """Of each record."""
        self.actions: list[OperatorAction] = []
        self.locked: set[str] = set()
        """Keys of instances that somebody else holds a lock on: a commit that needs one is refused."""
        self.outcomes: dict[str, Outcome] = {}
        self.digests: dict[str, bytes | None] = {}
        self.outbox: dict[int, Envelope] = {}
        self.parked = ParkedRows()
        self.missed: defaultdict[str, dict[int, Envelope]] = defaultdict(dict)
        """By subscriber and position."""
        self.letters = MemoryDeadLetters()
        self._last_position = 0
        self._lock = threading.Lock()

    def commit(self, turn: _Turn) -> None:
        """Check all, then write all."""
        with self._lock:
            self._refuse_locked(turn)
            self._refuse_duplicates(turn.marks)
            self._refuse_parked(turn)
            self._refuse_stale(turn)
            self._refuse_states(turn.changes)
            self._refuse_records(turn.records)
            self._write(turn)

    def _refuse_locked(self, turn: _Turn) -> None:
        touched = {change.key for change in turn.changes} | turn.unchanged.keys()
        if locked := touched & self.locked:
            raise RowLockedError(f"somebody else holds {min(locked)}")

    def _refuse_duplicates(self, marks: Sequence[InboxMark]) -> None:
        counts = Counter(mark.message_id for mark in marks)
        if known := [name for name, count in counts.items() if count > 1 or name in self.outcomes]:
            raise DuplicateMessageError(f"handled before: {known[0]}")

    def _refuse_parked(self, turn: _Turn) -> None:
        if parked := [mark.key for mark in turn.marks if mark.key is not None and self.must_wait(mark.key)]:
            raise KeyParkedError(f"key {parked[0]} must wait")
        if waiting := self.waiting_of([mark.message_id for mark in turn.marks if mark.key is not None]):
            raise KeyParkedError(f"{min(waiting)} waits")
        for key, _ in turn.through:
            self.parked.refuse_unreleased(COMMANDS, key)
        failed = {failure.message.key for failure in turn.failures}
        self.parked.refuse_free(COMMANDS, [message.key for message in turn.waiting if message.key not in failed])

    def must_wait(self, key: str) -> bool:
        return (COMMANDS, key) in self.parked.keys

    def waiting_of(self, message_ids: Sequence[str]) -> dict[str, Envelope]:
        """Those of these commands that wait."""
        wanted = set(message_ids)
        rows = (rows for (subscriber, _), rows in self.parked.messages.items() if subscriber == COMMANDS)
        return {
            message.message_id: message for messages in rows for message in messages if message.message_id in wanted
        }

    def held(self, rule: Rule, claims: Sequence[Claim]) -> dict[Values, list[str]]:
        """What of *claims* is in the store, as `rules.probe` asks Postgres."""
        wanted = {claim.values for claim in claims}
        if rule.key:
            rows = [(held.state, key) for key, held in self.instances.items()]
        else:
            rows = [(record, "") for record in self.records]
        said = rule.provided if rule.refers_to else rule.claimed
        found: defaultdict[Values, list[str]] = defaultdict(list)
        for row, key in rows:
            if (values := said(row)) is not None and values in wanted:
                found[values].append(key)
        return found

    def _refuse_stale(self, turn: _Turn) -> None:
        expected = {change.key: change.expected_version for change in turn.changes} | turn.unchanged
        for key, version in expected.items():
            if self._find(key).version != version:
                raise StaleVersionError(f"{key} has another version than {version}")

    def _refuse_states(self, changes: Sequence[Change[Any]]) -> None:
        after = {key: held.state for key, held in self.instances.items()}
        after |= {change.key: change.state for change in changes}
        for state in after.values():
            if broken := next((name for name, holds in self.checks.items() if not holds(state)), None):
                raise ConstraintError(broken, str(state))
        _refuse_broken([rule for rule in self.rules if rule.key], list(after.values()))

    def _refuse_records(self, records: Sequence[object]) -> None:
        if records:
            _refuse_broken([rule for rule in self.rules if not rule.key], [*self.records, *records])

    def _write(self, turn: _Turn) -> None:
        self.outcomes |= {mark.message_id: mark.outcome for mark in turn.marks}
        self.digests |= {mark.message_id: mark.digest for mark in turn.marks}
        self.instances |= {change.key: Versioned(change.state, change.version) for change in turn.changes}
        self.records += turn.records
        self.senders += turn.senders or [""] * len(turn.records)
        self.actions += turn.actions
        for message in turn.outgoing:
            self._last_position += 1
            self.outbox[self._last_position] = message
        self._write_parked(turn)

    def _write_parked(self, turn: _Turn) -> None:
        for key, message_ids in turn.through:
            self.parked.take_out(COMMANDS, key, message_ids)
        letters = [letter_of(failure) for failure in turn.failures]
        self.letters.add(letters)
        for letter in letters:
            self.parked.park(letter)
        self.parked.add(COMMANDS, [failure.message for failure in turn.failures])
        self.parked.add(COMMANDS, turn.waiting)
        for key, _ in turn.through:
            self.parked.close(COMMANDS, key)

    def _find(self, key: str) -> Versioned[Any]:
        return self.instances.get(key) or Versioned(None, 0)


def _refuse_broken(rules: Iterable[Rule], rows: Sequence[object]) -> None:
    for rule in rules:
        claimed = Counter(values for row in rows if (values := rule.claimed(row)) is not None)
        if rule.refers_to:
            known = {rule.provided(row) for row in rows}
            broken = [values for values in claimed if values not in known]
        else:
            broken = [values for values, count in claimed.items() if count > rule.at_most]
        if broken:
            raise ConstraintError(rule.name, str(broken[0]))


class MemoryRepository(Generic[S]):
    """Port `Repository`."""

    def __init__(self, store: MemoryStore, turn: _Turn) -> None:
        self._store, self._turn = store, turn

    def load(self, keys: Sequence[str]) -> Mapping[str, Versioned[S]]:
        return {key: self._store.instances.get(key) or Versioned(None, 0) for key in keys}

    def locked(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(self._store.locked.intersection(keys))

    def save(
        self,
        changes: Sequence[Change[S]],
        records: Sequence[object],
        unchanged: Mapping[str, int],
        senders: Sequence[str] = (),
    ) -> None:
        self._turn.changes += changes
        self._turn.records += records
        self._turn.senders += senders
        self._turn.unchanged |= unchanged

    def offenders(self, effects: Sequence[Effect[S]]) -> Mapping[int, str]:
        rules = self._store.rules
        claims = claims_by_rule(rules, effects)
        held = {rule: self._store.held(rule, claims[rule]) for rule in rules if claims[rule]}
        return offenders(rules, effects, claims, held)


class MemoryInbox:
    """Port `Inbox`; it never forgets."""

    def __init__(self, store: MemoryStore, turn: _Turn) -> None:
        self._store, self._turn = store, turn

    def handled(self, message_ids: Sequence[str]) -> Mapping[str, Handled]:
        store = self._store
        waiting = store.waiting_of(message_ids)
        parked = {name: Handled(PARKED, content_digest(message)) for name, message in waiting.items()}
        done = {
            name: Handled(store.outcomes[name], store.digests.get(name))
            for name in message_ids
            if name in store.outcomes
        }
        return parked | done

    def mark(self, marks: Sequence[InboxMark]) -> None:
        self._turn.marks += marks


class MemoryOutbox:
    """Port `Outbox`."""

    def __init__(self, turn: _Turn) -> None:
        self._turn = turn

    def add(self, messages: Sequence[Envelope]) -> None:
        self._turn.outgoing += messages


class MemoryParking:
    """Port `Parking`."""

    def __init__(self, store: MemoryStore, turn: _Turn) -> None:
        self._store, self._turn = store, turn

    def parked(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(key for key in keys if (COMMANDS, key) in self._store.parked.keys)

    def waiting(self, key: str, limit: int) -> Sequence[Envelope]:
        return self._store.parked.messages.get((COMMANDS, key), [])[:limit]

    def bury(self, failures: Sequence[Failure]) -> None:
        self._turn.failures += failures

    def add(self, messages: Sequence[Envelope]) -> None:
        self._turn.waiting += messages

    def take_out(self, key: str, message_ids: Sequence[str]) -> None:
        self._turn.through.append((key, message_ids))


class MemoryUnitOfWork(Generic[S]):
    """Port `UnitOfWork`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._begin()

    @property
    def repository(self) -> MemoryRepository[S]:
        return self._repository

    @property
    def inbox(self) -> MemoryInbox:
        return self._inbox

    @property
    def outbox(self) -> MemoryOutbox:
        return self._outbox

    @property
    def parking(self) -> MemoryParking:
        return self._parking

    def audit(self, actions: Sequence[OperatorAction]) -> None:
        self._turn.actions += actions

    def commit(self) -> None:
        turn = self._turn
        self._begin()
        self._store.commit(turn)

    def __enter__(self) -> MemoryUnitOfWork[S]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begin()

    def _begin(self) -> None:
        self._turn = _Turn()
        self._repository: MemoryRepository[S] = MemoryRepository(self._store, self._turn)
        self._inbox = MemoryInbox(self._store, self._turn)
        self._outbox = MemoryOutbox(self._turn)
        self._parking = MemoryParking(self._store, self._turn)


class MemoryOutboxReader:
    """Port `OutboxReader`."""

    def __init__(
        self, store: MemoryStore, dead_letters: MemoryDeadLetters, clock: Clock = lambda: datetime.now(UTC)
    ) -> None:
        self._store, self._clock = store, clock
        self._parking = MemoryParkedEvents(store.parked, dead_letters, clock)
        self._missed = MemoryMissedEvents(store, clock)
        self._kept_for: Collection[str] = ()

    async def pending(self, *, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        self._note_kept()
        waiting = sorted(self._store.outbox.keys() - set(skip))
        return [PendingMessage(position, self._store.outbox[position]) for position in waiting[:limit]]

    @property
    def kept_for(self) -> Collection[str]:
        return self._kept_for

    def _note_kept(self) -> None:
        self._kept_for = frozenset(subscriber for subscriber, rows in self._store.missed.items() if rows)

    async def settle(self, positions: Sequence[int]) -> None:
        for position in positions:
            self._store.outbox.pop(position, None)

    @property
    def parking(self) -> MemoryParkedEvents:
        return self._parking

    @property
    def missed(self) -> MemoryMissedEvents:
        return self._missed

    async def backlog(self) -> OutboxBacklog:
        waiting = self._store.outbox
        if not waiting:
            return OutboxBacklog(0, timedelta())
        age = self._clock() - waiting[min(waiting)].occurred_at
        return OutboxBacklog(min(len(waiting), 100_000), max(timedelta(), age))


class MemoryMissedEvents:
    """Port `MissedEvents`."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def keep(self, subscriber: str, positions: Sequence[int]) -> None:
        for position in positions:
            if position in self._store.outbox:
                self._store.missed[subscriber].setdefault(position, self._store.outbox[position])

    async def next(self, subscriber: str, *, floor: int, skip: Collection[int], limit: int) -> Sequence[PendingMessage]:
        rows = self._store.missed[subscriber]
        waiting = sorted(position for position in rows if position >= floor and position not in skip)
        return [PendingMessage(position, rows[position], is_missed=True) for position in waiting[:limit]]

    async def forget(self, subscriber: str, positions: Sequence[int]) -> None:
        for position in positions:
            self._store.missed[subscriber].pop(position, None)

    async def summary(self) -> Mapping[str, MissedSummary]:
        now = self._clock()
        return {
            subscriber: MissedSummary(len(rows), max(timedelta(), now - rows[min(rows)].occurred_at))
            for subscriber, rows in self._store.missed.items()
            if rows
        }


class MemorySagaLog:
    """Port `SagaLog`."""

    def __init__(self) -> None:
        self.rows: dict[StoryKey, SagaRow] = {}
        self._progress: dict[StoryKey, SagaProgress] = {}

    async def merge(self, progress: Sequence[SagaProgress]) -> Sequence[SagaRow]:
        return [row for item in merged_progress(progress) if (row := self._merge(item))]

    def _merge(self, item: SagaProgress) -> SagaRow | None:
        story = item.story
        known = self._progress.get(story)
        self._progress[story] = merged = known.merged(item) if known else item
        overdue_since = self.rows[story].overdue_since if known else None
        self.rows[story] = row = _saga(merged, overdue_since)
        is_news = known is None or merged.rank > known.rank
        return row if is_news and row.state is not SagaState.RUNNING else None

    async def mark_overdue(self, now: datetime, limit: int) -> Sequence[SagaRow]:
        due = [
            (story, row)
            for story, row in self.rows.items()
            if row.state is SagaState.RUNNING and row.deadline_at < now and row.overdue_since is None
        ]
        due.sort(key=lambda item: item[1].deadline_at)
        marked = {story: replace(row, overdue_since=now) for story, row in due[:limit]}
        self.rows |= marked
        return list(marked.values())

    async def running(self) -> dict[tuple[str, bool], int]:
        running = (row for row in self.rows.values() if row.state is SagaState.RUNNING)
        return dict(Counter((row.kind, row.overdue_since is not None) for row in running))


def _saga(item: SagaProgress, overdue_since: datetime | None) -> SagaRow:
    return SagaRow(
        kind=item.kind,
        saga_id=item.saga_id,
        step=item.step,
        state=item.state,
        last_event=item.last_event,
        correlation_id=item.correlation_id,
        started_at=item.started_at,
        deadline_at=item.deadline_at,
        updated_at=item.updated_at,
        overdue_since=overdue_since,
    )
