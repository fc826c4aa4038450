"""Missed events of one context's outbox: kept for the subscribers that are set aside, and read again for them."""

from __future__ import annotations

import structlog

from spark_actors.messaging.ports import MissedEvents
from spark_actors.messaging.relay import Relay

log = structlog.get_logger(__name__)


class MissedEventsKeeping:
    """The I/O behind the relay's subscribers that are set aside.

    `keep` runs beside their lanes, so that a call that a subscriber leaves hanging holds up nobody; `read` and `forget`
    belong to the subscriber's lane.
    """

    def __init__(self, context: str, relay: Relay, missed: MissedEvents) -> None:
        self._context = context
        self._relay = relay
        self._missed = missed
        self._told: set[str] = set()
        """Subscribers of which the log says that they are set aside."""

    async def keep(self, subscriber: str, limit: int) -> int:
        """Make durable what a subscriber that is set aside does not get now; how many events."""
        self._tell()
        positions = self._relay.next_keeping(subscriber, limit)
        if positions:
            try:
                await self._missed.keep(subscriber, positions)
            except BaseException:
                self._relay.not_kept(subscriber)
                raise
            self._relay.kept(subscriber)
        return len(positions)

    async def read(self, subscriber: str, limit: int) -> None:
        """Take in hand the next of what is kept for a subscriber that has too little, or find that it has had all."""
        while read := self._relay.next_read(subscriber, limit):
            rows = await self._missed.next(subscriber, floor=read.floor, skip=read.skip, limit=limit)
            self._relay.found(subscriber, rows, read)
        self._tell()

    async def forget(self, subscriber: str) -> None:
        """What the subscriber has taken need not be kept any more."""
        if positions := self._relay.to_forget(subscriber):
            await self._missed.forget(subscriber, positions)
            self._relay.forgotten(subscriber, positions)

    def _tell(self) -> None:
        behind = set(self._relay.behind)
        for subscriber in behind - self._told:
            log.warning("subscriber_set_aside", context=self._context, subscriber=subscriber)
        for subscriber in self._told - behind:
            log.info("subscriber_caught_up", context=self._context, subscriber=subscriber)
        self._told = behind
