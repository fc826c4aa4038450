"""What the relay of one outbox does next: the decisions, without the I/O.

Each row waits in one queue per subscriber. A subscriber has one batch in flight, so the events of one aggregate
reach it in order. A row that a subscriber could not take holds back the later rows of its key, for that
subscriber only, until it is taken. If that takes too many attempts its key is parked: this row and the later ones of
the key move to a durable place of their own, and so the subscriber is through with them here. A released key is
worked off from that place, and rows pass directly again once nothing is left there.
A row may be settled when every subscriber is through with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from spark_actors.messaging.envelope import Delivery, Envelope, Receipt
from spark_actors.messaging.ports import KeyState, ParkedKey, PendingMessage

HOARD_FACTOR = 5
"""How many times what one subscriber may have in hand is kept for those that cannot take theirs."""

Route = Callable[[Envelope], Sequence[str]]
"""The subscribers that an event must be handed to."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast a subscriber is offered a message that it could not take."""

    max_attempts: int
    base: timedelta
    ceiling: timedelta
    jitter: float = 0.0
    """Which part of a delay is left to chance, so that what failed together does not come again together."""

    def delay_after(self, attempts: int, draw: float = 0.0) -> timedelta:
        """How long to wait after so many failed attempts (1 or more): doubled each time, up to the ceiling.

        *draw*, a random number from 0 to 1, takes off up to the jitter's part.
        """
        doublings: int = 2 ** min(attempts - 1, 30)
        return min(self.ceiling, self.base * doublings) * (1 - self.jitter * draw)


@dataclass(frozen=True)
class Burial:
    """A message that a subscriber could not take in all its attempts."""

    message: PendingMessage
    subscriber: str
    reason: str
    attempts: int


@dataclass
class _HeldKey:
    """A key whose first row failed; its rows wait here, in order."""

    rows: deque[PendingMessage]
    attempts: int
    due_at: datetime


@dataclass
class _Release:
    """A parked key that is being worked off."""

    attempts: int
    due_at: datetime


@dataclass
class _Queue:
    """What one subscriber has still to be handed."""

    parked: set[str] = field(default_factory=set)
    """Keys whose rows are not handed over but put where they wait."""
    to_park: deque[PendingMessage] = field(default_factory=deque)
    parking: list[PendingMessage] = field(default_factory=list)
    """Those of *to_park* that are being written just now."""
    releases: dict[str, _Release] = field(default_factory=dict)
    ready: deque[PendingMessage] = field(default_factory=deque)
    held: dict[str, _HeldKey] = field(default_factory=dict)
    in_flight: dict[str, PendingMessage] = field(default_factory=dict)
    """The batch that the subscriber has in hand, by message id."""


