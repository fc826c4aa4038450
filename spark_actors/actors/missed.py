"""Missed events of one subscriber: kept while its lane is set aside, and read again for it."""

from __future__ import annotations

import structlog

from spark_actors.messaging.lane import Lane
from spark_actors.messaging.ports import MissedEvents

log = structlog.get_logger(__name__)


class MissedEventsKeeping:
    """The I/O behind a lane that is set aside.

    `keep` runs beside the lane, so that a call that the subscriber leaves hanging holds up nobody; `read` and `forget`
    belong to the lane's own loop.
    """

    def __init__(self, context: str, lane: Lane, missed: MissedEvents) -> None:
        self._context = context
        self._lane = lane
        self._missed = missed
        self._is_told = False
        """Whether the log says that the subscriber is set aside."""

    async def keep(self, limit: int) -> int:
        """Make durable what the subscriber does not get now; how many events."""
        self._tell()
        positions = self._lane.next_keeping(limit)
        if positions:
            try:
                await self._missed.keep(self._lane.subscriber, positions)
            except BaseException:
                self._lane.not_kept()
                raise
            self._lane.kept()
        return len(positions)

    async def read(self, limit: int) -> None:
        """Take in hand the next of what is kept if the subscriber has too little, or find that it has had all."""
        while read := self._lane.next_read(limit):
            rows = await self._missed.next(self._lane.subscriber, floor=read.floor, skip=read.skip, limit=limit)
            self._lane.found(rows, read)
        self._tell()

    async def forget(self) -> None:
        """What the subscriber has taken need not be kept any more."""
        if positions := self._lane.to_forget():
            await self._missed.forget(self._lane.subscriber, positions)
            self._lane.forgotten(positions)

    def _tell(self) -> None:
        if self._lane.is_set_aside and not self._is_told:
            log.warning("subscriber_set_aside", context=self._context, subscriber=self._lane.subscriber)
        elif self._is_told and not self._lane.is_set_aside:
            log.info("subscriber_caught_up", context=self._context, subscriber=self._lane.subscriber)
        self._is_told = self._lane.is_set_aside
