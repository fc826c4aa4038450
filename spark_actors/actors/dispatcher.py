"""Sends commands to the actors that host their instances, in order and in batches that grow with the load.

Per host and context one batch is in flight; what comes meanwhile makes up the next one. So nothing waits for a
batch to fill at rest, and the commands that one sender sends to one instance arrive in order. A batch whose fate is
unknown (the host died, the store is away) is sent again, with the same ids, until it is answered. One under which the
host dies again and again is cut in halves, until the command that kills it is alone; that one is buried unread.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from domain.shared.errors import StorageUnavailableError
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import Hosts
from spark_actors.messaging.deaths import DEADLY_DEATHS
from spark_actors.messaging.envelope import Envelope, Reply, pack, unpack_replies
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.telemetry import DeliveryRetried

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0


class _DeadlyBatch(Exception):
    """The host has died again and again under this batch."""


_AskHost: TypeAlias = Callable[[Slot, str, bytes], Awaitable[bytes]]


@dataclass
class _Parcel:
    """Commands of one `send` for one lane."""

    commands: list[Envelope]
    places: list[int]
    """Where each stands in what was sent."""
    replies: asyncio.Future[list[Reply]]


@dataclass
class _Lane:
    """The way to one host for one context."""

    slot: Slot
    context: str
    parcels: deque[_Parcel] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None


class Dispatcher:
    """One sender's lanes to all hosts."""

    def __init__(self, placement: Placement, hosts: Hosts, *, max_commands: int, telemetry: Telemetry) -> None:
        self._placement = placement
        self._hosts = hosts
        self._max_commands = max_commands
        self._telemetry = telemetry
        self._lanes: dict[tuple[Slot, str], _Lane] = {}

    def post(self, commands: Sequence[Envelope]) -> asyncio.Future[list[Reply]]:
        """Queue *commands*, in order, at once; the future gives a reply for each, in the same order, when committed."""
        parcels = self._parcels(commands)
        for lane, parcel in parcels:
            lane.parcels.append(parcel)
            if lane.worker is None or lane.worker.done():
                lane.worker = asyncio.create_task(self._work(lane), name=f"lane {lane.slot.name} {lane.context}")
        return asyncio.ensure_future(_gathered(len(commands), [parcel for _, parcel in parcels]))

    async def send(self, commands: Sequence[Envelope]) -> list[Reply]:
        """Post *commands* and wait until they are committed."""
        return await self.post(commands) if commands else []

    async def close(self) -> None:
        """Give up what is under way; whoever waits for it is cancelled. Closing twice is harmless."""
        workers = [lane.worker for lane in self._lanes.values() if lane.worker]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _parcels(self, commands: Sequence[Envelope]) -> list[tuple[_Lane, _Parcel]]:
        by_lane: dict[tuple[Slot, str], list[int]] = {}
        for place, command in enumerate(commands):
            context = command.context
            by_lane.setdefault((self._placement.slot_of(context, command.key), context), []).append(place)
        loop = asyncio.get_running_loop()
        return [
            (self._lane(slot, context), _Parcel([commands[place] for place in part], part, loop.create_future()))
            for (slot, context), places in by_lane.items()
            for part in _split(places, self._max_commands)
        ]

    def _lane(self, slot: Slot, context: str) -> _Lane:
        return self._lanes.setdefault((slot, context), _Lane(slot, context))

    async def _work(self, lane: _Lane) -> None:
        while lane.parcels:
            parcels = self._next_batch(lane)
            try:
                replies = await self._deliver(lane, [command for parcel in parcels for command in parcel.commands])
            except asyncio.CancelledError:
                for parcel in [*parcels, *lane.parcels]:
                    parcel.replies.cancel()
                raise
            except Exception as error:  # a bug at the host: whoever sent these hears of it, the lane goes on
                log.exception("turn_failed", slot=lane.slot.name, context=lane.context)
                _fail(parcels, error)
            else:
                _answer(parcels, replies)

    def _next_batch(self, lane: _Lane) -> list[_Parcel]:
        batch = [lane.parcels.popleft()]
        size = len(batch[0].commands)
        while lane.parcels and size + len(lane.parcels[0].commands) <= self._max_commands:
            batch.append(lane.parcels.popleft())
            size += len(batch[-1].commands)
        return batch

    async def _deliver(self, lane: _Lane, commands: list[Envelope]) -> list[Reply]:
        """The replies to all of these, in order; what comes behind them in the lane waits meanwhile."""
        try:
            return await self._ask(lane, commands, self._hosts.take_turn, DEADLY_DEATHS)
        except _DeadlyBatch:
            log.warning("host_dies", slot=lane.slot.name, context=lane.context, commands=len(commands))
        if len(commands) == 1:
            return await self._ask(lane, commands, self._hosts.bury)
        middle = len(commands) // 2
        first = await self._deliver(lane, commands[:middle])
        return [*first, *await self._deliver(lane, commands[middle:])]

    async def _ask(
        self, lane: _Lane, commands: list[Envelope], ask: _AskHost, most_deaths: float = math.inf
    ) -> list[Reply]:
        """Until there is an answer, or _DeadlyBatch once the host has died under it so often."""
        payload, deaths = pack(commands), 0

        async def once() -> bytes:
            nonlocal deaths
            try:
                return await ask(lane.slot, lane.context, payload)
            except ActorUnavailableError as error:
                deaths += error.has_died
                if deaths >= most_deaths:
                    raise _DeadlyBatch from error
                raise

        def tell(state: RetryCallState) -> None:
            self._telemetry(DeliveryRetried(lane.context, "host"))
            if state.attempt_number == 1:
                error = state.outcome.exception() if state.outcome else None
                log.warning("host_retry", slot=lane.slot.name, context=lane.context, error=str(error))

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((ActorUnavailableError, StorageUnavailableError)),
            wait=wait_exponential_jitter(
                multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS, jitter=FIRST_WAIT_SECONDS
            ),
            before_sleep=tell,
        )
        return unpack_replies(await retrying(once))


async def _gathered(count: int, parcels: Sequence[_Parcel]) -> list[Reply]:
    """The replies to *count* commands, in their order."""
    replies: dict[int, Reply] = {}
    for parcel in parcels:
        replies.update(zip(parcel.places, await parcel.replies, strict=True))
    return [replies[place] for place in range(count)]


def _split(places: list[int], size: int) -> list[list[int]]:
    return [places[start : start + size] for start in range(0, len(places), size)]


def _answer(parcels: Sequence[_Parcel], replies: list[Reply]) -> None:
    start = 0
    for parcel in parcels:
        end = start + len(parcel.commands)
        if not parcel.replies.done():
            parcel.replies.set_result(replies[start:end])
        start = end


def _fail(parcels: Sequence[_Parcel], error: Exception) -> None:
    for parcel in parcels:
        if not parcel.replies.done():
            parcel.replies.set_exception(error)
