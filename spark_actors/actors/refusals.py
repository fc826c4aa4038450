"""Tells of refused senders at a bounded rate, so that a flood of them fills neither the log nor the disk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import structlog

from spark_actors.messaging.door import RefusedError

log = structlog.get_logger(__name__)

QUIET_SECONDS = 10.0


class RefusalLog:
    """One line for each reason in so many seconds, with how many there were since the line before."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since_line: Counter[str] = Counter()
        self._quiet_until: dict[str, float] = {}

    def note(self, error: RefusedError, subject: str) -> None:
        """A message on *subject* was refused and is not kept."""
        self._since_line[error.code] += 1
        now = self._now()
        if now >= self._quiet_until.get(error.code, 0.0):
            self._quiet_until[error.code] = now + QUIET_SECONDS
            count = self._since_line.pop(error.code)
            log.warning("senders_refused", reason=error.code, count=count, last=error.detail, subject=subject[:200])
