"""Sends commands to the actors that host their instances, in order and in batches that grow with the load.

Per host and context one batch is in flight; what comes meanwhile makes up the next one. So nothing waits for a
batch to fill at rest, and the commands that one sender sends to one instance arrive in order. A batch whose fate is
unknown (the host died, the store is away, a time-out) is retried with back-off, with the same ids, until it is
answered: at least once, and the host's inbox makes that idempotent. One under which the
host dies again and again is cut in halves, until the command that kills it is alone; that one is buried unread.

A command that the host could not do because somebody else holds a lock on its instance stays here, as the first of its
key, and is sent again until it is done. What comes for that key meanwhile queues behind it; all other keys go on.

The placement may change meanwhile. A key that moves to another slot while its lane has commands of it in hand is held
back until these are answered; then what waits of it goes to its new slot, in order. So no other key waits, and what a
lane has queued waits for no answer at all. What is in hand goes on, too, as the first of its key, when it is sure that
it was not done (a host that knows a newer placement says MOVED) or unknown what became of it (the slot may be gone).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
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


class _KeysLeave(Exception):
    """Nothing of the batch is under way just now, and some of its keys belong to another slot."""


_AskHost: TypeAlias = Callable[[Slot, str, bytes, int], Awaitable[bytes]]


@dataclass
class _Post:
    """Commands that somebody has posted together."""

    count: int
    answered: asyncio.Future[list[Answered]]
    answers: dict[int, Answered] = field(default_factory=dict)
    """By the place of the command."""

    def answer(self, place: int, answer: Answered) -> None:
        self.answers[place] = answer
        if len(self.answers) == self.count and not self.answered.done():
            self.answered.set_result([self.answers[place] for place in range(self.count)])

    def fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


@dataclass
class _Parcel:
    """Those of the commands of a post that go one way together."""

    commands: list[Envelope]
    places: list[int]
    """Where each stands in the post."""
    post: _Post

    def parted(self, keys: set[str]) -> list[_Parcel]:
        """Each command in a parcel of its own if any is of these keys, else the parcel as it is."""
        if keys.isdisjoint(command.key for command in self.commands):
            return [self]
        pairs = zip(self.commands, self.places, strict=True)
        return [_Parcel([command], [place], self.post) for command, place in pairs]


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
    again: list[Envelope] = field(default_factory=list)
    """Of what is in hand the commands of locked keys that are tried again."""
    batch: list[_Parcel] = field(default_factory=list)
    """Of what is in hand the rest."""
    leaving: set[str] = field(default_factory=set)
    """Keys that belong to another slot now, of which commands are in hand."""

    @property
    def in_hand(self) -> set[str]:
        """The keys of what is sent, or is to go behind what is sent."""
        batch = [command.key for parcel in self.batch for command in parcel.commands]
        return {*batch, *(command.key for command in self.again)}

    @property
    def keys(self) -> set[str]:
        """Those that the lane has commands of."""
        queued = [command.key for parcel in self.parcels for command in parcel.commands]
        return {*queued, *self.locked, *self.in_hand}

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
        if isinstance(answer, Reply) and answer.verdict in (Verdict.LOCKED, Verdict.MOVED):
            if answer.verdict is Verdict.LOCKED and command == next(iter(key.commands)):  # once for all of them
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


@dataclass
class _MovingKey:
    """What waits of a key that is on its way from one slot to another, in order."""

    lane: _Lane | None = None
    """The one that has commands of it in hand: nothing goes before these are answered."""
    sent_by: int = -1
    """The version of the placement by which its slot was asked, and knew better: the next goes by a newer one."""
    locked: _LockedKey | None = None
    """These come first."""
    parcels: deque[_Parcel] = field(default_factory=deque)
    """Of one command each."""


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
        self._placement, self._version = placement, 0
        self._slots = frozenset(placement.slots)
        self._hosts = hosts
        self._max_commands = max_commands
        self._telemetry = telemetry
        self._draw = draw
        self._lanes: dict[tuple[Slot, str], _Lane] = {}
        self._moving: dict[tuple[str, str], _MovingKey] = {}
        """By context and key; empty but for a moment after a change."""

    def place(self, placement: Placement, version: int) -> None:
        """Send by *placement* from now on; one that is no newer than what is known (at first 0) changes nothing.

        What is posted for one instance stays in order, whatever becomes of its slot. To be called on the event loop.
        """
        if version <= self._version:
            return
        self._version = version
        if placement != self._placement:
            self._placement, self._slots = placement, frozenset(placement.slots)
            for lane in list(self._lanes.values()):
                slot_of, context = placement.slot_of, lane.context
                self._hold_back(lane, {key for key in lane.keys if slot_of(context, key) != lane.slot})
                self._set_to_work(lane)  # it sets its alarm anew, or ends
        for context, key in list(self._moving):
            self._go_on(context, key)

    def post(self, commands: Sequence[Envelope]) -> asyncio.Future[list[Answered]]:
        """Queue *commands*, in order, at once; the future gives an answer for each, in the same order.

        It gives the replies when all are committed but those whose key is locked: of these, a future each.
        """
        post = _Post(len(commands), asyncio.get_running_loop().create_future())
        if not commands:
            post.answered.set_result([])
        by_lane: dict[tuple[Slot, str], list[int]] = {}
        for place, command in enumerate(commands):
            context = command.context
            if self._moving and (moving := self._moving.get((context, command.key))):
                moving.parcels.append(_Parcel([command], [place], post))
            else:
                by_lane.setdefault((self._placement.slot_of(context, command.key), context), []).append(place)
        for (slot, context), places in by_lane.items():
            lane = self._lane(slot, context)
            for start in range(0, len(places), self._max_commands):  # no parcel is more than a batch may hold
                part = places[start : start + self._max_commands]
                lane.parcels.append(_Parcel([commands[place] for place in part], part, post))
            self._set_to_work(lane)
        return post.answered

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
        lanes, moving = list(self._lanes.values()), list(self._moving.values())
        self._lanes.clear()
        self._moving.clear()
        for lane in lanes:
            if lane.alarm:
                lane.alarm.cancel()
            _cancel([*lane.batch, *lane.parcels], lane.locked.values())
        for held in moving:
            _cancel(held.parcels, [held.locked] if held.locked else [])
        workers = [lane.worker for lane in lanes if lane.worker]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _lane(self, slot: Slot, context: str) -> _Lane:
        return self._lanes.setdefault((slot, context), _Lane(slot, context))

    def _set_to_work(self, lane: _Lane) -> None:
        if lane.worker is None or lane.worker.done():
            lane.worker = asyncio.create_task(self._work(lane), name=f"lane {lane.slot.name} {lane.context}")

    async def _work(self, lane: _Lane) -> None:
        while lane.parcels or lane.due(1):
            lane.again = lane.due(self._max_commands)
            lane.batch = self._next_batch(lane) if lane.parcels else []
            fresh = [command for parcel in lane.batch for command in parcel.commands if command.key not in lane.locked]
            try:
                replies = await self._deliver(lane, [*lane.again, *fresh]) if lane.again or fresh else []
            except _KeysLeave:
                self._take_back(lane)
            except Exception as error:  # a bug at the host: whoever sent these hears of it, the lane goes on
                log.exception("turn_failed", slot=lane.slot.name, context=lane.context)
                _fail(lane, error)
            else:
                self._answer(lane, replies)
            lane.again, lane.batch = [], []
            if lane.leaving:
                self._let_go(lane)
        if lane.alarm:
            lane.alarm.cancel()
        if lane.locked:
            due = min(key.due for key in lane.locked.values())
            lane.alarm = asyncio.get_running_loop().call_at(due, self._set_to_work, lane)
        elif lane.slot not in self._slots:
            self._lanes.pop((lane.slot, lane.context), None)

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
        """Retry until there is an answer, _KeysLeave, or _DeadlyBatch once the host has died under it so often."""
        payload, attempts, deaths = pack(commands), 0, 0
        while True:
            if lane.leaving:
                raise _KeysLeave
            version = self._version
            try:
                replies = unpack_replies(await ask(lane.slot, lane.context, payload, version))
            except (ActorUnavailableError, StorageUnavailableError) as error:
                attempts += 1
                deaths += isinstance(error, ActorUnavailableError) and error.has_died
                if deaths >= most_deaths:
                    raise _DeadlyBatch from error
                self._telemetry(DeliveryRetried(lane.context, "host"))
                if attempts == 1:
                    log.warning("host_retry", slot=lane.slot.name, context=lane.context, error=str(error))
            else:
                self._look_for_moved(lane, commands, replies, version)
                return replies
            await asyncio.sleep(tuning.HOST_BACK_OFF.seconds_after(attempts, self._draw()))

    # --- keys that move to another slot ---

    def _look_for_moved(self, lane: _Lane, sent: Sequence[Envelope], replies: Sequence[Reply], version: int) -> None:
        """The host knows a newer placement than *version*, by which it was asked: what it says of some keys."""
        answered = zip(sent, replies, strict=True)
        if moved := {command.key for command, reply in answered if reply.verdict is Verdict.MOVED}:
            self._hold_back(lane, moved)
            for key in moved:
                self._moving[lane.context, key].sent_by = version

    def _hold_back(self, lane: _Lane, keys: set[str]) -> None:
        """These keys leave the lane: what it has queued of them, and what comes, waits until they can go on."""
        if not keys:
            return
        in_hand = lane.in_hand
        for key in keys:
            moving = self._moving.setdefault((lane.context, key), _MovingKey())
            if key in in_hand:
                moving.lane = lane
                lane.leaving.add(key)
            else:
                moving.locked = lane.locked.pop(key, None)
        queued, lane.parcels = lane.parcels, deque()
        for parcel in queued:
            for piece in parcel.parted(keys):
                self._queue(lane, piece).append(piece)

    def _take_back(self, lane: _Lane) -> None:
        """What is in hand is queued again, as the first of the lane or of a key that leaves it.

        Some of it may be done, even answered: the host's inbox makes that idempotent.
        """
        for parcel in reversed(lane.batch):
            for piece in reversed(parcel.parted(lane.leaving)):
                self._queue(lane, piece).appendleft(piece)

    def _queue(self, lane: _Lane, parcel: _Parcel) -> deque[_Parcel]:
        """Where a parcel waits that is of the lane, or of one key that leaves it."""
        moving = self._moving.get((lane.context, parcel.commands[0].key))
        return moving.parcels if moving else lane.parcels

    def _let_go(self, lane: _Lane) -> None:
        """What was in hand of the keys that leave is answered, or waits as the first of them."""
        leaving, lane.leaving = lane.leaving, set()
        for key in leaving:
            moving = self._moving[lane.context, key]
            moving.lane, moving.locked = None, lane.locked.pop(key, None)
            self._go_on(lane.context, key)

    def _go_on(self, context: str, key: str) -> None:
        """What waits of a moving key goes to the slot that it belongs to now, unless it must wait on."""
        moving = self._moving[context, key]
        if moving.lane or moving.sent_by >= self._version:
            return
        del self._moving[context, key]
        lane = self._lane(self._placement.slot_of(context, key), context)
        if moving.locked:
            lane.locked[key] = moving.locked
        lane.parcels.extend(moving.parcels)
        self._set_to_work(lane)

    def _answer(self, lane: _Lane, replies: Sequence[Reply]) -> None:
        """Tell the replies to what was in hand."""
        were_locked = frozenset(lane.locked)
        coming = iter(replies)
        back: list[_Parcel] = []
        for command in lane.again:
            lane.settle(command, next(coming))
        for parcel in lane.batch:
            for command, place in zip(parcel.commands, parcel.places, strict=True):
                if command.key in were_locked:
                    parcel.post.answer(place, lane.hold(command))
                elif (reply := next(coming)).verdict is Verdict.LOCKED:
                    parcel.post.answer(place, lane.hold(command))
                    lane.settle(command, reply)
                elif reply.verdict is Verdict.MOVED:
                    back.append(_Parcel([command], [place], parcel.post))
                else:
                    parcel.post.answer(place, reply)
        for piece in reversed(back):
            self._queue(lane, piece).appendleft(piece)


def _fail(lane: _Lane, error: Exception) -> None:
    for command in lane.again:
        lane.settle(command, error)
    for parcel in lane.batch:
        parcel.post.fail(error)


def _cancel(parcels: Iterable[_Parcel], locked: Iterable[_LockedKey]) -> None:
    for parcel in parcels:
        parcel.post.answered.cancel()
    for key in locked:
        for future in key.commands.values():
            future.cancel()


def _looked_at(future: asyncio.Future[Reply]) -> None:
    """Nobody need wait for a command of a locked key: an error that nobody reads is no news."""
    if not future.cancelled():
        future.exception()
