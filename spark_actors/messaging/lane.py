"""One subscriber's way from an outbox: what it has still to be handed, in order, and what holds that back. Pure.

At least once and in order per key (the aggregate that an event is of): a lane has one batch in flight, and it is
through with a row only when the subscriber has taken it, or the row is durable in a place of the subscriber's own.

A row that was not taken holds back the later rows of its key alone, and is offered again after a back-off. If that
takes too many attempts its key is parked: this row (as a dead letter) and the later ones of the key move to where
parked events wait. A released key is worked off from there, and rows pass directly again once nothing is left.

A subscriber that is away or far behind is set aside as a whole in the same way (see `missed`): its rows move to where
missed events wait and come back from there, so that the others go on at their own speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from spark_actors.messaging import tuning
from spark_actors.messaging.deaths import KILLED_ITS_PROCESS, Suspects
from spark_actors.messaging.envelope import Delivery, Receipt
from spark_actors.messaging.missed import Missed, MissedRead
from spark_actors.messaging.ports import KeyState, PendingMessage
from spark_actors.messaging.retry import Retry, RetryPolicy


@dataclass(frozen=True)
class Burial:
    """A message that its subscriber could not take in all its attempts."""

    message: PendingMessage
    reason: str
    attempts: int


@dataclass
class HeldKey(Retry):
    """A key whose first row was not taken; its rows wait here, in order."""

    rows: deque[PendingMessage] = field(default_factory=deque)


@dataclass
class Release(Retry):
    """A parked key that is being worked off: of what waits for it the first is offered next."""

    key: str = ""
    suspects: Suspects = field(default_factory=Suspects)
    """Tells how many messages may be handed over together, and whether nothing else may be in hand meanwhile."""

    def taken_up(self, now: datetime) -> None:
        """Messages of the key were taken: the next one has all its attempts before it."""
        self.attempts, self.due_at = 0, now
        self.suspects.survived()


def weight(row: PendingMessage) -> int:
    """What a row counts for in memory: a large one as much as several."""
    return 1 + len(row.envelope.data) // tuning.WEIGHT_BYTES


class Lane:
    """The bookkeeping for one subscriber of one outbox. Whoever does the I/O makes one call at a time.

    The exception is what is kept of missed events (`next_keeping`, `kept`, `not_kept`): that may go on beside the rest.
    """

    def __init__(
        self,
        subscriber: str,
        policy: RetryPolicy,
        *,
        in_flight: int,
        through: Callable[[int], None],
        draw: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """*in_flight*: how many rows the subscriber may have in hand while it keeps up.

        *through* is called with the position of each row for which the outbox need not be kept for this subscriber.
        *draw* gives the chance that the back-off's jitter needs, from 0 to 1.
        """
        self.subscriber = subscriber
        self._policy = policy
        self._in_flight = in_flight
        self._through = through
        self._draw = draw
        self.changes = 0
        """How often this side has parked or freed a key: what was read before such a change is out of date."""
        self._ready: deque[PendingMessage] = deque()
        self._batch: list[PendingMessage] = []
        """What the subscriber has in hand, in order."""
        self._suspects = Suspects()
        self._held: dict[str, HeldKey] = {}
        self._parked: set[str] = set()
        """Keys whose rows are not handed over but put where they wait."""
        self._to_park: deque[PendingMessage] = deque()
        self._parking: list[PendingMessage] = []
        """Those of *to_park* that are being written just now."""
        self._releases: dict[str, Release] = {}
        self._missed: Missed | None = None
        """While the subscriber is set aside: what it misses."""

    # --- what comes in ---

    def add(self, row: PendingMessage) -> None:
        """One more row from the outbox, behind all before it."""
        if self._missed is None:
            self._ready.append(row)
        else:
            self._missed.add(row)

    @property
    def in_hand(self) -> int:
        """How many rows the subscriber has in hand or can be handed now."""
        return len(self._ready) + len(self._batch)

    @property
    def size(self) -> int:
        """How much waits for the subscriber in memory, by weight."""
        held_back = (row for held in self._held.values() for row in held.rows)
        return sum(map(weight, chain(self._ready, self._batch, self._to_park, held_back)))

    # --- batches, and what becomes of them ---

    def next_batch(self, limit: int, now: datetime) -> list[PendingMessage]:
        """What to hand to the subscriber now, in order; empty while it has a batch in hand or has nothing to get.

        Of a key that is held back only its first row is offered, once that is due, or once too much waits behind it.
        """
        if self._batch:
            return []
        self._set_aside_parked()
        limit = self._suspects.limit(limit)
        due = (held for held in self._held.values() if held.due_at <= now or self._is_too_long(held))
        batch = [held.rows[0] for held in due][:limit]
        while self._ready and len(batch) < limit:
            row = self._ready.popleft()
            if row.envelope.key in self._parked:
                self._to_park.append(row)
            elif held := self._held.get(row.envelope.key):
                held.rows.append(row)
            else:
                batch.append(row)
        self._batch = batch
        return list(batch)

    @property
    def is_alone(self) -> bool:
        """Whether the subscriber must have nothing else in hand while it takes the batch: that may be deadly."""
        return self._suspects.is_alone

    def delivered(self, deliveries: Sequence[Delivery], now: datetime) -> list[Burial]:
        """Take in the acknowledgements of the batch in hand, one for each row; returns what is to be buried.

        If they do not answer the batch, nothing of it counts as taken. A burial holds its key until `buried` says that
        it is durable; until then it is offered again, should that fail.
        """
        batch, self._batch = self._batch, []
        self._suspects.survived()
        if [delivery.message_id for delivery in deliveries] != [row.envelope.message_id for row in batch]:
            deliveries = [Delivery(row.envelope.message_id, Receipt.RETRY, "no_answer") for row in batch]
        burials = []
        for row, answer in zip(batch, deliveries, strict=True):
            held = self._held.get(row.envelope.key)
            if held is not None and held.rows[0] is not row:
                held.rows.append(row)  # an earlier row of its key failed in the same batch: again, in order
            elif answer.receipt is not Receipt.TAKEN:
                if burial := self._refused(row, answer, now):
                    burials.append(burial)
            else:
                if held is not None:  # what its key held back goes to the front
                    del self._held[row.envelope.key]
                    held.rows.popleft()
                    self._ready.extendleft(reversed(held.rows))
                self._done_with(row)
        return burials

    def undelivered(self) -> None:
        """The batch in hand reached nobody (its actor is away): it goes back to the front, no attempt counted."""
        self._ready.extendleft(reversed([row for row in self._batch if row.envelope.key not in self._held]))
        self._batch = []

    def killed(self, now: datetime) -> list[Burial]:
        """The subscriber's process ended while it had the batch in hand, which is handed over again.

        If that happens again and again, ever less of it is, until the message that does it is alone; this is to be
        buried.
        """
        if self._suspects.died([row.position for row in self._batch]):
            deadly = [Delivery(row.envelope.message_id, Receipt.POISON, KILLED_ITS_PROCESS) for row in self._batch]
            return self.delivered(deadly, now)
        self.undelivered()
        return []

    def buried(self, burial: Burial) -> None:
        """The message is durable as a dead letter and as the first that waits for its key, which is parked now."""
        self.changes += 1
        self._parked.add(burial.message.envelope.key)
        self._set_aside_parked()
        self._to_park.remove(burial.message)
        self._done_with(burial.message)

    def next_due(self) -> datetime | None:
        """When the next row that is held back, or waits for its released key, is to be offered again."""
        return min((retry.due_at for retry in chain(self._held.values(), self._releases.values())), default=None)

    # --- parked keys ---

    def next_parking(self, limit: int) -> list[PendingMessage]:
        """Rows of parked keys that are to be put where they wait, in order; ask while no batch is in hand."""
        if self._batch or self._parking:
            return []
        self._set_aside_parked()
        while self._to_park and len(self._parking) < limit:
            self._parking.append(self._to_park.popleft())
        return list(self._parking)

    @property
    def has_to_park(self) -> bool:
        """Whether `next_parking` has something to give."""
        return bool(self._to_park)

    def parked(self) -> None:
        """The rows that `next_parking` gave are durable where they wait: the subscriber is through with them here."""
        rows, self._parking = self._parking, []
        for row in rows:
            self._done_with(row)

    def not_parked(self) -> None:
        """They could not be written: `next_parking` gives them again, unless their keys were freed meanwhile."""
        rows, self._parking = self._parking, []
        self._to_park.extendleft(reversed([row for row in rows if row.envelope.key in self._parked]))
        self._ready.extendleft(reversed([row for row in rows if row.envelope.key not in self._parked]))

    def sync(self, keys: Mapping[str, str], now: datetime) -> None:
        """Take in which keys are parked for the subscriber, and in which state (a KeyState): these and no other."""
        for key in self._parked - keys.keys():
            self._free(key)
        self._parked |= keys.keys()
        released = sorted(key for key, state in keys.items() if state == KeyState.RELEASED)
        self._releases = {key: self._releases.get(key) or Release(now, key=key) for key in released}

    def next_releases(self, now: datetime) -> list[Release]:
        """Released keys of which the next messages are to be handed over now."""
        return [release for release in self._releases.values() if release.due_at <= now]

    def not_released(self, release: Release, receipt: Receipt, now: datetime) -> bool:
        """The first message of a released key was not taken; whether it is to be buried."""
        return release.refused(receipt, self._policy, now, self._draw())

    def parked_again(self, key: str) -> None:
        """A released key is not released any more."""
        self.changes += 1
        self._releases.pop(key, None)

    def freed(self, key: str) -> None:
        """Nothing waits for a key any more, durably: its rows pass directly from now on."""
        self.changes += 1
        self._free(key)

    # --- missed events ---

    @property
    def is_set_aside(self) -> bool:
        """Whether events reach the subscriber by way of where missed events are kept."""
        return self._missed is not None

    def set_aside(self, *, is_inherited: bool = False) -> None:
        """From now on events reach the subscriber by way of where they are kept, behind those it has in hand.

        *is_inherited*: an earlier relay has kept some. The subscriber gets those first; first of all what is older and
        still in the outbox, since whoever kept them had it in hand.
        """
        if self._missed is None:
            self._missed = Missed(self._ready, is_inherited=is_inherited)
            self._ready.clear()

    def outbox_was_read(self) -> None:
        """All that was in the outbox has been added."""
        if self._missed is not None:
            self._missed.outbox_was_read()

    def next_keeping(self, limit: int) -> list[int]:
        """Positions to be kept for the subscriber if it is set aside, in order; none while a write is under way."""
        return [row.position for row in self._missed.next_keeping(limit)] if self._missed else []

    def kept(self) -> None:
        """What `next_keeping` gave is durable: the outbox need not hold it for this subscriber."""
        for row in self._missed.kept() if self._missed else ():
            self._through(row.position)

    def not_kept(self) -> None:
        """It could not be written; `next_keeping` gives it again."""
        if self._missed is not None:
            self._missed.not_kept()

    def next_read(self, limit: int) -> MissedRead | None:
        """What to read of the missed events; None if the subscriber is not set aside or has enough in hand."""
        if self._missed is None or self._batch or len(self._ready) >= limit or self.size >= self._in_flight:
            return None
        return self._missed.next_read(limit)

    def found(self, rows: Sequence[PendingMessage], read: MissedRead) -> None:
        """Take in what the read gave, behind what is in hand; rows pass directly again once all is caught up with."""
        if self._missed is None:
            return
        self._ready.extend(rows)
        if self._missed.found(rows, read):
            self._missed = None

    def to_forget(self) -> list[int]:
        """Positions of missed events that the subscriber is through with."""
        return self._missed.to_forget() if self._missed else []

    def forgotten(self, positions: Collection[int]) -> None:
        """These are kept no more."""
        if self._missed is not None:
            self._missed.forgotten(positions)

    # --- within ---

    def _refused(self, row: PendingMessage, answer: Delivery, now: datetime) -> Burial | None:
        """The first row of its key was not taken: it holds back the key; a burial if it is to be given up."""
        held = self._held.setdefault(row.envelope.key, HeldKey(now, rows=deque([row])))
        is_given_up = held.refused(answer.receipt, self._policy, now, self._draw())
        if is_given_up or (answer.receipt is not Receipt.LATER and self._is_too_long(held)):
            return Burial(row, answer.reason, held.attempts)
        return None

    def _is_too_long(self, held: HeldKey) -> bool:
        """Whether more waits for one key than a subscriber may have in hand: it is tried once more, then given up."""
        return len(held.rows) >= self._in_flight

    def _done_with(self, row: PendingMessage) -> None:
        """The subscriber needs *row* no more, wherever it came from."""
        if not row.is_missed:
            self._through(row.position)
        elif self._missed is not None:
            self._missed.through(row)

    def _set_aside_parked(self) -> None:
        """What parked keys hold back is to be parked too; not while a batch is in hand, which may hold the first."""
        for key in self._held.keys() & self._parked:
            self._to_park.extend(self._held.pop(key).rows)

    def _free(self, key: str) -> None:
        """Rows of *key* that were to be parked go to the front, in order."""
        self._parked.discard(key)
        self._releases.pop(key, None)
        mine = [row for row in self._to_park if row.envelope.key == key]
        self._to_park = deque(row for row in self._to_park if row.envelope.key != key)
        self._ready.extendleft(reversed(mine))
