"""The Supervisor of a context: relays its outbox, watches its sagas' deadlines, keeps its ContextActor alive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from domain.shared.errors import StorageUnavailableError
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.loop import Loop, time_to_grow
from spark_actors.actors.ports import Subscribers
from spark_actors.actors.watch import Watch
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import pack, unpack_deliveries
from spark_actors.messaging.ports import (
    Clock,
    DeadLetter,
    OutboxReader,
    PendingMessage,
    Telemetry,
    WakeUps,
)
from spark_actors.messaging.relay import Burial, Relay, RetryPolicy
from spark_actors.messaging.routing import Subscriptions
from spark_actors.messaging.telemetry import (
    DeliveryRetried,
    EventsRouted,
    MessagesBuried,
)

log = structlog.get_logger(__name__)

SETTLE_PACE_SECONDS = 0.05
"""After a settlement the next may take so long to grow: nobody waits for it."""
ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
AWAY_SECONDS = 0.2
"""Pause before a batch is offered again to a subscriber that is away."""


@dataclass(frozen=True)
class RelayLimits:
    """How much a relay takes in hand."""

    batch: int
    """Events handed to a subscriber at once."""
    in_flight: int
    """Events taken out of the outbox and not settled yet."""
    poll_seconds: float
    """How often the outbox is read without a hint."""
    patience: Mapping[str, float]
    """How many seconds a subscriber's next batch may take to grow after a small one; unnamed: none."""


class OutboxRelay:
    """Hands the events of one outbox to their subscribers, at least once and in order per aggregate.

    A row leaves the outbox only after each subscriber has taken it or it lies among the dead letters.
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
    ) -> None:
        self._context = context
        self._outbox = outbox
        self._wake_ups = wake_ups
        self._subscribers = subscribers
        self._limits = limits
        self._clock = clock
        self._telemetry = telemetry
        self._pass = pass_point
        self._relay = Relay(subscriptions.of, policy)
        self._is_full = False
        """Whether the reader waits for room rather than for rows."""
        self._lanes = {
            name: Loop(f"relay {context} to {name}", partial(self.deliver, name))
            for name in sorted(subscriptions.subscribers_of(context))
        }
        self._reader = Loop(f"read outbox {context}", self.read)
        self._settler = Loop(f"settle outbox {context}", self.settle)
        self._listener = Loop(f"listen {context}", self._listen)

    @property
    def loops(self) -> list[Loop]:
        return [self._reader, self._settler, self._listener, *self._lanes.values()]

    def start(self) -> None:
        for loop in self.loops:
            loop.start()

    async def stop(self) -> None:
        """Read no more, let the batches in hand end, settle them."""
        await self._listener.cancel()
        await self._reader.stop()
        for lane in self._lanes.values():
            await lane.stop()
        await self._settler.stop()
        with suppress(StorageUnavailableError):  # what is not settled now comes again after the next start
            await self.settle()

    async def read(self) -> float:
        """Take in what waits in the outbox, as far as there is room."""
        limit = min(self._limits.batch, self._relay.room(self._limits.in_flight))
        self._is_full = limit <= 0
        if self._is_full:
            return self._limits.poll_seconds
        rows = await self._outbox.pending(skip=self._relay.positions, limit=limit)
        self._relay.take_in(rows)
        for lane in self._lanes.values():
            lane.wake()
        self._settler.wake()
        if len(rows) == limit:
            return 0
        if rows:
            await asyncio.sleep(time_to_grow(len(rows)))
        return self._limits.poll_seconds

    async def deliver(self, subscriber: str) -> float:
        """Hand *subscriber* its next batch and take in its answers."""
        batch = self._relay.next_batch(subscriber, self._limits.batch, _steady())
        if not batch:
            return self._until_due(subscriber)
        self._pass(CrashPoint.RELAY_BEFORE_DELIVERY, subscriber)
        try:
            answer = await self._subscribers.take_events(subscriber, pack([row.envelope for row in batch]))
            deliveries = unpack_deliveries(answer)
        except (ActorUnavailableError, StorageUnavailableError) as error:
            return self._away(subscriber, batch, error)
        except Exception:  # a bug over there: the loop shows it and slows down, and the batch is offered again
            self._relay.undelivered(subscriber)
            raise
        self._pass(CrashPoint.RELAY_AFTER_DELIVERY, subscriber)
        burials = self._relay.delivered(subscriber, deliveries, _steady())
        for burial in burials:
            await self._bury(burial)
        self._telemetry(EventsRouted(self._context, subscriber, len(batch)))
        self._settler.wake()
        if len(batch) < self._limits.batch:
            await asyncio.sleep(max(time_to_grow(len(batch)), self._limits.patience.get(subscriber, 0)))
        return 0

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
        wait = self._limits.poll_seconds if due is None else (due - _steady()).total_seconds()
        return min(max(wait, 0.001), self._limits.poll_seconds)

    def _away(self, subscriber: str, batch: Sequence[PendingMessage], error: Exception) -> float:
        self._relay.undelivered(subscriber)
        self._telemetry(DeliveryRetried(self._context, subscriber, len(batch)))
        log.info("subscriber_away", context=self._context, subscriber=subscriber, error=str(error))
        return AWAY_SECONDS

    async def _bury(self, burial: Burial) -> None:
        envelope = burial.message.envelope
        letter = DeadLetter(
            message_id=envelope.message_id,
            name=envelope.name,
            key=envelope.key,
            subscriber=burial.subscriber,
            reason=burial.reason,
            attempts=burial.attempts,
            body=envelope.data,
            correlation_id=envelope.correlation_id,
            causation_id=envelope.causation_id,
            died_at=self._clock(),
        )
        await self._outbox.bury(burial.message.position, letter)
        self._relay.buried(burial)
        self._telemetry(MessagesBuried(self._context))
        log.error(
            "message_buried",
            message=envelope.name,
            message_id=envelope.message_id,
            subscriber=burial.subscriber,
            reason=burial.reason,
            correlation_id=envelope.correlation_id,
        )


def _steady() -> datetime:
    """Time to wait by: it counts from any moment, and no jump of the clock moves it."""
    return ANY_MOMENT + timedelta(seconds=asyncio.get_running_loop().time())


class Supervisor:
    """Relay, watch and the keeper of the ContextActor of one context, as one actor."""

    def __init__(self, watch: Watch, relay: OutboxRelay, keeper: Keeper, *, grace_seconds: float) -> None:
        self._watch = watch
        self._relay = relay
        self._keeper = keeper
        self._grace_seconds = grace_seconds

    async def start(self) -> None:
        self._keeper.start()
        self._watch.start()
        self._relay.start()

    async def stop(self) -> None:
        """Finish what is in hand, then end the ContextActor."""
        await self._relay.stop()
        await self._watch.stop()
        await self._keeper.stop(self._grace_seconds)

    def problems(self) -> list[str]:
        """Why it cannot do its work just now."""
        loops = [*self._watch.loops, *self._relay.loops]
        return [problem for problem in [*(loop.problem for loop in loops), self._keeper.problem] if problem]
