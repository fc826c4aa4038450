"""Finds the message that kills whoever takes it: a batch under which its taker died is cut in halves. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

DEADLY_DEATHS = 3
"""So often a taker may die under the same messages before these are suspected, and under one message alone before that
is given up: machines, and operators, end processes too."""
KILLED_ITS_PROCESS = "killed_its_process"
"""Why a message that its taker has not survived is given up."""


_MOST = 10_000
"""Batches are smaller than that."""


class Suspects:
    """What one taker's deaths tell about the messages that it had in hand: to be asked for each next batch.

    Messages are offered again in the same order, so the first of them stay the first of the batch. A few deaths under
    the same first message raise suspicion; then each further death halves the batch, until that message is alone in it.
    """

    def __init__(self) -> None:
        self._first: Hashable = None
        self._deaths = 0
        self._limit: int | None = None
        """How many messages may go out together; None while nothing is suspected."""

    def limit(self, wanted: int) -> int:
        """How many messages the next batch may hold."""
        return wanted if self._limit is None else min(wanted, self._limit)

    def died(self, batch: Sequence[Hashable]) -> bool:
        """Their taker died while it had these in hand; whether the only one of them is to be given up."""
        if batch[0] != self._first:
            self._begin(batch[0], len(batch))
        self._deaths += 1
        if self._deaths < DEADLY_DEATHS:
            return False
        if len(batch) == 1:
            self._first, self._limit = None, None
            return True
        self._limit = len(batch) // 2
        self._begin(batch[0], self._limit)
        return False

    def survived(self) -> None:
        """A batch was taken, whatever came of it. Those behind it may be deadly still, so steps grow."""
        self._first = None
        self._limit = self._limit * 2 if self._limit and self._limit < _MOST else None

    def _begin(self, first: Hashable, size: int) -> None:
        """Count the deaths from *first* on. What is suspected is halved at each of them, but tried alone anew."""
        self._first = first
        self._deaths = DEADLY_DEATHS - 1 if self._limit and size > 1 else 0
