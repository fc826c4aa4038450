"""A durable queue that duplicates, delays and redelivers, and the producers at its other end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from spark_actors.ingress.port import Arrival, BrokerLag, BrokerUnavailableError, Responder
from tests.simulation.crowd import Message
from tests.simulation.machine import Machine, Process

ACK_WAIT_SECONDS = 4.0
SCAN_SECONDS = 1.0


@dataclass
class _Stored:
    """A message until it is acknowledged."""

    arrival: Arrival
    label: str
    delivered_at: float = 0.0


class BrokerServer:
    """The queue itself; it outlives every process."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.is_away = False
        self.consumer: SimulatedBroker | None = None
        self.stored: dict[str, _Stored] = {}
        self.inbox: dict[str, asyncio.Event] = {}
        """Reply subjects that somebody listens on."""
        self._number = 0
        self._scanner = machine.spawn(self._scan())

    def publish(self, message: Message, reply_to: str) -> None:
        """Store a message and deliver it, perhaps late, perhaps twice."""
        if self.is_away:
            raise BrokerUnavailableError("away")
        self._number += 1
        receipt = str(self._number)
        arrival = Arrival(message.subject, message.body, reply_to, receipt, message.author.sender)
        self.stored[receipt] = _Stored(arrival, message.label)
        chance = self.machine.faults.profile.redelivery
        late = self.machine.faults.random.uniform(0.1, 2.0) if self.machine.faults.happens(chance) else 0.0
        self._deliver_in(late, receipt)
        if self.machine.faults.happens(chance):
            self._deliver_in(late + self.machine.faults.random.uniform(0.0, 1.0), receipt)

    def answer(self, subject: str, body: bytes, label: str) -> None:
        """A reply reaches whoever asked, unless it is lost."""
        history = self.machine.history
        history.replies[label].add(body)
        history.look(history.onlooker.answered(label, body))
        if subject in self.inbox and not self.machine.faults.happens(self.machine.faults.profile.redelivery):
            self.inbox[subject].set()

    async def outage(self, seconds: float) -> None:
        self.machine.history.note("broker", f"goes away for {seconds:.2f} s")
        self.is_away, self.consumer = True, None
        await asyncio.sleep(seconds)
        self.is_away = False
        self.machine.history.note("broker", "is back")

    def _deliver_in(self, seconds: float, receipt: str) -> None:
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._deliver, receipt)
        else:
            self._deliver(receipt)

    def _deliver(self, receipt: str) -> None:
        stored = self.stored.get(receipt)
        if stored and self.consumer:
            stored.delivered_at = asyncio.get_running_loop().time()
            self.consumer.take(stored.arrival)

    async def _scan(self) -> None:
        """Deliver again what was delivered long ago and not acknowledged."""
        while True:
            await asyncio.sleep(SCAN_SECONDS)
            now = asyncio.get_running_loop().time()
            for receipt, stored in list(self.stored.items()):
                if stored.delivered_at + ACK_WAIT_SECONDS < now:
                    self._deliver(receipt)


class SimulatedBroker:
    """Port `Broker` for one process."""

    def __init__(self, server: BrokerServer, process: Process) -> None:
        self._server, self._process = server, process
        self._arrived: deque[Arrival] = deque()
        self._something = asyncio.Event()

    def take(self, arrival: Arrival) -> None:
        self._arrived.append(arrival)
        self._something.set()

    async def open(self) -> None:
        await self._boundary("broker.open")
        self._server.consumer = self
        self._arrived.clear()
        for stored in self._server.stored.values():
            stored.delivered_at = asyncio.get_running_loop().time()
            self.take(stored.arrival)

    async def pull(self, limit: int, timeout: timedelta) -> Sequence[Arrival]:
        await self._boundary("broker.pull.before")
        if not self._arrived:
            self._something.clear()
            try:
                async with asyncio.timeout(timeout.total_seconds()):
                    await self._something.wait()
            except TimeoutError:
                return []
        arrivals = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        await self._boundary("broker.pull.after")
        return arrivals

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        await self._boundary("broker.acknowledge.before")
        faults, history = self._server.machine.faults, self._server.machine.history
        for arrival in arrivals:
            stored = self._server.stored.get(arrival.receipt)
            if stored is None or faults.happens(faults.profile.redelivery):
                continue
            del self._server.stored[arrival.receipt]
            history.note("broker", f"forgets {stored.label}: acknowledged by {self._process.label}")
            if not self._server.machine.is_durable(stored.label):
                history.accuse(f"{stored.label} on {arrival.subject} was acknowledged and is not durable")
        await self._boundary("broker.acknowledge.after")

    def release(self, arrivals: Sequence[Arrival]) -> None:
        """They come again when the acknowledgement wait is over."""

    async def erase(self, arrivals: Sequence[Arrival]) -> None:
        """Nothing here outlives a run."""

    def answer_bytes(self) -> int:
        return 1_048_576

    async def reply(self, replies: Sequence[tuple[str, bytes]]) -> None:
        await self._boundary("broker.reply.before")
        for subject, body in replies:
            self._server.answer(subject, body, subject.partition("/")[0])
        await self._boundary("broker.reply.after")

    def answer_queries(self, answer: Responder) -> None:
        """Nobody asks."""

    async def lag(self) -> BrokerLag:
        await self._boundary("broker.lag")
        return BrokerLag(len(self._server.stored), len(self._arrived))

    async def close(self) -> None:
        self._arrived.clear()

    async def _boundary(self, point: str) -> None:
        await self._process.boundary(point, BrokerUnavailableError)
        is_away = self._server.is_away or not self._process.node.has_store
        if is_away or (self._server.consumer is not self and point != "broker.open"):
            raise BrokerUnavailableError("not connected")
