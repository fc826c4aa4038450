"""Parked keys of one context: what a subscriber cannot take waits durably, and is handed over once it is released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import structlog

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop, steady_now
from spark_actors.actors.ports import Releases, Subscribers
from spark_actors.kernel.errors import KeyParkedError, StaleVersionError, StorageUnavailableError
from spark_actors.messaging.deaths import DEADLY_DEATHS, KILLED_ITS_PROCESS
from spark_actors.messaging.envelope import Delivery, Envelope, Receipt, pack, unpack_deliveries
from spark_actors.messaging.ports import Clock, DeadLetter, ParkedEvents, Revision, Telemetry, letter_of
from spark_actors.messaging.relay import Burial, Relay
from spark_actors.messaging.routing import Placement
from spark_actors.messaging.telemetry import EventsRouted, MessagesBuried
from spark_actors.messaging.unit_of_work import COMMANDS, Failure

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""How soon what an operator does to a key is seen."""
KEYS_A_SECOND = 100_000
"""How many parked keys are looked at a second at most."""
RELEASED_AT_ONCE = 100
"""Messages of a released key that are handed over together, and released keys that are looked at together."""


class EventParking:
    """The I/O behind the relay's parked keys. For each subscriber one call at a time, from its lane."""

    def __init__(
        self,
        context: str,
        relay: Relay,
        parking: ParkedEvents,
        subscribers: Subscribers,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._context = context
        self._relay = relay
        self._parking = parking
        self._subscribers = subscribers
        self._clock = clock
        self._telemetry = telemetry
        self._seen: tuple[Revision, int] | None = None
        """The revision of the keys that the relay knows, and how often it had changed any itself by then."""
        self.is_known = False
        """Whether it is known which keys are parked; nothing may be handed over before."""

    async def look(self, names: Collection[str]) -> int:
        """Learn which keys are parked for the subscribers *names*; gives how many there are, those of commands too."""
        changes = self._relay.changes
        revision = await self._parking.revision()
        if (revision, changes) != self._seen:
            mine = [key for key in await self._parking.keys() if key.subscriber in names]
            if self._relay.sync(mine, changes, steady_now()):
                self.is_known = True
                self._seen = revision, changes
        return revision.keys

    async def bury(self, burial: Burial) -> None:
        """The message waits as a dead letter, and its key from now on."""
        await self._bury(burial.subscriber, burial.message.envelope, burial.reason, burial.attempts)
        self._relay.buried(burial)

    async def park(self, subscriber: str, limit: int) -> int:
        """Put rows of parked keys where they wait; how many were put there."""
        rows = self._relay.next_parking(subscriber, limit)
        if not rows:
            return 0
        try:
            await self._parking.park(subscriber, [row.envelope for row in rows])
        except StaleVersionError:  # somebody has freed a key meanwhile
            self._relay.not_parked(subscriber)
            await self.look({subscriber})
            return 0
        except Exception:
            self._relay.not_parked(subscriber)
            raise
        self._relay.parked(subscriber)
        return len(rows)

    async def release(self, subscriber: str) -> bool:
        """Hand over the next messages of released keys; whether there may be more to do at once."""
        more = False
        for key in self._relay.next_releases(subscriber, steady_now())[:RELEASED_AT_ONCE]:
            try:
                more |= await self._release(subscriber, key)
            except KeyParkedError:  # an operator has paused it
                self._relay.parked_again(subscriber, key)
        return more

    async def _release(self, subscriber: str, key: str) -> bool:
        limit = self._relay.release_limit(subscriber, key, RELEASED_AT_ONCE)
        waiting = await self._parking.waiting(subscriber, key, limit)
        refused = await self._hand_over(subscriber, key, waiting) if waiting else None
        if refused is not None:
            await self._refused(subscriber, *refused)
            return False
        if len(waiting) < limit and await self._parking.close(subscriber, key):
            self._relay.freed(subscriber, key)  # nothing may come between the two: rows pass directly from here on
            log.info("key_freed", context=self._context, subscriber=subscriber, key=key)
            return False
        return True

    async def _hand_over(
        self, subscriber: str, key: str, waiting: Sequence[Envelope]
    ) -> tuple[Envelope, Delivery] | None:
        """Forget what was taken; gives the first message that was not."""
        try:
            alone = self._relay.is_release_alone(subscriber, key)
            answer = await self._subscribers.take_events(subscriber, pack(waiting), alone=alone)
        except ActorUnavailableError as error:
            ids = [envelope.message_id for envelope in waiting]
            if error.has_died and self._relay.killed_by_release(subscriber, key, ids):
                return waiting[0], Delivery(ids[0], Receipt.POISON, KILLED_ITS_PROCESS)
            raise
        answers = {delivery.message_id: delivery for delivery in unpack_deliveries(answer)}
        taken: list[Envelope] = []
        refused: tuple[Envelope, Delivery] | None = None
        for envelope in waiting:
            delivery = answers.get(envelope.message_id) or Delivery(envelope.message_id, Receipt.RETRY, "no_answer")
            if delivery.receipt is not Receipt.TAKEN:
                refused = envelope, delivery
                break
            taken.append(envelope)
        if taken:
            await self._parking.take_out(subscriber, [envelope.message_id for envelope in taken])
            self._relay.taken_up(subscriber, key, steady_now())
            self._telemetry(EventsRouted(self._context, subscriber, len(taken)))
            self._log_taken_up(subscriber, taken)
        return refused

    async def _refused(self, subscriber: str, envelope: Envelope, delivery: Delivery) -> None:
        attempts = self._relay.not_released(subscriber, envelope.key, delivery, steady_now())
        if attempts:
            await self._bury(subscriber, envelope, delivery.reason, attempts)
            self._relay.parked_again(subscriber, envelope.key)

    async def _bury(self, subscriber: str, envelope: Envelope, reason: str, attempts: int) -> None:
        letter = DeadLetter(
            message_id=envelope.message_id,
            name=envelope.name,
            key=envelope.key,
            subscriber=subscriber,
            reason=reason,
            attempts=attempts,
            body=envelope.data,
            correlation_id=envelope.correlation_id,
            causation_id=envelope.causation_id,
            died_at=self._clock(),
            version=envelope.version,
            sequence=envelope.sequence,
            occurred_at=envelope.occurred_at,
        )
        await self._parking.bury(letter, envelope)
        self._telemetry(MessagesBuried(self._context))
        log.error(
            "key_parked",
            context=self._context,
            subscriber=subscriber,
            key=envelope.key,
            reason=reason,
            attempts=attempts,
            message=envelope.name,
            message_id=envelope.message_id,
            correlation_id=envelope.correlation_id,
        )

    def _log_taken_up(self, subscriber: str, taken: Sequence[Envelope]) -> None:
        for envelope in taken:
            log.info(
                "parked_event_taken_up",
                context=self._context,
                subscriber=subscriber,
                key=envelope.key,
                message_id=envelope.message_id,
                correlation_id=envelope.correlation_id,
            )


class CommandReleases:
    """Has the AggregateActors work off the released keys of one context's commands.

    Once a host has died over a key, what waits for it is handed over one by one; the command under which it dies again
    and again is buried anew.
    """

    def __init__(
        self,
        context: str,
        parking: ParkedEvents,
        placement: Placement,
        hosts: Releases,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._context = context
        self._parking = parking
        self._placement = placement
        self._hosts = hosts
        self._clock = clock
        self._telemetry = telemetry
        self._deaths: Counter[str] = Counter()
        """How often a host has died over the first of what waits, by key."""
        self.loop = Loop(f"release {context}", self.step)

    async def step(self) -> float:
        """Ask the host of each released key; a host that is away is asked again later."""
        keys = await self._parking.released(RELEASED_AT_ONCE)
        more = [await self._release(key) for key in keys]
        return 0 if any(more) else LOOK_SECONDS

    async def _release(self, key: str) -> bool:
        slot = self._placement.slot_of(self._context, key)
        try:
            more = await self._hosts.release(slot, self._context, [key], 1 if self._deaths[key] else RELEASED_AT_ONCE)
        except (ActorUnavailableError, StorageUnavailableError) as error:
            log.info("host_away", slot=slot.name, context=self._context, error=str(error))
            if isinstance(error, ActorUnavailableError) and error.has_died:
                await self._died_over(key)
            return False
        del self._deaths[key]
        return bool(more)

    async def _died_over(self, key: str) -> None:
        self._deaths[key] += 1
        if self._deaths[key] <= DEADLY_DEATHS:  # the first was over many at once
            return
        for envelope in await self._parking.waiting(COMMANDS, key, 1):
            letter = letter_of(Failure(envelope, KILLED_ITS_PROCESS, self._clock()))
            await self._parking.bury(letter, envelope)
            self._telemetry(MessagesBuried(self._context))
            log.error("key_parked", context=self._context, key=key, reason=letter.reason, message=envelope.name)
        del self._deaths[key]
