"""Missed events of one context's outbox: kept for the subscribers that are set aside, and read again for them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import structlog

from spark_actors.actors.loop import ANY_MOMENT, steady_now
from spark_actors.messaging.ports import MissedEvents
from spark_actors.messaging.relay import Relay

LOOK_INTERVAL = timedelta(seconds=10)
"""After the start only a predecessor that still lives can have kept something: there is no hurry."""

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
        self._look_at = ANY_MOMENT
        self.is_known = False
        """Whether it is known for whom something is kept; nothing may be handed over before."""

    async def look(self, names: Collection[str]) -> bool:
        """Learn for which of the subscribers *names* something is kept, by an earlier relay or one that still lives.

        Whether some were set aside by it.
        """
        if steady_now() < self._look_at:
            return False
        before = self._relay.behind
        self._relay.set_aside(sorted(set(names).intersection(await self._missed.subscribers())))
        self._look_at = steady_now() + LOOK_INTERVAL
        self.is_known = True
        self._tell()
        return self._relay.behind != before

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
