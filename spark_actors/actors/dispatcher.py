"""Sends commands to the actors that host their instances, in order and in batches that grow with the load.

Per host and context one batch is in flight; what comes meanwhile makes up the next one. So nothing waits for a
batch to fill at rest, and the commands that one sender sends to one instance arrive in order. A batch whose fate is
unknown (the host died, the store is away, a time-out) is retried with back-off, with the same ids, until it is
answered: at least once, and the host's inbox makes that idempotent. One under which the
host dies again and again is cut in halves, until the command that kills it is alone; that one is buried unread.

A command that the host could not do because somebody else holds a lock on its instance stays here, as the first of its
key, and is sent again until it is done. What comes for that key meanwhile queues behind it; all other keys go on.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import Hosts
from spark_actors.actors.turn import LOCKED
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.envelope import Envelope, Reply, pack, unpack_replies
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.telemetry import DeliveryRetried
from spark_actors.messaging.tuning import DEADLY_DEATHS

log = structlog.get_logger(__name__)

Answered: TypeAlias = Reply | asyncio.Future[Reply]
"""A reply; or, of a command whose key is locked, what gives it once the command is done."""


class _DeadlyBatch(Exception):
    """The host has died again and again under this batch."""


_AskHost: TypeAlias = Callable[[Slot, str, bytes], Awaitable[bytes]]


@dataclass
class _Parcel:
    """Commands of one `send` for one lane."""

    commands: list[Envelope]
    places: list[int]
    """Where each stands in what was sent."""
    replies: asyncio.Future[list[Answered]]


@dataclass
class _LockedKey:
    """What waits until somebody else lets go of an instance, in order."""

    due: float
    """When it is sent again, by the loop's clock."""
    tries: int = 0
    commands: dict[Envelope, asyncio.Future[Reply]] = field(default_factory=dict)

    def put_off(self) -> None:
        """It was tried, and is locked."""
        self.tries += 1
        self.due = asyncio.get_running_loop().time() + tuning.LOCKED_BACK_OFF.seconds_after(self.tries)


@dataclass
class _Lane:
    """The way to one host for one context."""

    slot: Slot
    context: str
    parcels: deque[_Parcel] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None
    locked: dict[str, _LockedKey] = field(default_factory=dict)
    alarm: asyncio.TimerHandle | None = None
    """Set while nothing is to be done but to try locked keys again."""

    def due(self, limit: int) -> list[Envelope]:
        """The first commands of locked keys that are to be tried again now."""
        now = asyncio.get_running_loop().time()
        return [command for key in self.locked.values() if key.due <= now for command in key.commands][:limit]

    def hold(self, command: Envelope) -> asyncio.Future[Reply]:
        """Let a command wait behind those of its locked key; one that waits already is found again."""
        loop = asyncio.get_running_loop()
        waiting = self.locked.setdefault(command.key, _LockedKey(loop.time())).commands
        if command not in waiting:
            waiting[command] = loop.create_future()
            waiting[command].add_done_callback(_looked_at)
        return waiting[command]

    def settle(self, command: Envelope, answer: Reply | Exception) -> None:
        """A locked key's command was tried again: it is through, or its key waits on."""
        key = self.locked[command.key]
        if isinstance(answer, Reply) and answer.verdict is Verdict.LOCKED:
            if command == next(iter(key.commands)):  # once for all of them
                if key.tries == 0:
                    log.warning("key_locked", context=self.context, key=command.key, message_id=command.message_id)
                key.put_off()
            return
        future = key.commands.pop(command)
        if not key.commands:
            del self.locked[command.key]
        if future.done():
            return
        if isinstance(answer, Reply):
            future.set_result(answer)
        else:
            future.set_exception(answer)


