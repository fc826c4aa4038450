"""What the relay of one outbox does next: the decisions, without the I/O.

Each row waits in one queue per subscriber. A subscriber has one batch in flight, so the events of one aggregate
reach it in order. A row that a subscriber could not take holds back the later rows of its key, for that
subscriber only, until it is taken. If that takes too many attempts its key is parked: this row and the later ones of
the key move to a durable place of their own, and so the subscriber is through with them here. A released key is
worked off from that place, and rows pass directly again once nothing is left there.
A subscriber that is away or far behind is set aside as a whole in the same way (see `missed`): its rows move to a
place of their own and come back from there, so that the others go on at their own speed.
A row may be settled when every subscriber is through with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain

from spark_actors.messaging.deaths import KILLED_ITS_PROCESS, Suspects
from spark_actors.messaging.envelope import Delivery, Envelope, Receipt
from spark_actors.messaging.missed import Missed, MissedRead
from spark_actors.messaging.ports import KeyState, ParkedKey, PendingMessage

HOARD_FACTOR = 15
"""How many times what one subscriber may have in hand is taken in at most."""
FAR_BEHIND_FACTOR = 12
"""When so many times that is taken in, whoever has more than its part to do is set aside."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)
WEIGHT_BYTES = 1_024
"""A row weighs as much as one more for each of these that its content has."""

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
    suspects: Suspects = field(default_factory=Suspects)


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
    in_flight: list[PendingMessage] = field(default_factory=list)
    """The batch that the subscriber has in hand, in order."""
    missed: Missed | None = None
    """While the subscriber is set aside: what it misses."""
    suspects: Suspects = field(default_factory=Suspects)

    @property
    def size(self) -> int:
        """How much waits for the subscriber in memory, by weight."""
        held_back = (row for held in self.held.values() for row in held.rows)
        return sum(map(_weight, chain(self.ready, self.in_flight, self.to_park, held_back)))


def _weight(row: PendingMessage) -> int:
    return 1 + len(row.envelope.data) // WEIGHT_BYTES


