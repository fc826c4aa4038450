"""Tells of what comes in floods at a bounded rate, so that they fill neither log nor disk, and in full. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spark_actors.messaging import tuning


@dataclass
class _Burst:
    """What has come for one reason without a pause of `QUIET_SECONDS`."""

    count: int = 0
    untold: int = 0
    """Of these, those since the last line."""
    quiet_until: float = 0.0
    last_at: float = 0.0


@dataclass
class BurstLog:
    """A line when a burst begins, another for each `QUIET_SECONDS` that it lasts, and its sum when it has ended.

    Each reason has bursts of its own, and there must be few reasons. Lines are called *event*, with how many there were
    since the line before; sums `<event>_in_all`. Whoever notes has to call `settle` every few seconds and `close` last.
    """

    event: str
    tell: Callable[..., Any]
    """Writes a line: `tell(event, **fields)`, such as the `warning` of a logger."""
    now: Callable[[], float] = time.monotonic
    _bursts: dict[str, _Burst] = field(default_factory=dict)

    def note(self, reason: str, **last: object) -> None:
        """Once more; *last* is what a line says besides of the one that it is written for."""
        now = self.now()
        self._end(reason, now - tuning.QUIET_SECONDS)
        burst = self._bursts.setdefault(reason, _Burst(quiet_until=now))
        burst.count += 1
        burst.untold += 1
        burst.last_at = now
        if now >= burst.quiet_until:
            self.tell(self.event, reason=reason, count=burst.untold, **last)
            burst.untold, burst.quiet_until = 0, now + tuning.QUIET_SECONDS

    def settle(self) -> None:
        """Tell the sums of the bursts that have ended."""
        for reason in list(self._bursts):
            self._end(reason, self.now() - tuning.QUIET_SECONDS)

    def close(self) -> None:
        """Tell the sums of all: nothing more will come."""
        for reason in list(self._bursts):
            self._end(reason, self.now())

    def _end(self, reason: str, before: float) -> None:
        """The burst is over if its last one came until then; of one that was told and stayed alone nothing is left."""
        burst = self._bursts.get(reason)
        if burst is None or burst.last_at > before:
            return
        del self._bursts[reason]
        if burst.count > 1:
            self.tell(f"{self.event}_in_all", reason=reason, count=burst.count)
