"""Finds the message that kills whoever takes it: a batch under which its taker died is cut in halves. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from spark_actors.messaging import tuning

KILLED_ITS_PROCESS = "killed_its_process"
"""Why a message that its taker has not survived is given up."""


class Suspects:
    """What one taker's deaths tell about the messages that it had in hand: to be asked for each next batch.

    Messages are offered again in the same order, so the first of them stay the first of the batch. A few deaths under
    the same first message raise suspicion; then each further death halves the batch, until that message is alone in it.
    From then on it must be alone with its taker, too (`is_alone`): others may hand messages to the same one, and those
    that are in its hand when it dies of another's are not to blame.
    """

    def __init__(self) -> None:
        self._first: Hashable = None
        self._deaths = 0
        self._limit: int | None = None
        """How many messages may go out together; None while nothing is suspected."""

    def limit(self, wanted: int) -> int:
        """How many messages the next batch may hold."""
        return wanted if self._limit is None else min(wanted, self._limit)

    @property
    def is_alone(self) -> bool:
        """Whether the next batch is one message, with which its taker has to be alone."""
        return self._limit == 1

    def died(self, batch: Sequence[Hashable]) -> bool:
        """Their taker died while it had these in hand; whether the only one of them is to be given up."""
        if batch[0] != self._first:
            self._begin(batch[0], len(batch))
        self._deaths += 1
        if self._deaths < tuning.DEADLY_DEATHS:
            return False
        if self.is_alone:
            self._first, self._limit = None, None
            return True
        self._limit = max(1, len(batch) // 2)
        self._begin(batch[0], self._limit)
        return False

    def survived(self) -> None:
        """A batch was taken, whatever came of it. Those behind it may be deadly still, so steps grow."""
        self._first = None
        self._limit = self._limit * 2 if self._limit and self._limit < tuning.LARGEST_BATCH else None

    def _begin(self, first: Hashable, size: int) -> None:
        """Count the deaths from *first* on. What is suspected is halved at each of them, but tried alone anew."""
        self._first = first
        self._deaths = tuning.DEADLY_DEATHS - 1 if self._limit and size > 1 else 0
