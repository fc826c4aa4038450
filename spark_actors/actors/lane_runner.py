"""The I/O of one lane: hands one subscriber the events of one outbox, at its own speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop, steady_now, time_to_grow
from spark_actors.actors.missed import MissedEventsKeeping
from spark_actors.actors.parking import EventParking, ParkedKeys
from spark_actors.actors.ports import RelayPorts
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.crash_points import CrashPoint
from spark_actors.messaging.envelope import pack, unpack_deliveries
from spark_actors.messaging.lane import Lane
from spark_actors.messaging.telemetry import DeliveryRetried, EventsRouted

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RelayLimits:
    """How much a relay takes in hand."""

    batch: int
    """Events handed to a subscriber at once."""
    in_flight: int
    """Events that a subscriber may have in hand while it keeps up; see `Relay.room`."""
    poll_seconds: float
    """How often the outbox is read without a hint."""
    patience: Mapping[str, float]
    """How many seconds a subscriber's next batch may take to grow after a small one; unnamed: none."""


class LaneRunner:
    """Runs one lane: its batches, its parked keys, and what it reads again of its missed events.

    At least once: a batch counts as taken only when the subscriber has acknowledged it, message by message. One that a
    subscriber is away for is handed over again, so takers must be idempotent (they are, by their inbox).
    """

    def __init__(
        self,
        context: str,
        lane: Lane,
        keys: ParkedKeys,
        ports: RelayPorts,
        *,
        limits: RelayLimits,
        has_moved: Callable[[], None],
    ) -> None:
        """*has_moved* is called when the subscriber may be through with some rows."""
        self._context = context
        self._lane = lane
        self._keys = keys
        self._ports = ports
        self._limits = limits
        self._has_moved = has_moved
        self._patience_seconds = limits.patience.get(lane.subscriber, 0.0)
        self._parking = EventParking(context, lane, keys, ports)
        self._missed = MissedEventsKeeping(context, lane, ports.outbox.missed)
        self._is_away = False
        """Whether the subscriber did not take its last batch; the log says it once."""
        self.loop = Loop(f"relay {context} to {lane.subscriber}", self.deliver)

    def wake_if_released(self) -> None:
        """Go on at once if messages of a released key are to be handed over."""
        if self._lane.next_releases(steady_now()):
            self.loop.wake()

    async def keep_missed(self) -> None:
        """Keep what the subscriber does not get while it is set aside. Runs beside `deliver`, which may hang."""
        while await self._missed.keep(self._limits.batch):
            self._has_moved()
            self.loop.wake()

    async def deliver(self) -> float:
        """Hand over the next batch, take in its acknowledgements, and see to what is parked or kept."""
        while not self._keys.is_known:
            await self._keys.look()
        more = await self._see_to_parked()
        await self._missed.read(self._limits.batch)
        batch = self._lane.next_batch(self._limits.batch, steady_now())
        if not batch:
            await self._missed.forget()
            return 0 if more or self._lane.has_to_park else self._until_due()
        subscriber = self._lane.subscriber
        self._ports.pass_point(CrashPoint.RELAY_BEFORE_DELIVERY, subscriber)
        try:
            payload = pack([row.envelope for row in batch])
            answer = await self._ports.subscribers.take_events(subscriber, payload, alone=self._lane.is_alone)
            deliveries = unpack_deliveries(answer)
        except (ActorUnavailableError, StorageUnavailableError) as error:
            await self._not_taken(error)
            return self._away(len(batch), error)
        except Exception:  # a bug over there: the loop shows it and slows down, and the batch is offered again
            self._lane.undelivered()
            raise
        self._ports.pass_point(CrashPoint.RELAY_AFTER_DELIVERY, subscriber)
        self._is_away = False
        for burial in self._lane.delivered(deliveries, steady_now()):
            await self._parking.bury(burial)
        await self._missed.forget()
        self._ports.telemetry(EventsRouted(self._context, subscriber, len(batch)))
        self._has_moved()
        if len(batch) < self._limits.batch:
            grows = time_to_grow(len(batch), tuning.RELAY_GROWTH_SECONDS)
            await asyncio.sleep(max(grows, self._patience_seconds))
        return 0

    async def _see_to_parked(self) -> bool:
        """Whether there may be more to do at once. A subscriber that is away now is met again with the next batch."""
        if await self._parking.park(self._limits.batch):
            self._has_moved()
        try:
            return await self._parking.release()
        except (ActorUnavailableError, StorageUnavailableError) as error:
            await asyncio.sleep(self._away(0, error))
            return False

    async def _not_taken(self, error: Exception) -> None:
        """The batch in hand was not taken; if it is the batch that ends its taker, find the message that does."""
        if not (isinstance(error, ActorUnavailableError) and error.has_died):
            self._lane.undelivered()
            return
        for burial in self._lane.killed(steady_now()):
            await self._parking.bury(burial)

    def _away(self, size: int, error: Exception) -> float:
        """The subscriber is away: how many seconds until the retry."""
        subscriber = self._lane.subscriber
        self._ports.telemetry(DeliveryRetried(self._context, subscriber, size))
        if not self._is_away:
            log.info("subscriber_away", context=self._context, subscriber=subscriber, error=str(error))
        self._is_away = True
        return tuning.AWAY_BACK_OFF.seconds_after(1, self._ports.draw())

    def _until_due(self) -> float:
        due = self._lane.next_due()
        wait = self._limits.poll_seconds if due is None else (due - steady_now()).total_seconds()
        return min(max(wait, 0.001), self._limits.poll_seconds)
