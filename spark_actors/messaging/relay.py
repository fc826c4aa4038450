"""What the relay of one outbox does next: the decisions, without the I/O.

Each row waits in one queue per subscriber. A subscriber has one batch in flight, so the events of one aggregate
reach it in order. A row that a subscriber could not take holds back the later rows of its key, for that
subscriber only, until it is taken or buried. A row may be settled when every subscriber is through with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from spark_actors.messaging.envelope import Delivery, Envelope, Receipt
from spark_actors.messaging.ports import PendingMessage

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

    def delay_after(self, attempts: int) -> timedelta:
        """How long to wait after so many failed attempts (1 or more): doubled each time, up to the ceiling."""
        doublings: int = 2 ** min(attempts - 1, 30)
        return min(self.ceiling, self.base * doublings)


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
class _Queue:
    """What one subscriber has still to be handed."""

    ready: deque[PendingMessage] = field(default_factory=deque)
    held: dict[str, _HeldKey] = field(default_factory=dict)
    in_flight: dict[str, PendingMessage] = field(default_factory=dict)
    """The batch that the subscriber has in hand, by message id."""


class Relay:
    """Bookkeeping of one context's relay. It holds only what is in flight: the outbox is the truth."""

    def __init__(self, route: Route, policy: RetryPolicy) -> None:
        self._route = route
        self._policy = policy
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
        batch = [held.rows[0] for held in queue.held.values() if held.due_at <= now][:limit]
        while queue.ready and len(batch) < limit:
            row = queue.ready.popleft()
            if held := queue.held.get(row.envelope.key):
                held.rows.append(row)
            else:
                batch.append(row)
        queue.in_flight = {row.envelope.message_id: row for row in batch}
        return batch

    def delivered(self, subscriber: str, deliveries: Sequence[Delivery], now: datetime) -> list[Burial]:
        """Take in a subscriber's answers for the batch in hand; returns what is to be buried.

        A message without an answer counts as not taken. A burial holds its key until `buried` says that it is durable.
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
        """The dead letter is durable: the later messages of the key may go on."""
        self._through(self._queues[burial.subscriber], burial.message)

    def undelivered(self, subscriber: str) -> None:
        """The batch in hand reached nobody (its actor is away): it goes back to the front, no attempt counted."""
        queue = self._queues[subscriber]
        again = [row for row in queue.in_flight.values() if row.envelope.key not in queue.held]
        queue.ready.extendleft(reversed(again))
        queue.in_flight = {}

    def next_due(self, subscriber: str) -> datetime | None:
        """When the next row that is held back for *subscriber* is to be offered again."""
        queue = self._queues.get(subscriber)
        return min((held.due_at for held in queue.held.values()), default=None) if queue else None

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
        self._waiting_for[row.position] -= 1
        if self._waiting_for[row.position] == 0:
            self._settleable.append(row.position)

    def _failed(
        self, queue: _Queue, row: PendingMessage, subscriber: str, answer: Delivery, now: datetime
    ) -> Burial | None:
        held = queue.held.get(row.envelope.key)
        if held is None:
            held = queue.held[row.envelope.key] = _HeldKey(deque([row]), 0, now)
        elif held.rows[0] is not row:
            held.rows.append(row)
            return None
        held.attempts += 1
        held.due_at = now + self._policy.delay_after(held.attempts)
        if answer.receipt is Receipt.POISON or held.attempts >= self._policy.max_attempts:
            return Burial(row, subscriber, answer.reason, held.attempts)
        return None
