"""A producer that outlives broker and daemon: it repeats what was not confirmed, and what was only on purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random

from domain.dashboard.views import ViewDonation
from spark_actors.embedded.data_dir import DaemonCard
from spark_actors.ingress.client import (
    NotAcceptedError,
    OutcomeUnknownError,
    SparkClient,
    UnreachableError,
    ViewRefusedError,
    ViewTimeoutError,
)
from spark_actors.kernel.messages import Query
from tests.lab.chaos.orders import Order, Orders

PAUSE_SECONDS = 0.1
WHY = "chaos"
"""Money is moved by hand for this."""
ANSWER_SECONDS = 2.0
TWICE_SHARE = 0.05
"""Of the load is sent twice under the same id, the second time a while later."""
ANSWERED_SHARE = 0.5
"""Of the load waits for its answer; the rest is only stored."""


class Producer:
    """Delivers orders; used by any number of tasks at once."""

    def __init__(self, card: Callable[[], DaemonCard | None], *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """*answer_seconds*: how long it waits for an answer before it sends again."""
        self._card, self._answer_seconds = card, answer_seconds
        self._client: SparkClient | None = None
        self._connecting = asyncio.Lock()
        self._away_until = 0.0
        self.sent: dict[str, Order] = {}
        """All orders by message id."""

    async def store(self, order: Order) -> None:
        """Until the broker has confirmed it; from then on it is the daemon's."""
        self.sent[order.message_id] = order
        while not order.is_stored:
            try:
                client = await self.connected()
                await client.post(order.command, message_id=order.message_id, why=WHY)
                order.is_stored = True
            except (UnreachableError, NotAcceptedError):
                await asyncio.sleep(PAUSE_SECONDS)

    async def ask(self, order: Order) -> None:
        """Until it was answered: what may or may not have arrived is sent again under its id."""
        self.sent[order.message_id] = order
        while not await self._is_answered(order):
            await asyncio.sleep(PAUSE_SECONDS)

    async def view(self, query: Query) -> dict[str, object]:
        """What the view says; empty as long as it does not."""
        try:
            return await (await self.connected()).view(query, timeout=self._answer_seconds)
        except (UnreachableError, ViewTimeoutError, ViewRefusedError):
            return {}

    async def donation_ended(self, order: Order) -> None:
        """Until the view says that the donation is registered."""
        while (await self.view(ViewDonation(donation_id=order.message_id))).get("state") != "registered":
            await asyncio.sleep(PAUSE_SECONDS / 2)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _is_answered(self, order: Order) -> bool:
        try:
            answer = await (await self.connected()).send(
                order.command, message_id=order.message_id, why=WHY, timeout=self._answer_seconds
            )
        except (UnreachableError, NotAcceptedError):
            return False
        except OutcomeUnknownError:
            order.is_stored = True
            return False
        order.is_stored = True
        order.answers = tuple({*order.answers, f"{answer.outcome}: {answer.reason}".removesuffix(": ")})
        return True

    async def connected(self) -> SparkClient:
        """The connection to the broker, or a new one if it broke. Raises UnreachableError."""
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> SparkClient:
        """One for all who wait, and not all the time: recovery is to have the processors. Raises UnreachableError."""
        card = self._card()
        if card is None or time.monotonic() < self._away_until:
            raise UnreachableError("no daemon")
        try:
            return await SparkClient.connect(card.nats_url, card.nats_token, identity=card.operator_token)
        except UnreachableError:
            self._away_until = time.monotonic() + PAUSE_SECONDS
            raise


class Load:
    """Steady load: so many orders a second, whatever comes back, until it is stopped."""

    def __init__(self, producer: Producer, orders: Orders, random: Random, rate: float) -> None:
        self._producer, self._orders, self._random, self._rate = producer, orders, random, rate
        self._tasks: dict[asyncio.Task[None], Order] = {}
        self._stopping = asyncio.Event()
        self.fault = 0
        """The number of the last fault, noted on each order."""

    async def run(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stopping.is_set():
            order = self._orders.any()
            order.fault = self.fault
            self._begin(order)
            number += 1
            early = began + number / self._rate - time.monotonic()
            await asyncio.sleep(max(0.0, early))

    async def stop(self, patience_seconds: float) -> None:
        """Send no more, and wait until all that was sent is confirmed or answered; what is not in time is late."""
        self._stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_seconds)
            for task in late:
                self._tasks[task].is_late = True
                task.cancel()

    def _begin(self, order: Order) -> None:
        task = asyncio.create_task(self._sent(order))
        self._tasks[task] = order
        task.add_done_callback(self._tasks.pop)

    async def _sent(self, order: Order) -> None:
        is_answered = self._random.random() < ANSWERED_SHARE
        await (self._producer.ask if is_answered else self._producer.store)(order)
        if self._random.random() < TWICE_SHARE:
            await asyncio.sleep(self._random.random() * 3)
            await self._producer.ask(order)
