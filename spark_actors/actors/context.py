"""The ContextActor: takes a context's events and does its part of the sagas. All that it knows is in Postgres.

Its part of one event may be: a saga's progress row, the commands that follow, a read model, a task for the
outside. An event is taken when all of these are durable; every one of them may be done twice.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import ConstraintError, StorageUnavailableError
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import Command, Event, MessageRegistry
from spark_actors.kernel.sagas import SagaState, progress_of
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import (
    Delivery,
    Envelope,
    Receipt,
    decode_data,
    encode_data,
    pack,
    unpack_envelopes,
)
from spark_actors.messaging.ports import CommandSender, Projection, Received, SagaLog, SagaRow, Telemetry
from spark_actors.messaging.telemetry import SagasEnded

log = structlog.get_logger(__name__)


class Refusal(NamedTuple):
    """Why an event could not be taken."""

    reason: str
    """A word to count by, and perhaps more after a colon."""
    receipt: Receipt = Receipt.POISON
    """RETRY if it may pass as it is, LATER if it surely does."""


Refusals = Mapping[str, Refusal]
"""By message id."""


class EventHandler(Protocol):
    """One thing that a context does with events."""

    async def take(self, received: Sequence[Received]) -> Refusals:
        """Make it durable, in order: of a key of which one is refused, nothing later.

        Raises StorageUnavailableError or ActorUnavailableError if all may pass later. Whatever else it raises is looked
        into: each event is then handed over alone.
        """


class Tracking:
    """Keeps the progress rows of the sagas that the context has started."""

    def __init__(self, context: BoundedContext, saga_log: SagaLog, telemetry: Telemetry) -> None:
        self._sagas = context.sagas
        self._saga_log = saga_log
        self._telemetry = telemetry

    async def take(self, received: Sequence[Received]) -> Refusals:
        progress = [
            step
            for item in received
            for step in progress_of(
                self._sagas,
                item.event,
                correlation_id=item.envelope.correlation_id,
                at=item.envelope.occurred_at,
            )
        ]
        if progress:
            self._tell(await self._saga_log.merge(progress))
        return {}

    def _tell(self, ended: Sequence[SagaRow]) -> None:
        durations: dict[tuple[str, SagaState], list[timedelta]] = {}
        for row in ended:
            durations.setdefault((row.kind, row.state), []).append(row.updated_at - row.started_at)
        for (kind, state), lasted in durations.items():
            self._telemetry(SagasEnded(kind, state, lasted))


class Steps:
    """Runs the saga steps: each event's commands go to their aggregates under ids derived from the event's.

    An event is taken once its commands are durable: handled, refused by the business, or waiting where they failed. If
    somebody else holds a lock on the instance of one, its event is to be handed over again later.
    """

    def __init__(
        self,
        context: BoundedContext,
        sender: CommandSender,
        registry: MessageRegistry,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._context = context
        self._sender = sender
        self._registry = registry
        self._pass = pass_point

    async def take(self, received: Sequence[Received]) -> Refusals:
        caused: list[Envelope] = []
        causes: list[str] = []
        refusals: dict[str, Refusal] = {}
        stopped: set[str] = set()
        for item in received:
            step = self._context.steps.get(type(item.event))
            if step and item.envelope.key not in stopped:
                try:
                    commands = [
                        self._addressed(item.envelope, command, index) for index, command in enumerate(step(item.event))
                    ]
                except Exception as error:  # a bug in one step must not stop the other events
                    log.exception("saga_step_failed", **_story(item.envelope))
                    refusals[item.envelope.message_id] = Refusal(f"step_raised_{type(error).__name__}")
                    stopped.add(item.envelope.key)
                else:
                    caused += commands
                    causes += [item.envelope.message_id] * len(commands)
        self._pass_for(CrashPoint.STEP_BEFORE_COMMANDS, received)
        replies = await self._sender.send(caused)
        for cause, reply in zip(causes, replies, strict=True):
            if reply.verdict is Verdict.LOCKED:
                refusals[cause] = Refusal(reply.reason, Receipt.LATER)
        self._pass_for(CrashPoint.STEP_AFTER_COMMANDS, received)
        return refusals

    def _pass_for(self, point: CrashPoint, received: Sequence[Received]) -> None:
        for name in {item.envelope.name for item in received if type(item.event) in self._context.steps}:
            self._pass(point, name)

    def _addressed(self, cause: Envelope, command: Command, index: int) -> Envelope:
        return Envelope(
            message_id=derived_id(cause.message_id, self._context.name, index),
            name=command.TYPE.name,
            version=command.TYPE.version,
            key=command.key,
            data=encode_data(command),
            correlation_id=cause.correlation_id,
            causation_id=cause.message_id,
            occurred_at=cause.occurred_at,
        )


class Projecting:
    """Turns events into the read models; an event that cannot be stored is found by taking each alone."""

    def __init__(self, context: BoundedContext, projection: Projection) -> None:
        self._reads = frozenset(context.reads)
        self._projection = projection

    async def take(self, received: Sequence[Received]) -> Refusals:
        mine = [item for item in received if type(item.event) in self._reads]
        try:
            await self._projection.apply(mine)
        except ConstraintError as error:
            if len(mine) == 1:
                return {mine[0].envelope.message_id: Refusal(f"store_refused_{error.constraint}")}
            return await _one_by_one(self.take, mine)
        return {}


class ContextActor:
    """Takes events for one context; safe to call for several batches at once."""

    def __init__(self, context: BoundedContext, registry: MessageRegistry, parts: Sequence[EventHandler]) -> None:
        self._name = context.name
        self._registry = registry
        self._parts = parts

    async def take_events(self, payload: bytes) -> bytes:
        """Do the context's part of packed envelopes; gives packed deliveries.

        The receipts say which may pass as it is, and which will not. If one event of a key cannot be taken, the later
        ones of that key in the batch count as not taken either, so that they are handed over again behind it.
        Raises StorageUnavailableError: hand the batch over again.
        """
        envelopes = unpack_envelopes(payload)
        received, refusals = self._decode(envelopes)
        for refused in await asyncio.gather(*(_guarded(part, received) for part in self._parts)):
            refusals |= refused
        return pack(_deliveries(envelopes, refusals))

    def _decode(self, envelopes: Sequence[Envelope]) -> tuple[list[Received], dict[str, Refusal]]:
        """What can be read, and no later event of a key of which one cannot; and why not."""
        received: list[Received] = []
        refusals: dict[str, Refusal] = {}
        stopped: set[str] = set()
        for envelope in envelopes:
            if envelope.key in stopped:
                continue
            try:
                message = decode_data(self._registry, envelope)
                if not isinstance(message, Event):
                    raise TypeError(f"{envelope.name} is no event")
                received.append(Received(envelope, message))
            except Exception as error:  # noqa: BLE001 - whatever the bytes hold, it concerns this event alone
                log.error("event_not_understood", context=self._name, error=str(error), **_story(envelope))
                refusals[envelope.message_id] = Refusal(f"not_understood: {error}")
                stopped.add(envelope.key)
        return received, refusals


async def _guarded(part: EventHandler, received: Sequence[Received]) -> Refusals:
    """What *part* says; if it raises something unforeseen, the events that it raises for are found and refused."""
    try:
        return await part.take(received)
    except (StorageUnavailableError, ActorUnavailableError):
        raise
    except Exception as error:
        if len(received) == 1:
            log.exception("event_not_taken", **_story(received[0].envelope))
            return {received[0].envelope.message_id: Refusal(f"raised_{type(error).__name__}", Receipt.RETRY)}
    return await _one_by_one(partial(_guarded, part), received)


async def _one_by_one(
    take: Callable[[Sequence[Received]], Awaitable[Refusals]], received: Sequence[Received]
) -> Refusals:
    """Have each taken alone, in order; once one of a key is refused, none of that key's later ones."""
    refusals: dict[str, Refusal] = {}
    stopped: set[str] = set()
    for item in received:
        if item.envelope.key not in stopped:
            refused = await take([item])
            refusals |= refused
            stopped |= {item.envelope.key} if refused else set()
    return refusals