class Relay:
    """Bookkeeping of one context's relay. It holds only what is in flight: the outbox is the truth."""

    def __init__(self, route: Route, policy: RetryPolicy, draw: Callable[[], float] = lambda: 0.0) -> None:
        self._route = route
        self._policy = policy
        self._draw = draw
        self.changes = 0
        """How often this side has parked or freed a key: what was read before such a change is out of date."""
        self._queues: dict[str, _Queue] = {}
        self._waiting_for: dict[int, int] = {}
        """Position -> how many subscribers are not through with it. Zero: to be settled."""
        self._settleable: list[int] = []

    @property
    def positions(self) -> Collection[int]:
        """Every position taken in and not settled yet."""
        return self._waiting_for.keys()

    @property
    def load(self) -> int:
        """How many rows are taken in and not settled yet."""
        return len(self._waiting_for)

    def room(self, in_flight: int) -> int:
        """How many more rows may be taken in, so that the subscriber with the least to do has *in_flight* at most.

        It is the least, so that a subscriber that is slow or away, or a key that is held back, does not starve the
        others; *in_flight* times HOARD_FACTOR bounds what may gather for it.
        """
        least = min((len(queue.ready) + len(queue.in_flight) for queue in self._queues.values()), default=0)
        return min(in_flight - least, in_flight * HOARD_FACTOR - self.load)

    def take_in(self, rows: Sequence[PendingMessage]) -> None:
        """Queue rows for their subscribers; a row known already is passed over."""
        for row in rows:
            if row.position in self._waiting_for:
                continue
            subscribers = self._route(row.envelope)
            self._waiting_for[row.position] = len(subscribers)
            for subscriber in subscribers:
                self._queues.setdefault(subscriber, _Queue()).ready.append(row)
            if not subscribers:
                self._settleable.append(row.position)

    def next_batch(self, subscriber: str, limit: int, now: datetime) -> list[PendingMessage]:
        """What to hand to *subscriber* now, in order; empty while it has a batch in hand or has nothing to get.

        Of a key that is held back only its first row is offered, once that is due.
        """
        queue = self._queues.get(subscriber)
        if queue is None or queue.in_flight:
            return []
        self._set_aside(queue)
        batch = [held.rows[0] for held in queue.held.values() if held.due_at <= now][:limit]
        while queue.ready and len(batch) < limit:
            row = queue.ready.popleft()
            if row.envelope.key in queue.parked:
                queue.to_park.append(row)
            elif held := queue.held.get(row.envelope.key):
                held.rows.append(row)
            else:
                batch.append(row)
        queue.in_flight = {row.envelope.message_id: row for row in batch}
        return batch

    def delivered(self, subscriber: str, deliveries: Sequence[Delivery], now: datetime) -> list[Burial]:
        """Take in a subscriber's answers for the batch in hand; returns what is to be buried.

        A message without an answer counts as not taken. A burial holds its key until `buried` says that it is durable;
        until then it is offered again, should that fail.
        """
        queue = self._queues[subscriber]
        answers = {delivery.message_id: delivery for delivery in deliveries}
        batch, queue.in_flight = queue.in_flight, {}
        burials = []
        for message_id, row in batch.items():
            answer = answers.get(message_id) or Delivery(message_id, Receipt.RETRY, "no answer")
            if answer.receipt is Receipt.TAKEN and self._is_first(queue, row):
                self._through(queue, row)
            elif burial := self._failed(queue, row, subscriber, answer, now):
                burials.append(burial)
        return burials

    def buried(self, burial: Burial) -> None:
        """The message is durable as a dead letter and as the first that waits for its key, which is parked now."""
        self._park(burial.subscriber, burial.message.envelope.key)
        queue = self._queues[burial.subscriber]
        self._set_aside(queue)
        queue.to_park.remove(burial.message)
        self._count_down(burial.message)

    def next_parking(self, subscriber: str, limit: int) -> list[PendingMessage]:
        """Rows of parked keys that are to be put where they wait, in order; ask while no batch is in hand."""
        queue = self._queues.get(subscriber)
        if queue is None or queue.in_flight or queue.parking:
            return []
        self._set_aside(queue)
        while queue.to_park and len(queue.parking) < limit:
            queue.parking.append(queue.to_park.popleft())
        return list(queue.parking)

    def has_to_park(self, subscriber: str) -> bool:
        """Whether `next_parking` has something to give."""
        queue = self._queues.get(subscriber)
        return queue is not None and bool(queue.to_park)

    def parked(self, subscriber: str) -> None:
        """The rows that `next_parking` gave are durable where they wait: the subscriber is through with them here."""
        queue = self._queues[subscriber]
        rows, queue.parking = queue.parking, []
        for row in rows:
            self._count_down(row)

    def not_parked(self, subscriber: str) -> None:
        """They could not be written: `next_parking` gives them again, unless their keys were freed meanwhile."""
        queue = self._queues[subscriber]
        rows, queue.parking = queue.parking, []
        queue.to_park.extendleft(reversed([row for row in rows if row.envelope.key in queue.parked]))
        queue.ready.extendleft(reversed([row for row in rows if row.envelope.key not in queue.parked]))

    def sync(self, keys: Sequence[ParkedKey], changes: int, now: datetime) -> bool:
        """Take in which keys are parked; whether it was taken in.

        *changes* is what the attribute said when *keys* was asked for.
        """
        if changes != self.changes:
            return False
        for subscriber in self._queues.keys() | {key.subscriber for key in keys}:
            queue = self._queues.setdefault(subscriber, _Queue())
            mine = {key.key: key for key in keys if key.subscriber == subscriber}
            for key in queue.parked - mine.keys():
                self._free(queue, key)
            queue.parked |= mine.keys()
            released = {key for key in mine if mine[key].state == KeyState.RELEASED}
            queue.releases = {key: queue.releases.get(key) or _Release(0, now) for key in sorted(released)}
        return True

    def next_releases(self, subscriber: str, now: datetime) -> list[str]:
        """Released keys of which the next messages are to be handed over now."""
        queue = self._queues.get(subscriber)
        return [key for key, release in queue.releases.items() if release.due_at <= now] if queue else []

    def not_released(self, subscriber: str, key: str, delivery: Delivery, now: datetime) -> int:
        """The first message of a released key was not taken. Gives its attempts if it is to be buried, else 0."""
        release = self._queues[subscriber].releases.setdefault(key, _Release(0, now))
        if delivery.receipt is Receipt.LATER:
            release.due_at = now + self._policy.delay_after(1, self._draw())
            return 0
        release.attempts += 1
        release.due_at = now + self._policy.delay_after(release.attempts, self._draw())
        is_given_up = delivery.receipt is Receipt.POISON or release.attempts >= self._policy.max_attempts
        return release.attempts if is_given_up else 0

    def taken_up(self, subscriber: str, key: str, now: datetime) -> None:
        """Messages of a released key were taken: the next one has all its attempts before it."""
        self._queues[subscriber].releases[key] = _Release(0, now)

    def parked_again(self, subscriber: str, key: str) -> None:
        """A released key is not released any more."""
        self.changes += 1
        self._queues[subscriber].releases.pop(key, None)

    def freed(self, subscriber: str, key: str) -> None:
        """Nothing waits for a key any more, durably: its rows pass directly from now on."""
        self.changes += 1
        self._free(self._queues[subscriber], key)

    def undelivered(self, subscriber: str) -> None:
        """The batch in hand reached nobody (its actor is away): it goes back to the front, no attempt counted."""
        queue = self._queues[subscriber]
        again = [row for row in queue.in_flight.values() if row.envelope.key not in queue.held]
        queue.ready.extendleft(reversed(again))
        queue.in_flight = {}

    def next_due(self, subscriber: str) -> datetime | None:
        """When the next row that is held back for *subscriber*, or waits, is to be offered again."""
        queue = self._queues.get(subscriber)
        if queue is None:
            return None
        due = [*(held.due_at for held in queue.held.values()), *(key.due_at for key in queue.releases.values())]
        return min(due, default=None)

    def to_settle(self) -> list[int]:
        """Positions that every subscriber is through with and that have not been handed out by this call before."""
        positions, self._settleable = self._settleable, []
        return positions

    def settled(self, positions: Sequence[int]) -> None:
        """These have left the outbox."""
        for position in positions:
            self._waiting_for.pop(position, None)

    def not_settled(self, positions: Sequence[int]) -> None:
        """These could not be settled yet; `to_settle` gives them again."""
        self._settleable.extend(positions)

    def _is_first(self, queue: _Queue, row: PendingMessage) -> bool:
        """False if an earlier row of its key failed in the same batch: then it is handed over again, in order."""
        held = queue.held.get(row.envelope.key)
        return held is None or held.rows[0] is row

    def _through(self, queue: _Queue, row: PendingMessage) -> None:
        """The subscriber is through with *row*: whatever its key held back goes to the front."""
        if held := queue.held.pop(row.envelope.key, None):
            held.rows.popleft()
            queue.ready.extendleft(reversed(held.rows))
        self._count_down(row)

    def _count_down(self, row: PendingMessage) -> None:
        """One subscriber less that is not through with *row*."""
        self._waiting_for[row.position] -= 1
        if self._waiting_for[row.position] == 0:
            self._settleable.append(row.position)

    def _park(self, subscriber: str, key: str) -> None:
        self.changes += 1
        self._queues[subscriber].parked.add(key)

    def _free(self, queue: _Queue, key: str) -> None:
        """Rows of *key* that were to be parked go to the front, in order."""
        queue.parked.discard(key)
        queue.releases.pop(key, None)
        mine = [row for row in queue.to_park if row.envelope.key == key]
        queue.to_park = deque(row for row in queue.to_park if row.envelope.key != key)
        queue.ready.extendleft(reversed(mine))

    def _set_aside(self, queue: _Queue) -> None:
        """What parked keys hold back is to be parked too; not while a batch is in hand, which may hold the first."""
        for key in queue.held.keys() & queue.parked:
            queue.to_park.extend(queue.held.pop(key).rows)

    def _failed(
        self, queue: _Queue, row: PendingMessage, subscriber: str, answer: Delivery, now: datetime
    ) -> Burial | None:
        held = queue.held.get(row.envelope.key)
        if held is None:
            held = queue.held[row.envelope.key] = _HeldKey(deque([row]), 0, now)
        elif held.rows[0] is not row:
            held.rows.append(row)
            return None
        if answer.receipt is Receipt.LATER:
            held.due_at = now + self._policy.delay_after(1, self._draw())
            return None
        held.attempts += 1
        held.due_at = now + self._policy.delay_after(held.attempts, self._draw())
        if answer.receipt is Receipt.POISON or held.attempts >= self._policy.max_attempts:
            return Burial(row, subscriber, answer.reason, held.attempts)
        return None
