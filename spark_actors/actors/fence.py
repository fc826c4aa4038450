"""Sees to it that an actor that has a successor ends itself.

A machine that is cut off, or a root that is lost, leaves actors behind whom nobody asks for a heartbeat any more. The
store refuses what they write that is stale; but they would hold sessions, take part in whatever goes by who is there,
and ask the outside world for things. So who has not been asked for a while looks whether the place is still its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from spark_actors.actors import tuning
from spark_actors.kernel.errors import StorageError

log = structlog.get_logger(__name__)


def end_process() -> None:
    """At once, whatever hangs in it: what was acknowledged is in the store."""
    os._exit(tuning.FENCED_EXIT_CODE)


class Fence:
    """Looks after one actor's right to its place, in a thread beside the work, which may hang."""

    def __init__(
        self,
        place: str,
        incarnation: int,
        newest: Callable[[], int],
        *,
        tell: Callable[[], None] = lambda: None,
        end: Callable[[], None] = end_process,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """*newest* gives the newest incarnation of the place (0: there is no such place); raises StorageError.

        *tell* is called once before the end, if there is a successor; raises StorageError as well.
        """
        self._place, self._incarnation = place, incarnation
        self._newest, self._tell, self._end, self._now = newest, tell, end, now
        self._asked_at = self._sure_at = now()
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="fence", daemon=True).start()

    def asked(self) -> None:
        """Somebody has asked for a heartbeat: the root knows this actor."""
        self._asked_at = self._now()

    def end(self) -> None:
        """Somebody else has found out that the place is another's."""
        self._end()

    def stop(self) -> None:
        self._ended.set()

    def look(self) -> float:
        """Look once, if it is time to; gives the seconds until the next look."""
        unasked = self._now() - self._asked_at
        if unasked < tuning.UNASKED_SECONDS:
            self._sure_at = self._now()
            return tuning.UNASKED_SECONDS - unasked
        try:
            newest = self._newest()
        except StorageError as error:
            if self._now() - self._sure_at > tuning.UNSURE_SECONDS:
                log.error(
                    "ends_itself", place=self._place, why="the store has been away for too long", error=str(error)
                )
                self._end()
            return tuning.FENCE_LOOK_SECONDS
        if newest != self._incarnation:
            log.warning("ends_itself", place=self._place, incarnation=self._incarnation, newest=newest)
            with suppress(StorageError):
                self._tell()
            self._end()
        self._sure_at = self._now()
        return tuning.FENCE_LOOK_SECONDS

    def _watch(self) -> None:
        wait = tuning.UNASKED_SECONDS
        while not self._ended.wait(wait):
            wait = self.look()
