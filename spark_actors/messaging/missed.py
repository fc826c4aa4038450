"""What a subscriber that is away or far behind misses: which of its events go where meanwhile. Pure.

Such events leave the outbox for a place of their own, in the order of positions, for this subscriber alone. From
there they are read again, handed over and forgotten; when nothing is left there, events pass directly again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from spark_actors.messaging.ports import PendingMessage


class MissedRead(NamedTuple):
    """What is to be read of a subscriber's missed events."""

    floor: int
    """Nothing is waiting below this position, so far as this relay has put it there."""
    skip: Collection[int]
    """Positions that are in hand."""
    limit: int
    kept: int
    """How often something had been put there when the read began."""


class Missed:
    """The bookkeeping for one subscriber, from when it falls behind until it has caught up."""

    def __init__(self, rows: Iterable[PendingMessage] = (), *, is_inherited: bool = False) -> None:
        """*is_inherited*: another relay has kept something for the subscriber."""
        self._waits_for_older = is_inherited
        """Whether the outbox may hold older events than those that are kept: what the other one had in hand then."""
        self._knows_older = False
        """Whether these have all been added."""
        self._to_keep = deque(rows)
        self._keeping: list[PendingMessage] = []
        """Those of *to_keep* that are being written just now."""
        self._kept = 0
        """How often something was put there."""
        self._floor = 0
        self._end_seen = -1
        """The value of *kept* when a read found no more than it gave."""
        self._in_hand: set[int] = set()
        """Positions that were read from there and are not forgotten yet."""
        self._through: list[int] = []
        """Those of *in_hand* that are to be forgotten."""

    def add(self, row: PendingMessage) -> None:
        """One more event from the outbox that the subscriber does not get now."""
        self._to_keep.append(row)

    def next_keeping(self, limit: int) -> Sequence[PendingMessage]:
        """What is to be made durable for the subscriber, in order; nothing while a write is under way."""
        if self._keeping:
            return []
        self._keeping = [self._to_keep.popleft() for _ in range(min(limit, len(self._to_keep)))]
        return self._keeping

    def kept(self) -> Sequence[PendingMessage]:
        """What `next_keeping` gave is durable; gives it, since the outbox need not hold it for this subscriber."""
        rows, self._keeping = self._keeping, []
        self._kept += 1
        self._floor = min([self._floor, *(row.position for row in rows)])
        return rows

    def not_kept(self) -> None:
        """It could not be written: `next_keeping` gives it again."""
        self._to_keep.extendleft(reversed(self._keeping))
        self._keeping = []

    def outbox_was_read(self) -> None:
        """All that was in the outbox has been added."""
        self._knows_older = True

    def next_read(self, limit: int) -> MissedRead | None:
        """What to read next; None while there is nothing more, and some is in hand or on its way there.

        None, too, while older events than those that are kept may not be among them yet.

        When all that this relay has put there is through, a read from the lowest position says whether the subscriber
        has caught up: another relay (a predecessor that still lives) may have put something there.
        """
        if self._waits_for_older and (self._to_keep or self._keeping or not self._knows_older):
            return None
        self._waits_for_older = False
        if self._end_seen != self._kept:
            return MissedRead(self._floor, self._in_hand, limit, self._kept)
        return None if self._has_more else MissedRead(0, (), limit, self._kept)

    def found(self, rows: Sequence[PendingMessage], read: MissedRead) -> bool:
        """Take in what a read gave; whether the subscriber has caught up: it has had everything that was ever kept."""
        self._in_hand.update(row.position for row in rows)
        if self._kept != read.kept:
            return False
        if rows:
            self._floor = rows[-1].position + 1
        if len(rows) < read.limit:
            self._end_seen = self._kept
        return not rows and read.floor == 0 and not self._has_more

    @property
    def _has_more(self) -> bool:
        return bool(self._in_hand or self._to_keep or self._keeping)

    def through(self, row: PendingMessage) -> None:
        """The subscriber is through with an event that was read from there."""
        self._through.append(row.position)

    def to_forget(self) -> list[int]:
        """Positions that the subscriber is through with."""
        return list(self._through)

    def forgotten(self, positions: Collection[int]) -> None:
        """These are there no more."""
        self._through = [position for position in self._through if position not in positions]
        self._in_hand.difference_update(positions)