class Relay:
    """Bookkeeping of one context's relay. It holds only what is in flight: the outbox is the truth."""

    def __init__(
        self,
        route: Route,
        policy: RetryPolicy,
        *,
        subscribers: Collection[str],
        in_flight: int,
        draw: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """*subscribers*: all whom *route* may name. *in_flight*: how many rows one may have in hand while it keeps up.

        They are known from the start: who has had nothing yet has the least to do.
        """
        self._route = route
        self._policy = policy
        self._in_flight = in_flight
        self._draw = draw
        self.changes = 0
        """How often this side has parked or freed a key: what was read before such a change is out of date."""
        self._queues = {name: _Queue() for name in subscribers}
        self._waiting_for: dict[int, int] = {}
        """Position -> how many subscribers are not through with it. Zero: to be settled."""
        self._weights: dict[int, int] = {}
        """Position -> weight, of those that weigh more than 1."""
        self._load = 0
        self._settleable: list[int] = []

    @property
    def positions(self) -> Collection[int]:
        """Every position taken in and not settled yet."""
        return self._waiting_for.keys()

    @property
    def load(self) -> int:
        """How much is taken in and not settled yet: rows, of which a large one weighs as many (see WEIGHT_BYTES)."""
        return self._load

    @property
    def room(self) -> int:
        """How many more rows may be taken in, so that the subscriber with the least to do has its part in hand.

        It is the least, so that a subscriber that is slow does not starve the others; those that are set aside do not
        count. HOARD_FACTOR bounds what may gather for all.
        """
        direct = [queue for queue in self._queues.values() if queue.missed is None]
        least = min((len(queue.ready) + len(queue.in_flight) for queue in direct), default=0)
        return min(self._in_flight - least, self._in_flight * HOARD_FACTOR - self._load)

    def take_in(self, rows: Sequence[PendingMessage], *, is_all: bool = False) -> None:
        """Queue rows for their subscribers; a row known already is passed over. *is_all*: the outbox has no more."""
        for row in rows:
            if row.position in self._waiting_for:
                continue
            subscribers = self._route(row.envelope)
            self._waiting_for[row.position] = len(subscribers)
            self._weigh(row.position, _weight(row))
            for subscriber in subscribers:
                queue = self._queues.setdefault(subscriber, _Queue())
                if queue.missed is None:
                    queue.ready.append(row)
                else:
                    queue.missed.add(row)
            if not subscribers:
                self._settleable.append(row.position)
        for queue in self._queues.values():
            if is_all and queue.missed is not None:
                queue.missed.outbox_was_read()
        if self._load > self._in_flight * FAR_BEHIND_FACTOR:
            self._set_slow_aside()

    def set_aside(self, subscribers: Collection[str]) -> None:
        """Events of an earlier time wait for these where they are kept: they get those first.

        First of all what is older and still in the outbox: whoever kept them had it in hand.
        """
        for subscriber in subscribers:
            queue = self._queues.setdefault(subscriber, _Queue())
            if queue.missed is None:
                self._fall_behind(queue, is_inherited=True)

    @property
    def behind(self) -> list[str]:
        """Subscribers that are set aside."""
        return [name for name, queue in self._queues.items() if queue.missed is not None]

    def next_keeping(self, subscriber: str, limit: int) -> list[int]:
        """Positions to be kept for a subscriber that is set aside, in order; none while a write is under way."""
        missed = self._queues[subscriber].missed
        return [row.position for row in missed.next_keeping(limit)] if missed else []

    def kept(self, subscriber: str) -> None:
        """What `next_keeping` gave is durable: the outbox need not hold it for this subscriber."""
        missed = self._queues[subscriber].missed
        for row in missed.kept() if missed else ():
            self._count_down(row.position)

    def not_kept(self, subscriber: str) -> None:
        """It could not be written; `next_keeping` gives it again."""
        if missed := self._queues[subscriber].missed:
            missed.not_kept()

    def next_read(self, subscriber: str, limit: int) -> MissedRead | None:
        """What to read of the missed events of *subscriber*; None if it is not set aside or has enough in hand."""
        queue = self._queues.get(subscriber)
        if queue is None or queue.missed is None or queue.in_flight or queue.size >= self._in_flight:
            return None
        return queue.missed.next_read(limit) if len(queue.ready) < limit else None

    def found(self, subscriber: str, rows: Sequence[PendingMessage], read: MissedRead) -> None:
        """Take in what the read gave, behind what is in hand; rows pass directly again once all is caught up with."""
        queue = self._queues[subscriber]
        if queue.missed is None:
            return
        queue.ready.extend(rows)
        if queue.missed.found(rows, read):
            queue.missed = None

    def to_forget(self, subscriber: str) -> list[int]:
        """Positions of missed events that the subscriber is through with."""
        queue = self._queues.get(subscriber)
        return queue.missed.to_forget() if queue and queue.missed else []

    def forgotten(self, subscriber: str, positions: Collection[int]) -> None:
        """These are kept no more."""
        if missed := self._queues[subscriber].missed:
            missed.forgotten(positions)

    def next_batch(self, subscriber: str, limit: int, now: datetime) -> list[PendingMessage]:
        """What to hand to *subscriber* now, in order; empty while it has a batch in hand or has nothing to get.

        Of a key that is held back only its first row is offered, once that is due, or once too much waits behind it.
        """
        queue = self._queues.get(subscriber)
        if queue is None or queue.in_flight:
            return []
        self._set_aside_parked(queue)
        limit = queue.suspects.limit(limit)
        due = (held for held in queue.held.values() if held.due_at <= now or self._is_too_long(held))
        batch = [held.rows[0] for held in due][:limit]
        while queue.ready and len(batch) < limit:
            row = queue.ready.popleft()
            if row.envelope.key in queue.parked:
                queue.to_park.append(row)
            elif held := queue.held.get(row.envelope.key):
                held.rows.append(row)
            else:
                batch.append(row)
        queue.in_flight = batch
        return list(batch)

    def delivered(self, subscriber: str, deliveries: Sequence[Delivery], now: datetime) -> list[Burial]:
        """Take in a subscriber's answers for the batch in hand, one for each row; returns what is to be buried.

        If they do not answer the batch, nothing of it counts as taken. A burial holds its key until `buried` says that
        it is durable; until then it is offered again, should that fail.
        """
        queue = self._queues[subscriber]
        batch, queue.in_flight = queue.in_flight, []
        queue.suspects.survived()
        if [delivery.message_id for delivery in deliveries] != [row.envelope.message_id for row in batch]:
            deliveries = [Delivery(row.envelope.message_id, Receipt.RETRY, "no_answer") for row in batch]
        burials = []
        for row, answer in zip(batch, deliveries, strict=True):
            if answer.receipt is Receipt.TAKEN and self._is_first(queue, row):
                self._through(queue, row)
            elif burial := self._failed(queue, row, subscriber, answer, now):
                burials.append(burial)
        return burials

    def buried(self, burial: Burial) -> None:
        """The message is durable as a dead letter and as the first that waits for its key, which is parked now."""
        self._park(burial.subscriber, burial.message.envelope.key)
        queue = self._queues[burial.subscriber]
        self._set_aside_parked(queue)
        queue.to_park.remove(burial.message)
        self._done_with(queue, burial.message)

    def next_parking(self, subscriber: str, limit: int) -> list[PendingMessage]:
        """Rows of parked keys that are to be put where they wait, in order; ask while no batch is in hand."""
        queue = self._queues.get(subscriber)
        if queue is None or queue.in_flight or queue.parking:
            return []
        self._set_aside_parked(queue)
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
            self._done_with(queue, row)

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
            mine = {key.key: key.state for key in keys if key.subscriber == subscriber}
            for key in queue.parked - mine.keys():
                self._free(queue, key)
            queue.parked |= mine.keys()
            released = {key for key, state in mine.items() if state == KeyState.RELEASED}
            queue.releases = {key: queue.releases.get(key) or _Release(0, now) for key in sorted(released)}
        return True

    def next_releases(self, subscriber: str, now: datetime) -> list[str]:
        """Released keys of which the next messages are to be handed over now."""
        queue = self._queues.get(subscriber)
        return [key for key, release in queue.releases.items() if release.due_at <= now] if queue else []

    def release_limit(self, subscriber: str, key: str, wanted: int) -> int:
        """How many messages of a released key may be handed over together."""
        return self._release(subscriber, key).suspects.limit(wanted)

    def is_release_alone(self, subscriber: str, key: str) -> bool:
        """As `is_alone`, for the messages of a released key."""
        return self._release(subscriber, key).suspects.is_alone

    def killed_by_release(self, subscriber: str, key: str, message_ids: Sequence[str]) -> bool:
        """The subscriber's process ended with these of a released key in hand; whether it is the (only) one's doing."""
        return self._release(subscriber, key).suspects.died(message_ids)

    def not_released(self, subscriber: str, key: str, delivery: Delivery, now: datetime) -> int:
        """The first message of a released key was not taken. Gives its attempts if it is to be buried, else 0."""
        release = self._release(subscriber, key)
        if delivery.receipt is Receipt.LATER:
            release.due_at = now + self._policy.delay_after(1, self._draw())
            return 0
        release.attempts += 1
        release.due_at = now + self._policy.delay_after(release.attempts, self._draw())
        is_given_up = delivery.receipt is Receipt.POISON or release.attempts >= self._policy.max_attempts
        return release.attempts if is_given_up else 0

    def taken_up(self, subscriber: str, key: str, now: datetime) -> None:
        """Messages of a released key were taken: the next one has all its attempts before it."""
        release = self._release(subscriber, key)
        release.attempts, release.due_at = 0, now
        release.suspects.survived()

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
        again = [row for row in queue.in_flight if row.envelope.key not in queue.held]
        queue.ready.extendleft(reversed(again))
        queue.in_flight = []

    def is_alone(self, subscriber: str) -> bool:
        """Whether the subscriber must have nothing else in hand while it takes the batch: that may be deadly."""
        return self._queues[subscriber].suspects.is_alone

    def killed(self, subscriber: str, now: datetime) -> list[Burial]:
        """The subscriber's process ended while it had the batch in hand, which is handed over again.

        If that happens again and again, ever less of it is, until the message that does it is alone; this is to be
        buried.
        """
        queue = self._queues[subscriber]
        batch = queue.in_flight
        if queue.suspects.died([row.position for row in batch]):
            deadly = [Delivery(row.envelope.message_id, Receipt.POISON, KILLED_ITS_PROCESS) for row in batch]
            return self.delivered(subscriber, deadly, now)
        self.undelivered(subscriber)
        return []

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
            if self._waiting_for.pop(position, None) is not None:
                self._load -= self._weights.pop(position, 1)

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
        self._done_with(queue, row)

    def _done_with(self, queue: _Queue, row: PendingMessage) -> None:
        """The subscriber needs *row* no more, wherever it came from."""
        if not row.is_missed:
            self._count_down(row.position)
        elif queue.missed is not None:
            queue.missed.through(row)

    def _count_down(self, position: int) -> None:
        """One subscriber less for which the outbox must hold this."""
        self._waiting_for[position] -= 1
        if self._waiting_for[position] == 0:
            self._settleable.append(position)

    def _weigh(self, position: int, weight: int) -> None:
        self._load += weight
        if weight > 1:
            self._weights[position] = weight

    def _set_slow_aside(self) -> None:
        """All of them: there may be no room for another event that would show who is slow besides the slowest."""
        for queue in self._queues.values():
            if queue.missed is None and queue.size > self._in_flight:
                self._fall_behind(queue)

    def _fall_behind(self, queue: _Queue, *, is_inherited: bool = False) -> None:
        """From now on events reach the subscriber by way of where they are kept, behind those it has in hand."""
        queue.missed = Missed(queue.ready, is_inherited=is_inherited)
        queue.ready.clear()

    def _release(self, subscriber: str, key: str) -> _Release:
        return self._queues[subscriber].releases.setdefault(key, _Release(0, LONG_AGO))

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

    def _set_aside_parked(self, queue: _Queue) -> None:
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
        is_last = held.attempts >= self._policy.max_attempts or self._is_too_long(held)
        if answer.receipt is Receipt.POISON or is_last:
            return Burial(row, subscriber, answer.reason, held.attempts)
        return None

    def _is_too_long(self, held: _HeldKey) -> bool:
        """Whether more waits for one key than a subscriber may have in hand: it is tried once more, then given up."""
        return len(held.rows) >= self._in_flight
