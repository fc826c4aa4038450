"""A producer for measuring: it queues prepared commands as fast as the broker stores them and watches them go."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, TypeAlias

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamManager
from nats.js.api import ConsumerInfo, PubAck

from spark_actors.ingress.nats_broker import STREAM, group_of, translated
from spark_actors.kernel.errors import DetailedError
from spark_actors.messaging import cloudevents

Message: TypeAlias = tuple[str, bytes]
"""Subject and body."""
Sample: TypeAlias = tuple[float, int]
"""At a moment (`time.perf_counter`), how many commands were not acknowledged yet."""

GROUP = "ingress-0"
CHUNK = 500
"""Every so many messages the broker is asked to confirm one, and with it all before it."""
CHUNKS_UNCONFIRMED = 8
"""So that less than 10,000 messages are: beyond that the broker drops what it cannot store at once."""
CONFIRM_SECONDS = 30.0
WATCH_SECONDS = 0.02
STALL_SECONDS = 60.0
YIELD_EVERY = 20
LATE_SECONDS = 30.0
LONGEST_PAUSE = timedelta(hours=1)
SHORTEST_PAUSE = timedelta(seconds=0.2)


class LoadError(DetailedError):
    """The load could not be put on the daemon, or the daemon did not take it."""


@dataclass(frozen=True)
class Drained:
    """How a number of queued commands went; moments are of `time.perf_counter`."""

    began: float
    """When the first was published, or when delivery was let go."""
    stored_seconds: float
    """What it took the broker to store all."""
    samples: tuple[Sample, ...]
    """From `began`, when all were to be done, to the last, when none was."""
    producer_cpu_seconds: float

    @property
    def ended(self) -> float:
        """When all were acknowledged."""
        return self.samples[-1][0]


class LoadProducer:
    """One connection to a daemon's broker; made by `connect`, used by one task. Errors: BrokerUnavailableError."""

    def __init__(self, connection: Client, identity: str) -> None:
        self._connection = connection
        self._identity = cloudevents.authorization(identity)

    @classmethod
    async def connect(cls, url: str, token: str, identity: str) -> LoadProducer:
        """*token* is the broker's; *identity* the JWT that says who sends the load."""
        with translated():
            connection = await nats.connect(url, token=token or None, name="spark bench", allow_reconnect=False)
        return cls(connection, identity)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def drain(self, messages: Sequence[Message], *, held_back: bool = False) -> Drained:
        """Publish all and wait until all are acknowledged.

        *held_back*: delivery begins, and time counts, when all are stored. Raises LoadError when messages were lost on
        the way into the broker, or nothing moves for a minute.
        """
        if held_back:
            await self._pause(LONGEST_PAUSE)
        cpu, began = time.process_time(), time.perf_counter()
        await self._store(messages)
        cpu, stored_seconds = time.process_time() - cpu, time.perf_counter() - began
        if held_back:
            await self._pause(SHORTEST_PAUSE)  # a time that has passed would not wake the consumer
            await asyncio.sleep(SHORTEST_PAUSE.total_seconds())
            began = time.perf_counter()
        return Drained(began, stored_seconds, ((began, len(messages)), *await self._watch()), cpu)

    async def open_loop(self, messages: Sequence[Message], rate: float) -> list[float]:
        """Publish at *rate* a second, whatever comes back; seconds from each one's appointed time to its reply.

        Raises LoadError if replies are missing half a minute after the last was sent.
        """
        replies = _Replies(len(messages))
        prefix = self._connection.new_inbox()
        with translated():
            subscription = await self._connection.subscribe(f"{prefix}.*", cb=replies.take)
            began = time.perf_counter()
            for number, (subject, body) in enumerate(messages):
                early = began + number / rate - time.perf_counter()
                if early > 0 or number % YIELD_EVERY == 0:  # replies are to be read even when it is late
                    await asyncio.sleep(max(0.0, early))
                header = {**self._identity, cloudevents.REPLY_TO_HEADER: f"{prefix}.{number}"}
                await self._connection.publish(subject, body, headers=header)
            await replies.wait()
            await subscription.unsubscribe()
        return [at - began - number / rate for number, at in enumerate(replies.at)]

    async def _store(self, messages: Sequence[Message]) -> None:
        """Publish all; the last message of each chunk is confirmed by its number, which tells of all before it."""
        with translated():
            stream = self._connection.jetstream(timeout=CONFIRM_SECONDS)
            before = (await stream.stream_info(STREAM)).state.last_seq
            confirmations: deque[tuple[int, asyncio.Future[PubAck]]] = deque()
            for number, (subject, body) in enumerate(messages, 1):
                if number % CHUNK and number < len(messages):
                    await self._connection.publish(subject, body, headers=self._identity or None)
                    continue
                stored = await stream.publish_async(subject, body, headers=dict(self._identity) or None)
                confirmations.append((before + number, stored))
                if len(confirmations) == CHUNKS_UNCONFIRMED:
                    await _confirm(*confirmations.popleft())
            for confirmation in confirmations:
                await _confirm(*confirmation)

    async def _watch(self) -> list[Sample]:
        """The commands not acknowledged, again and again until there are none.

        The stream forgets what is acknowledged, so it is what the stream holds; a consumer's own counts lag behind.
        """
        samples: list[Sample] = []
        moved = time.perf_counter()
        with translated():
            manager = self._connection.jsm()
            while not samples or samples[-1][1]:
                open_commands = (await manager.stream_info(STREAM)).state.messages
                now = time.perf_counter()
                if not samples or open_commands != samples[-1][1]:
                    moved = now
                if now - moved > STALL_SECONDS:
                    raise LoadError(f"{open_commands} commands wait and nothing has moved for {STALL_SECONDS:.0f} s")
                samples.append((now, open_commands))
                await asyncio.sleep(WATCH_SECONDS if open_commands else 0)
        return samples

    async def _pause(self, duration: timedelta) -> None:
        """Have the broker deliver nothing for so long from now, in place of what it was told before."""
        until = (datetime.now(UTC) + duration).isoformat().replace("+00:00", "Z")
        with translated():
            manager = self._connection.jsm()
            await manager.pause_consumer(STREAM, (await consumer_of(manager, GROUP)).name, until)


class _Replies:
    """When each reply came, by its number."""

    def __init__(self, expected: int) -> None:
        self.at = [0.0] * expected
        self._missing = expected
        self._complete = asyncio.Event()

    async def take(self, message: Msg) -> None:
        number = int(message.subject.rpartition(".")[2])
        if not self.at[number]:
            self.at[number] = time.perf_counter()
            self._missing -= 1
        if not self._missing:
            self._complete.set()

    async def wait(self) -> None:
        try:
            async with asyncio.timeout(LATE_SECONDS):
                await self._complete.wait()
        except TimeoutError:
            raise LoadError(f"{self._missing} replies are missing after {LATE_SECONDS:.0f} s") from None


async def consumer_of(manager: JetStreamManager, group: str) -> ConsumerInfo:
    """The consumer of an ingress group. Raises LoadError if there is none."""
    consumers = await manager.consumers_info(STREAM)
    if found := next((consumer for consumer in consumers if group_of(consumer) == group), None):
        return found
    raise LoadError(f"{STREAM} has no consumer of {group}: no ingress is connected")


async def _confirm(expected: int, confirmation: asyncio.Future[PubAck]) -> None:
    async with asyncio.timeout(CONFIRM_SECONDS):
        stored = (await confirmation).seq
    if stored != expected:
        raise LoadError(f"the broker stored message {stored} where {expected} was expected: messages were lost")