class Dispatcher:
    """One sender's lanes to all hosts."""

    def __init__(
        self,
        placement: Placement,
        hosts: Hosts,
        *,
        max_commands: int,
        telemetry: Telemetry,
        draw: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """*max_commands*: of one batch. *draw* gives a random number from 0 to 1, for the jitter of the back-off."""
        self._placement = placement
        self._hosts = hosts
        self._max_commands = max_commands
        self._telemetry = telemetry
        self._draw = draw
        self._lanes: dict[tuple[Slot, str], _Lane] = {}

    def post(self, commands: Sequence[Envelope]) -> asyncio.Future[list[Answered]]:
        """Queue *commands*, in order, at once; the future gives an answer for each, in the same order.

        It gives the replies when all are committed but those whose key is locked: of these, a future each.
        """
        parcels = self._parcels(commands)
        for lane, parcel in parcels:
            lane.parcels.append(parcel)
            self._set_to_work(lane)
        return asyncio.ensure_future(_gathered(len(commands), [parcel for _, parcel in parcels]))

    async def send(self, commands: Sequence[Envelope]) -> list[Reply]:
        """Post *commands* and wait until they are committed.

        One whose key is locked is answered LOCKED. It will be done when it can be: send it again later to hear of it.
        """
        answers = await self.post(commands) if commands else []
        return [
            answer if isinstance(answer, Reply) else Reply.of(command.message_id, LOCKED)
            for command, answer in zip(commands, answers, strict=True)
        ]

    async def close(self) -> None:
        """Give up what is under way; whoever waits for it is cancelled. Closing twice is harmless."""
        for lane in self._lanes.values():
            if lane.alarm:
                lane.alarm.cancel()
            for key in lane.locked.values():
                for future in key.commands.values():
                    future.cancel()
        workers = [lane.worker for lane in self._lanes.values() if lane.worker]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _parcels(self, commands: Sequence[Envelope]) -> list[tuple[_Lane, _Parcel]]:
        """What goes into which lane: cut so that no parcel is more than a batch may hold."""
        by_lane: dict[tuple[Slot, str], list[int]] = {}
        for place, command in enumerate(commands):
            context = command.context
            by_lane.setdefault((self._placement.slot_of(context, command.key), context), []).append(place)
        loop = asyncio.get_running_loop()
        parcels = []
        for (slot, context), places in by_lane.items():
            lane = self._lanes.setdefault((slot, context), _Lane(slot, context))
            for start in range(0, len(places), self._max_commands):
                part = places[start : start + self._max_commands]
                parcels.append((lane, _Parcel([commands[place] for place in part], part, loop.create_future())))
        return parcels

    def _set_to_work(self, lane: _Lane) -> None:
        if lane.worker is None or lane.worker.done():
            lane.worker = asyncio.create_task(self._work(lane), name=f"lane {lane.slot.name} {lane.context}")

    async def _work(self, lane: _Lane) -> None:
        while lane.parcels or lane.due(1):
            again = lane.due(self._max_commands)
            parcels = self._next_batch(lane) if lane.parcels else []
            fresh = [command for parcel in parcels for command in parcel.commands if command.key not in lane.locked]
            try:
                replies = await self._deliver(lane, [*again, *fresh]) if again or fresh else []
            except asyncio.CancelledError:
                for parcel in [*parcels, *lane.parcels]:
                    parcel.replies.cancel()
                raise
            except Exception as error:  # a bug at the host: whoever sent these hears of it, the lane goes on
                log.exception("turn_failed", slot=lane.slot.name, context=lane.context)
                _fail(lane, again, parcels, error)
            else:
                _answer(lane, again, parcels, replies)
        if lane.alarm:
            lane.alarm.cancel()
        if lane.locked:
            due = min(key.due for key in lane.locked.values())
            lane.alarm = asyncio.get_running_loop().call_at(due, self._set_to_work, lane)

    def _next_batch(self, lane: _Lane) -> list[_Parcel]:
        batch = [lane.parcels.popleft()]
        size = len(batch[0].commands)
        while lane.parcels and size + len(lane.parcels[0].commands) <= self._max_commands:
            batch.append(lane.parcels.popleft())
            size += len(batch[-1].commands)
        return batch

    async def _deliver(self, lane: _Lane, commands: list[Envelope]) -> list[Reply]:
        """The replies to all of these, in order; what comes behind them in the lane waits meanwhile.

        A batch under which the host dies again and again is cut in halves, which are delivered one after the other.
        """
        try:
            return await self._ask(lane, commands, self._hosts.take_turn, DEADLY_DEATHS)
        except _DeadlyBatch:
            log.warning("host_dies", slot=lane.slot.name, context=lane.context, commands=len(commands))
        if len(commands) == 1:
            # Others hand commands to the same host: who is in its hand when it dies of another's is not to blame.
            try:
                return await self._ask(lane, commands, self._hosts.take_turn_alone, DEADLY_DEATHS)
            except _DeadlyBatch:
                return await self._ask(lane, commands, self._hosts.bury)
        middle = len(commands) // 2
        first, behind = commands[:middle], commands[middle:]
        replies = await self._deliver(lane, first)
        # Behind one that waits for a lock the later ones of its key are not sent: they wait, too.
        pairs = zip(first, replies, strict=True)
        locked = {command.key for command, reply in pairs if reply.verdict is Verdict.LOCKED}
        sent = [command for command in behind if command.key not in locked]
        coming = iter(await self._deliver(lane, sent) if sent else ())
        for command in behind:
            replies.append(Reply.of(command.message_id, LOCKED) if command.key in locked else next(coming))
        return replies

    async def _ask(
        self, lane: _Lane, commands: list[Envelope], ask: _AskHost, most_deaths: float = math.inf
    ) -> list[Reply]:
        """Retry until there is an answer, or _DeadlyBatch once the host has died under it so often."""
        payload, attempts, deaths = pack(commands), 0, 0
        while True:
            try:
                return unpack_replies(await ask(lane.slot, lane.context, payload))
            except (ActorUnavailableError, StorageUnavailableError) as error:
                attempts += 1
                deaths += isinstance(error, ActorUnavailableError) and error.has_died
                if deaths >= most_deaths:
                    raise _DeadlyBatch from error
                self._telemetry(DeliveryRetried(lane.context, "host"))
                if attempts == 1:
                    log.warning("host_retry", slot=lane.slot.name, context=lane.context, error=str(error))
            await asyncio.sleep(tuning.HOST_BACK_OFF.seconds_after(attempts, self._draw()))


async def _gathered(count: int, parcels: Sequence[_Parcel]) -> list[Answered]:
    """The answers to *count* commands, in their order."""
    answers: dict[int, Answered] = {}
    for parcel in parcels:
        answers.update(zip(parcel.places, await parcel.replies, strict=True))
    return [answers[place] for place in range(count)]


def _answer(lane: _Lane, again: Sequence[Envelope], parcels: Sequence[_Parcel], replies: Sequence[Reply]) -> None:
    """Tell the replies to those of locked keys that were tried *again*, and to what was sent of the parcels."""
    were_locked = frozenset(lane.locked)
    coming = iter(replies)
    for command in again:
        lane.settle(command, next(coming))
    for parcel in parcels:
        answers: list[Answered] = []
        for command in parcel.commands:
            if command.key in were_locked:
                answers.append(lane.hold(command))
            elif (reply := next(coming)).verdict is Verdict.LOCKED:
                answers.append(lane.hold(command))
                lane.settle(command, reply)
            else:
                answers.append(reply)
        if not parcel.replies.done():
            parcel.replies.set_result(answers)


def _fail(lane: _Lane, again: Sequence[Envelope], parcels: Sequence[_Parcel], error: Exception) -> None:
    for command in again:
        lane.settle(command, error)
    for parcel in parcels:
        if not parcel.replies.done():
            parcel.replies.set_exception(error)


def _looked_at(future: asyncio.Future[Reply]) -> None:
    """Nobody need wait for a command of a locked key: an error that nobody reads is no news."""
    if not future.cancelled():
        future.exception()
