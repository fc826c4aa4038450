"""The Supervisor of a context: relays its outbox, watches its sagas' deadlines, keeps its ContextActor alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.loop import Loop, steady_now, time_to_grow
from spark_actors.actors.missed import MissedEventsKeeping
from spark_actors.actors.parking import KEYS_A_SECOND, LOOK_SECONDS, CommandReleases, EventParking
from spark_actors.actors.ports import Subscribers
from spark_actors.actors.watch import Watch
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import pack, unpack_deliveries
from spark_actors.messaging.ports import Clock, OutboxReader, Telemetry, WakeUps
from spark_actors.messaging.relay import Relay, RetryPolicy
from spark_actors.messaging.routing import Subscriptions
from spark_actors.messaging.telemetry import DeliveryRetried, EventsRouted

log = structlog.get_logger(__name__)

GROWTH_SECONDS = 0.1
"""How long the next batch may take to gather under load, while the commands before it have the processors."""
SETTLE_PACE_SECONDS = 0.05
"""After a settlement the next may take so long to grow: nobody waits for it."""
AWAY_SECONDS = 0.2
"""Pause, more or less, before a batch is offered again to a subscriber that is away."""


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


class OutboxRelay:
    """Hands the events of one outbox to their subscribers, at least once and in order per aggregate.

    A row leaves the outbox only after each subscriber has taken it, or it waits durably for its key to be released or
    for a subscriber that is far behind.
    """

    def __init__(
        self,
        context: str,
        outbox: OutboxReader,
        wake_ups: WakeUps,
        subscribers: Subscribers,
        subscriptions: Subscriptions,
        *,
        limits: RelayLimits,
        policy: RetryPolicy,
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint = pass_unharmed,
        draw: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._context = context
        self._outbox = outbox
        self._wake_ups = wake_ups
        self._subscribers = subscribers
        self._limits = limits
        self._clock = clock
        self._telemetry = telemetry
        self._pass = pass_point
        self._draw = draw
        names = sorted(subscriptions.subscribers_of(context))
        self._relay = Relay(subscriptions.of, policy, subscribers=names, in_flight=limits.in_flight, draw=draw)
        self._parking = EventParking(
            context, self._relay, outbox.parking, subscribers, clock=clock, telemetry=telemetry
        )
        self._missed = MissedEventsKeeping(context, self._relay, outbox.missed)
        self._away_ones: set[str] = set()
        """Subscribers that did not take their last batch; the log says it once."""
        self._is_full = False
        """Whether the reader waits for room rather than for rows."""
        self._lanes = {name: Loop(f"relay {context} to {name}", partial(self.deliver, name)) for name in names}
        self._reader = Loop(f"read outbox {context}", self.read)
        self._settler = Loop(f"settle outbox {context}", self.settle)
        self._listener = Loop(f"listen {context}", self._listen)
        self._looker = Loop(f"parked keys {context}", self.look)
        self._keeper = Loop(f"keep missed events of {context}", self.keep_missed)

    @property
    def loops(self) -> list[Loop]:
        return [self._reader, self._settler, self._listener, self._looker, self._keeper, *self._lanes.values()]

    def start(self) -> None:
        for loop in self.loops:
            loop.start()

    async def stop(self) -> None:
        """Read no more, let the batches in hand end, settle them."""
        await self._listener.cancel()
        await self._reader.stop()
        await self._looker.stop()
        for lane in self._lanes.values():
            await lane.stop()
        await self._keeper.stop()
        await self._settler.stop()
        with suppress(StorageUnavailableError):  # what is not settled now comes again after the next start
            await self.settle()

    async def read(self) -> float:
        """Take in what waits in the outbox, as far as there is room."""
        limit = min(self._limits.batch, self._relay.room)
        self._is_full = limit <= 0
        if self._is_full:
            return self._limits.poll_seconds
        rows = await self._outbox.pending(skip=self._relay.positions, limit=limit)
        # By an earlier relay, or one that still lives: what it has kept comes before what is read now.
        self._relay.set_aside(sorted(self._lanes.keys() & self._outbox.kept_for))
        self._relay.take_in(rows, is_all=len(rows) < limit)
        for lane in self._lanes.values():
            lane.wake()
        if self._relay.behind:
            self._keeper.wake()
        self._settler.wake()
        if len(rows) == limit:
            return 0
        if rows:
            await asyncio.sleep(time_to_grow(len(rows), GROWTH_SECONDS))
        return self._limits.poll_seconds

    async def deliver(self, subscriber: str) -> float:
        """Hand *subscriber* its next batch, take in its answers, and see to what is parked or kept for it."""
        while not self._parking.is_known:
            await self.look()
        more = await self._see_to_parked(subscriber)
        await self._missed.read(subscriber, self._limits.batch)
        batch = self._relay.next_batch(subscriber, self._limits.batch, steady_now())
        if not batch:
            await self._missed.forget(subscriber)
            return 0 if more or self._relay.has_to_park(subscriber) else self._until_due(subscriber)
        self._pass(CrashPoint.RELAY_BEFORE_DELIVERY, subscriber)
        try:
            payload, alone = pack([row.envelope for row in batch]), self._relay.is_alone(subscriber)
            answer = await self._subscribers.take_events(subscriber, payload, alone=alone)
            deliveries = unpack_deliveries(answer)
        except (ActorUnavailableError, StorageUnavailableError) as error:
            await self._not_taken(subscriber, error)
            return self._away(subscriber, len(batch), error)
        except Exception:  # a bug over there: the loop shows it and slows down, and the batch is offered again
            self._relay.undelivered(subscriber)
            raise
        self._pass(CrashPoint.RELAY_AFTER_DELIVERY, subscriber)
        self._away_ones.discard(subscriber)
        for burial in self._relay.delivered(subscriber, deliveries, steady_now()):
            await self._parking.bury(burial)
        await self._missed.forget(subscriber)
        self._telemetry(EventsRouted(self._context, subscriber, len(batch)))
        self._settler.wake()
        if self._is_full:  # there may be room now, whatever the others have still in hand
            self._reader.wake()
        if len(batch) < self._limits.batch:
            await asyncio.sleep(max(time_to_grow(len(batch), GROWTH_SECONDS), self._limits.patience.get(subscriber, 0)))
        return 0

    async def keep_missed(self) -> float:
        """Keep what the subscribers that are set aside do not get now, so that the outbox need not hold it."""
        for subscriber in self._relay.behind:
            while await self._missed.keep(subscriber, self._limits.batch):
                self._settler.wake()
                self._lanes[subscriber].wake()
        return self._limits.poll_seconds

    async def look(self) -> float:
        """See which keys are parked; the more there are, the more rarely."""
        keys = await self._parking.look(self._lanes)
        for name, lane in self._lanes.items():
            if self._relay.next_releases(name, steady_now()):
                lane.wake()
        return max(LOOK_SECONDS, keys / KEYS_A_SECOND)

    async def _not_taken(self, subscriber: str, error: Exception) -> None:
        """The batch in hand was not taken; if it is the batch that ends its taker, find the message that does."""
        if not (isinstance(error, ActorUnavailableError) and error.has_died):
            self._relay.undelivered(subscriber)
            return
        for burial in self._relay.killed(subscriber, steady_now()):
            await self._parking.bury(burial)

    async def _see_to_parked(self, subscriber: str) -> bool:
        """Whether there may be more to do at once. A subscriber that is away now is met again with the next batch."""
        if await self._parking.park(subscriber, self._limits.batch):
            self._settler.wake()
        try:
            return await self._parking.release(subscriber)
        except (ActorUnavailableError, StorageUnavailableError) as error:
            await asyncio.sleep(self._away(subscriber, 0, error))
            return False

    async def settle(self) -> float:
        """Delete the rows that every subscriber is through with."""
        positions = self._relay.to_settle()
        if positions:
            try:
                await self._outbox.settle(positions)
            except Exception:
                self._relay.not_settled(positions)
                raise
            self._relay.settled(positions)
            if self._is_full:
                self._reader.wake()
            else:
                await asyncio.sleep(SETTLE_PACE_SECONDS)
        return self._limits.poll_seconds

    async def _listen(self) -> float:
        if await self._wake_ups.wait(timedelta(seconds=self._limits.poll_seconds)):
            self._reader.wake()
        return 0

    def _until_due(self, subscriber: str) -> float:
        due = self._relay.next_due(subscriber)
        wait = self._limits.poll_seconds if due is None else (due - steady_now()).total_seconds()
        return min(max(wait, 0.001), self._limits.poll_seconds)

    def _away(self, subscriber: str, size: int, error: Exception) -> float:
        self._telemetry(DeliveryRetried(self._context, subscriber, size))
        if subscriber not in self._away_ones:
            log.info("subscriber_away", context=self._context, subscriber=subscriber, error=str(error))
        self._away_ones.add(subscriber)
        return AWAY_SECONDS * (0.5 + self._draw())


class Supervisor:
    """Relay, watch and the keeper of the ContextActor of one context, as one actor."""

    def __init__(
        self, watch: Watch, relay: OutboxRelay, releases: CommandReleases, keeper: Keeper, *, grace_seconds: float
    ) -> None:
        self._releases = releases.loop
        self._watch = watch
        self._relay = relay
        self._keeper = keeper
        self._grace_seconds = grace_seconds

    async def start(self) -> None:
        self._keeper.start()
        self._watch.start()
        self._relay.start()
        self._releases.start()

    async def stop(self) -> None:
        """Finish what is in hand, then end the ContextActor."""
        await self._releases.stop()
        await self._relay.stop()
        await self._watch.stop()
        await self._keeper.stop(self._grace_seconds)

    def problems(self) -> list[str]:
        """Why it cannot do its work just now."""
        loops = [*self._watch.loops, *self._relay.loops, self._releases]
        return [problem for problem in [*(loop.problem for loop in loops), self._keeper.problem] if problem]
