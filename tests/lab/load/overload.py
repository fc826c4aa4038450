"""More commands than can be handled: offers them at a fixed rate, and tells how the broker and the ingress bear it."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import PubAck

from spark_actors.ingress.nats_broker import STREAM, translated
from spark_actors.messaging import cloudevents
from tests.lab.load.producer import CONFIRM_SECONDS, GROUP, LATE_SECONDS, LoadError, Message, consumer_of

TICK_SECONDS = 0.1
"""So often messages are offered; the last of each tick is a probe whose way is followed."""
TICKS_UNCONFIRMED = 8
LOOK_SECONDS = 0.05
YIELD_EVERY = 50
STALL_SECONDS = 60.0


@dataclass(frozen=True)
class Look:
    """How far the ingress was; moments are of `time.perf_counter`."""

    at: float
    handed_over: int
    """The highest sequence number that the broker had delivered."""
    backlog: int
    """Commands not acknowledged yet."""


@dataclass(frozen=True)
class Overload:
    """How it went."""

    began: float
    offered: int
    """Commands, all of them confirmed by the broker."""
    offered_seconds: float
    looks: Sequence[Look]
    """From the beginning until all were acknowledged."""
    waits: Sequence[float]
    """Seconds from the broker's hand-over to the reply, at most: of each probe."""

    @property
    def caught_up_seconds(self) -> float:
        """From the last command offered until all were acknowledged."""
        return self.looks[-1].at - self.began - self.offered_seconds


async def flood(
    url: str, token: str, identity: str, make: Callable[[int], Sequence[Message]], rate: float, seconds: float
) -> Overload:
    """Offer what *make* makes (it is told how many) at *rate* a second, then wait until all is acknowledged.

    Raises BrokerUnavailableError, and LoadError when messages were lost or nothing moves any more.
    """
    with translated():
        async with await nats.connect(url, token=token or None, name="spark overload", allow_reconnect=False) as client:
            return await _Flood(client, identity).run(make, rate, seconds)


class _Flood:
    """One run over one connection."""

    def __init__(self, connection: Client, identity: str) -> None:
        self._connection = connection
        self._identity = cloudevents.authorization(identity)
        self._stream = connection.jetstream(timeout=CONFIRM_SECONDS)
        self._inbox = connection.new_inbox()
        self._is_over = False
        self._looks: list[Look] = []
        self._replied_at: dict[int, float] = {}
        self._probes: dict[int, int] = {}
        """The sequence number of each probe, by its tick."""

    async def run(self, make: Callable[[int], Sequence[Message]], rate: float, seconds: float) -> Overload:
        await self._connection.subscribe(f"{self._inbox}.*", cb=self._on_reply)
        began = time.perf_counter()
        watching = asyncio.create_task(self._watch())
        try:
            offered = await self._offer(make, rate, seconds, began)
            offered_seconds = time.perf_counter() - began
            await self._wait_until_done()
        finally:
            self._is_over = True  # not by cancelling: a request to the server may swallow that
            await watching
        return Overload(began, offered, offered_seconds, tuple(self._looks), self._waits())

    async def _offer(self, make: Callable[[int], Sequence[Message]], rate: float, seconds: float, began: float) -> int:
        before = (await self._connection.jsm().stream_info(STREAM)).state.last_seq
        offered, unconfirmed = 0, deque[tuple[int, int, asyncio.Future[PubAck]]]()
        for tick in range(max(1, round(seconds / TICK_SECONDS))):
            await asyncio.sleep(max(0.0, began + tick * TICK_SECONDS - time.perf_counter()))
            messages = make(max(1, round(rate * TICK_SECONDS)))
            confirmation = await self._publish(tick, messages)
            offered += len(messages)
            unconfirmed.append((tick, before + offered, confirmation))
            if len(unconfirmed) == TICKS_UNCONFIRMED:
                await self._confirm(*unconfirmed.popleft())
        for each in unconfirmed:
            await self._confirm(*each)
        return offered

    async def _publish(self, tick: int, messages: Sequence[Message]) -> asyncio.Future[PubAck]:
        for number, (subject, body) in enumerate(messages[:-1]):
            await self._connection.publish(subject, body, headers=self._identity or None)
            if number % YIELD_EVERY == 0:  # replies are to be read even when it is late
                await asyncio.sleep(0)
        subject, body = messages[-1]
        headers = {**self._identity, cloudevents.REPLY_TO_HEADER: f"{self._inbox}.{tick}"}
        return await self._stream.publish_async(subject, body, headers=headers)

    async def _confirm(self, tick: int, expected: int, confirmation: asyncio.Future[PubAck]) -> None:
        async with asyncio.timeout(CONFIRM_SECONDS):
            stored = (await confirmation).seq
        if stored != expected:
            raise LoadError(f"the broker stored message {stored} where {expected} was expected: messages were lost")
        self._probes[tick] = stored

    async def _on_reply(self, message: Msg) -> None:
        self._replied_at.setdefault(int(message.subject.rpartition(".")[2]), time.perf_counter())

    async def _watch(self) -> None:
        manager = self._connection.jsm()
        while not self._is_over:
            info = await consumer_of(manager, GROUP)
            handed_over = info.delivered.stream_seq if info.delivered else 0
            backlog = (info.num_pending or 0) + (info.num_ack_pending or 0)
            self._looks.append(Look(time.perf_counter(), handed_over, backlog))
            await asyncio.sleep(LOOK_SECONDS)

    async def _wait_until_done(self) -> None:
        """Until the stream is empty and every probe is answered."""
        manager, moved, least = self._connection.jsm(), time.perf_counter(), -1
        while left := (await manager.stream_info(STREAM)).state.messages:
            if left != least:
                moved, least = time.perf_counter(), left
            if time.perf_counter() - moved > STALL_SECONDS:
                raise LoadError(f"{left} commands wait and nothing has moved for {STALL_SECONDS:.0f} s")
            await asyncio.sleep(LOOK_SECONDS)
        async with asyncio.timeout(LATE_SECONDS):
            while len(self._replied_at) < len(self._probes):
                await asyncio.sleep(LOOK_SECONDS)

    def _waits(self) -> list[float]:
        """Each from the last look before the hand-over, so that it is rather too long than too short."""
        handed_over = [look.handed_over for look in self._looks]
        waits = []
        for tick, sequence in self._probes.items():
            before = max(0, bisect_left(handed_over, sequence) - 1)
            waits.append(self._replied_at[tick] - self._looks[before].at)
        return waits
