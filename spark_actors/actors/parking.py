"""Parked keys of one context: what a subscriber cannot take waits durably, and is handed over once it is released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop, steady_now
from spark_actors.actors.ports import RelayPorts, Releases
from spark_actors.kernel.errors import KeyParkedError, StaleVersionError, StorageUnavailableError
from spark_actors.messaging.deaths import KILLED_ITS_PROCESS
from spark_actors.messaging.envelope import Delivery, Envelope, Receipt, pack, unpack_deliveries
from spark_actors.messaging.lane import Burial, Lane, Release
from spark_actors.messaging.ports import Clock, DeadLetter, ParkedEvents, Revision, Telemetry, letter_of
from spark_actors.messaging.relay import Relay
from spark_actors.messaging.routing import Placement
from spark_actors.messaging.telemetry import EventsRouted, MessagesBuried
from spark_actors.messaging.tuning import DEADLY_DEATHS
from spark_actors.messaging.unit_of_work import COMMANDS, Failure

log = structlog.get_logger(__name__)


class ParkedKeys:
    """What the lanes of one outbox know of the keys that are parked in the store."""

    def __init__(self, relay: Relay, parking: ParkedEvents) -> None:
        self._relay = relay
        self._parking = parking
        self._seen: tuple[Revision, int] | None = None
        """The revision of the keys that the lanes know, and how often these had changed any themselves by then."""
        self.is_known = False
        """Whether it is known which keys are parked; nothing may be handed over before."""

    async def look(self) -> int:
        """Learn which keys are parked; gives how many there are, those of commands too."""
        changes = self._relay.changes
        revision = await self._parking.revision()
        if (revision, changes) != self._seen and self._relay.sync(await self._parking.keys(), changes, steady_now()):
            self.is_known = True
            self._seen = revision, changes
        return revision.keys


class EventParking:
    """The I/O behind the parked keys of one lane. One call at a time, from the lane's loop."""

    def __init__(self, context: str, lane: Lane, keys: ParkedKeys, ports: RelayPorts) -> None:
        self._context = context
        self._lane = lane
        self._keys = keys
        self._parking = ports.outbox.parking
        self._subscribers = ports.subscribers
        self._clock = ports.clock
        self._telemetry = ports.telemetry

    async def bury(self, burial: Burial) -> None:
        """The message waits as a dead letter, and its key from now on."""
        await self._bury(burial.message.envelope, burial.reason, burial.attempts)
        self._lane.buried(burial)

    async def park(self, limit: int) -> int:
        """Put rows of parked keys where they wait; how many were put there."""
        rows = self._lane.next_parking(limit)
        if not rows:
            return 0
        try:
            await self._parking.park(self._lane.subscriber, [row.envelope for row in rows])
        except StaleVersionError:  # somebody has freed a key meanwhile
            self._lane.not_parked()
            await self._keys.look()
            return 0
        except Exception:
            self._lane.not_parked()
            raise
        self._lane.parked()
        return len(rows)

    async def release(self) -> bool:
        """Hand over the next messages of released keys; whether there may be more to do at once."""
        more = False
        for release in self._lane.next_releases(steady_now())[: tuning.RELEASED_AT_ONCE]:
            try:
                more |= await self._release(release)
            except KeyParkedError:  # an operator has paused it
                self._lane.parked_again(release.key)
        return more

    async def _release(self, release: Release) -> bool:
        """Work off one key: hand over, forget what was taken, and free the key once nothing is left of it."""
        limit = release.suspects.limit(tuning.RELEASED_AT_ONCE)
        waiting = await self._parking.waiting(self._lane.subscriber, release.key, limit)
        if waiting:
            answers = await self._hand_over(release, waiting)
            taken = await self._take_out(release, waiting, answers)
            if taken < len(waiting):
                await self._refused(release, waiting[taken], answers[taken])
                return False
        if len(waiting) < limit and await self._parking.close(self._lane.subscriber, release.key):
            self._lane.freed(release.key)  # nothing may come between the two: rows pass directly from here on
            log.info("key_freed", context=self._context, subscriber=self._lane.subscriber, key=release.key)
            return False
        return True

    async def _hand_over(self, release: Release, waiting: Sequence[Envelope]) -> Sequence[Delivery]:
        """An answer to each of these, in order."""
        try:
            answer = await self._subscribers.take_events(
                self._lane.subscriber, pack(waiting), alone=release.suspects.is_alone
            )
        except ActorUnavailableError as error:
            ids = [envelope.message_id for envelope in waiting]
            if error.has_died and release.suspects.died(ids):
                return [Delivery(message_id, Receipt.POISON, KILLED_ITS_PROCESS) for message_id in ids]
            raise
        answers = {delivery.message_id: delivery for delivery in unpack_deliveries(answer)}
        return [
            answers.get(envelope.message_id) or Delivery(envelope.message_id, Receipt.RETRY, "no_answer")
            for envelope in waiting
        ]

    async def _take_out(self, release: Release, waiting: Sequence[Envelope], answers: Sequence[Delivery]) -> int:
        """Forget what was taken, up to the first that was not; how many messages."""
        receipts = [answer.receipt is Receipt.TAKEN for answer in answers]
        count = receipts.index(False) if False in receipts else len(receipts)
        if count == 0:
            return 0
        taken = waiting[:count]
        await self._parking.take_out(self._lane.subscriber, [envelope.message_id for envelope in taken])
        release.taken_up(steady_now())
        self._telemetry(EventsRouted(self._context, self._lane.subscriber, count))
        for envelope in taken:
            log.info(
                "parked_event_taken_up",
                context=self._context,
                subscriber=self._lane.subscriber,
                key=envelope.key,
                message_id=envelope.message_id,
                correlation_id=envelope.correlation_id,
            )
        return count

    async def _refused(self, release: Release, envelope: Envelope, answer: Delivery) -> None:
        """The first message of a released key was not taken: it is tried again after a back-off, or buried anew."""
        if self._lane.not_released(release, answer.receipt, steady_now()):
            await self._bury(envelope, answer.reason, release.attempts)
            self._lane.parked_again(release.key)

    async def _bury(self, envelope: Envelope, reason: str, attempts: int) -> None:
        letter = DeadLetter(
            message_id=envelope.message_id,
            name=envelope.name,
            key=envelope.key,
            subscriber=self._lane.subscriber,
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
            subscriber=self._lane.subscriber,
            key=envelope.key,
            reason=reason,
            attempts=attempts,
            message=envelope.name,
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
        self._placement, self._version = placement, 0
        self._hosts = hosts
        self._clock = clock
        self._telemetry = telemetry
        self._deaths: Counter[str] = Counter()
        """How often a host has died over the first of what waits, by key."""
        self.loop = Loop(f"release {context}", self.step)

    def place(self, placement: Placement, version: int) -> None:
        """Ask by *placement* from now on, unless a newer one is known.

        A host that is asked by an older one works the key off all the same: of two the store accepts one.
        """
        if version > self._version:
            self._placement, self._version = placement, version

    async def step(self) -> float:
        """Ask the host of each released key; a host that is away is asked again later."""
        keys = await self._parking.released(tuning.RELEASED_AT_ONCE)
        more = [await self._release(key) for key in keys]
        return 0 if any(more) else tuning.PARKED_LOOK_SECONDS

    async def _release(self, key: str) -> bool:
        slot = self._placement.slot_of(self._context, key)
        try:
            more = await self._hosts.release(
                slot, self._context, [key], 1 if self._deaths[key] else tuning.RELEASED_AT_ONCE
            )
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
