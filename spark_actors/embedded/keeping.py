"""Keeps a built-in service alive while the daemon lives: one that has ended by itself, or is choked, starts again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from spark_actors.embedded import tuning
from spark_actors.kernel.errors import SparkError

_logger = logging.getLogger(__name__)


class Revivable(Protocol):
    """A built-in service as its keeper sees it."""

    @property
    def has_ended(self) -> bool: ...
    @property
    def is_ready(self) -> bool: ...
    def is_choked(self) -> bool:
        """Whether it runs, and only a new start makes it work again after the disk was full."""

    def revive(self) -> None: ...
    def last_words(self) -> str: ...


class ServiceKeeper:
    """Starts its service again whenever it has ended or is choked: at once, then ever more slowly.

    Logs once for each streak.
    """

    def __init__(self, name: str, service: Revivable, now: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._service = service
        self._now = now
        self._failures = 0
        self._due = 0.0
        self.problem: str | None = None
        """Why it cannot be counted on just now; None if it can."""

    @property
    def has_ended(self) -> bool:
        """Whether the service does not run at this moment."""
        return self._service.has_ended

    def look(self) -> None:
        """Look after it once; never raises. Belongs to the main thread, like every launch."""
        if self._service.has_ended:
            self._start_again("has ended", self._service.last_words())
        elif self._service.is_choked():
            self._start_again("has run out of space", "there is room again")
        elif self.problem is not None and self._service.is_ready:
            _logger.info("%s is back", self.name)
            self.problem, self._failures = None, 0

    def _start_again(self, what: str, why: str) -> None:
        if self._now() < self._due:
            return
        if self.problem is None:
            self.problem = f"{self.name} {what} and is started again"
            _logger.warning("%s %s and is started again: %s", self.name, what, why)
        self._failures += 1
        self._due = self._now() + tuning.REVIVAL_BACK_OFF.seconds_after(self._failures)
        try:
            self._service.revive()
        except (OSError, SparkError) as error:
            self.problem = f"{self.name} cannot be started: {error}"
