"""The one back-off: how long to wait before a retry. Pure: the chance that is in it is drawn by the caller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackOff:
    """Exponential back-off with a ceiling and jitter: each retry waits longer than the one before, up to the longest.

    All of it in seconds, none negative. *factor* is at least 1; with 1, or with `first_seconds` as the longest, the
    delay does not grow.
    """

    first_seconds: float
    longest_seconds: float
    factor: float = 2.0
    jitter: float = 0.0
    """Which part of a delay is left to chance (0 to 1), so that what failed together does not come again together."""

    def seconds_after(self, attempts: int, draw: float = 0.0) -> float:
        """How many seconds to wait after so many failed attempts (1 or more, however many).

        *draw*, a random number from 0 to 1, takes off up to the jitter's part: nothing waits longer than the longest.
        """
        try:
            delay = min(self.longest_seconds, self.first_seconds * self.factor ** (attempts - 1))
        except OverflowError:
            delay = self.longest_seconds
        return delay * (1 - self.jitter * draw)