def _story(envelope: Envelope) -> dict[str, str]:
    """What a log line says of an event."""
    return {
        "message": envelope.name,
        "message_id": envelope.message_id,
        "correlation_id": envelope.correlation_id,
    }


def _deliveries(envelopes: Sequence[Envelope], refusals: Refusals) -> list[Delivery]:
    deliveries: list[Delivery] = []
    stopped: set[str] = set()
    for envelope in envelopes:
        if refusal := refusals.get(envelope.message_id):
            receipt = Receipt.RETRY if envelope.key in stopped else refusal.receipt
            stopped.add(envelope.key)
            deliveries.append(Delivery(envelope.message_id, receipt, refusal.reason))
        elif envelope.key in stopped:
            deliveries.append(Delivery(envelope.message_id, Receipt.RETRY, "an earlier event of its key waits"))
        else:
            deliveries.append(Delivery(envelope.message_id, Receipt.TAKEN))
    return deliveries


class Doorway:
    """Lets batches in together, or one alone: what may be deadly must not be mixed up with what others hand over."""

    def __init__(self) -> None:
        self._inside = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._kept_for, self._kept_until = "", 0.0

    async def keep(self, token: str) -> bool:
        """Let nobody else in until who shows *token* has been inside, or does not come for CONTEXT_KEPT_SECONDS.

        Waits for those inside for as long; whether they have gone. False, too, if it is kept for another.
        """
        loop = asyncio.get_running_loop()
        if self._kept_for and loop.time() < self._kept_until:
            return False
        self._kept_for, self._kept_until = token, loop.time() + tuning.CONTEXT_KEPT_SECONDS
        try:
            async with asyncio.timeout(tuning.CONTEXT_KEPT_SECONDS):
                await self._is_empty.wait()
        except TimeoutError:
            return False
        self._kept_until = loop.time() + tuning.CONTEXT_KEPT_SECONDS
        return True

    @contextmanager
    def passing(self, token: str = "") -> Iterator[None]:
        """Be inside for as long as the block lasts; with a *token* alone, if it is kept for this one.

        Raises ActorUnavailableError at once, for nobody waits in it: who waits when the process ends would count as in
        its hand.
        """
        if token != self._kept_for:
            if token or asyncio.get_running_loop().time() < self._kept_until:
                raise ActorUnavailableError("ContextActor", "has to be alone with something else")
            self._kept_for = ""  # it did not come
        if token:
            self._kept_until = math.inf
        self._inside += 1
        self._is_empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._is_empty.set()
            if token:
                self._kept_for, self._kept_until = "", 0.0


class ContextService:
    """A ContextActor with what goes on behind it: its lanes to the aggregates, its work outside."""

    def __init__(self, actor: ContextActor, dispatcher: Dispatcher, loops: Sequence[Loop] = ()) -> None:
        self._actor = actor
        self._doorway = Doorway()
        self._dispatcher = dispatcher
        self._loops = loops

    async def start(self) -> None:
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        """Let the rounds in hand end; whoever waits for commands that cannot be committed now asks again elsewhere."""
        for loop in self._loops:
            await loop.stop()
        await self._dispatcher.close()

    def problems(self) -> list[str]:
        return [loop.problem for loop in self._loops if loop.problem]

    async def keep(self, token: str) -> bool:
        """Whether nothing is in hand, and nothing will be until who shows *token* comes or is late."""
        return await self._doorway.keep(token)

    async def take_events(self, payload: bytes, token: str = "") -> bytes:
        """As the actor does; with a *token* alone. Raises ActorUnavailableError, too, while it is kept for another."""
        with self._doorway.passing(token):
            return await self._actor.take_events(payload)
