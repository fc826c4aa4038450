"""Steady load on many instances: each command has its time, whatever became of those before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

from tests.lab.chaos.orders import Cast, Order, Orders
from tests.lab.chaos.producer import Producer

DEPOSITS_A_DONATION = 4
LOOK_SECONDS = 0.1


@dataclass
class Sent:
    """One command. Moments are of `time.monotonic`."""

    order: Order
    due: float
    answered: float | None = None

    @property
    def key(self) -> str:
        return self.order.command.key


class SteadyLoad:
    """Deposits and donations, one in five, at *rate* a second, to all accounts and campaigns in turns, until stopped.

    What is not answered in time is sent again under its id, until it is.
    """

    def __init__(self, producer: Producer, orders: Orders, cast: Cast, rate: float) -> None:
        self._producer, self._rate, self._cast = producer, rate, cast
        self._making = in_turns(orders, cast)
        self._tasks: dict[asyncio.Task[None], Order] = {}
        self._stopping = asyncio.Event()
        self.sent: list[Sent] = []
        """In the order of their times."""

    async def run(self) -> None:
        began = time.monotonic()
        while True:
            due = began + len(self.sent) / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._stopping.is_set():
                return
            sent = Sent(next(self._making), due)
            self.sent.append(sent)
            task = asyncio.create_task(self._ask(sent))
            self._tasks[task] = sent.order
            task.add_done_callback(self._tasks.pop)

    async def stop(self, patience_seconds: float) -> None:
        """Send no more and wait until all are answered; what is not in time is late."""
        self._stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_seconds)
            for task in late:
                self._tasks[task].is_late = True
                task.cancel()

    async def all_served(self, since: float, patience_seconds: float) -> None:
        """Until every instance has answered a command that was due after this moment. Raises TimeoutError."""
        wanted = {*self._cast.accounts, *self._cast.campaigns}
        async with asyncio.timeout(patience_seconds):
            while served_again(self.sent, since).keys() < wanted:
                await asyncio.sleep(LOOK_SECONDS)

    async def all_answered(self, until: float, patience_seconds: float) -> None:
        """Until every command is answered that was due before this moment. Raises TimeoutError."""
        async with asyncio.timeout(patience_seconds):
            while any(sent.answered is None for sent in self.sent if sent.due < until):
                await asyncio.sleep(LOOK_SECONDS)

    async def _ask(self, sent: Sent) -> None:
        await self._producer.ask(sent.order)
        sent.answered = time.monotonic()


def served_again(sent: Sequence[Sent], since: float) -> dict[str, float]:
    """By instance, the first answer to a command that was due after *since*."""
    first: dict[str, float] = {}
    for each in sent:
        if each.due >= since and each.answered is not None:
            first[each.key] = min(each.answered, first.get(each.key, each.answered))
    return first


def longest_silence(sent: Sequence[Sent], since: float, until: float) -> float:
    """The longest time between the two moments in which no command was answered."""
    answers = sorted(at for each in sent if (at := each.answered) is not None and since <= at <= until)
    return max(later - earlier for earlier, later in pairwise([since, *answers, until]))


def waits(sent: Sequence[Sent], since: float, until: float) -> list[float]:
    """What the commands that were due between the two moments have waited for their answers, from their times on.

    Of those that were answered.
    """
    return [each.answered - each.due for each in sent if since <= each.due < until and each.answered is not None]


def refused(sent: Sequence[Sent], since: float, until: float) -> list[str]:
    """What the commands that were due between the two moments were answered, other than that they are done."""
    due = (each.order for each in sent if since <= each.due < until)
    return [f"{order.message_id}: {answer}" for order in due for answer in order.answers if answer != "done"]


def in_turns(orders: Orders, cast: Cast) -> Iterator[Order]:
    """Without end; each account and each campaign as often as the others of its kind."""
    accounts, donors, campaigns = cycle(cast.accounts), cycle(cast.accounts), cycle(cast.campaigns)
    while True:
        for _ in range(DEPOSITS_A_DONATION):
            yield orders.deposit(next(accounts), 1)
        yield orders.donation(next(donors), 1, next(campaigns))
