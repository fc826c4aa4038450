"""Whether the turn in hand moves, and for whom the next is: noted by who works, and by who answers beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError


class Progress:
    """Tells slow from stuck.

    A turn moves when it begins, and whenever the store has answered. A wait for the store is not held against it: how
    long that may take is bounded by the store, and whoever took its place would wait for the same.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._moved_at: float | None = None
        self._waits = False
        self._lock = threading.Lock()
        self._kept_for, self._kept_until = "", 0.0

    def keep(self, token: str) -> bool:
        """Keep the next turn for who shows *token*, if none is in hand and it is not kept for another."""
        with self._lock:
            if self._moved_at is not None or self._is_kept_from(token):
                return False
            self._kept_for, self._kept_until = token, self._now() + tuning.TURN_KEPT_SECONDS
            return True

    def _is_kept_from(self, token: str) -> bool:
        return bool(self._kept_for) and token != self._kept_for and self._now() < self._kept_until

    @contextmanager
    def turn(self, token: str = "") -> Iterator[None]:
        """A turn is in hand. Raises ActorUnavailableError if it is kept for another, or not (any more) for *token*."""
        with self._lock:
            if self._is_kept_from(token) or (token and token != self._kept_for):
                raise ActorUnavailableError("AggregateActor", "is kept for a command that may be deadly")
            self._kept_for = ""
            self._moved_at = self._now()
        try:
            yield
        finally:
            self._moved_at = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The store has been asked and has not answered yet."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            if self._moved_at is not None:
                self._moved_at = self._now()

    @property
    def waits_for_store_seconds(self) -> float:
        """For how long the store has not answered the turn in hand; 0 if it was not asked."""
        moved_at = self._moved_at
        return self._now() - moved_at if moved_at is not None and self._waits else 0.0

    @property
    def unmoved_seconds(self) -> float:
        """For how long the turn in hand has not moved without an excuse; 0 if none is in hand."""
        moved_at = self._moved_at
        if moved_at is None:
            return 0.0
        return max(0.0, self._now() - moved_at - (tuning.STORE_SECONDS if self._waits else 0.0))
