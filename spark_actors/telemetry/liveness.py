"""Whether the daemon can still help itself, or only a new start can: what /healthz says.

A part that is away (a database, the broker, an actor that is being replaced) is no reason: starting the daemon anew
does not bring it back, and /readyz tells of it. A reason is that those are gone who bring parts back: the daemon's
main loop, which looks after the built-in servers, and the root supervisor, which looks after the actors. Ray starts
that one again when it dies; so its being gone for long means that Ray is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from spark_actors.telemetry import tuning


class Liveness:
    """Notes what the main loop sees. Read from any thread; written from the main one.

    Alive before the loop begins and after it has ended: starting and draining have time limits of their own.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._turned_at: float | None = None
        self._root_answered_at = 0.0

    def begin(self) -> None:
        """The loop begins; the root has answered just now."""
        self._root_answered_at = self._turned_at = self._now()

    def turn(self, *, root_answers: bool) -> None:
        """The loop has come round, and asked the root."""
        self._turned_at = self._now()
        if root_answers:
            self._root_answered_at = self._turned_at

    def end(self) -> None:
        """The loop is left."""
        self._turned_at = None

    def problems(self) -> list[str]:
        """Why only a new start helps; empty while the daemon can help itself."""
        turned_at = self._turned_at
        if turned_at is None:
            return []
        stuck, silent = self._now() - turned_at, turned_at - self._root_answered_at
        told: list[str] = []
        if stuck > tuning.LOOP_SECONDS:
            told.append(f"the daemon's main loop has stood still for {stuck:.0f} s")
        if silent > tuning.ROOT_SECONDS:
            told.append(f"the root supervisor has not answered for {silent:.0f} s, and Ray has not started it again")
        return told
