"""What a fault may touch, and what it may ask of the load meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from spark_actors.kernel.errors import StorageError
from spark_actors.messaging.routing import Placement
from tests.lab.chaos.orders import Cast, Order, Orders
from tests.lab.chaos.producer import Producer
from tests.lab.chaos.queries import ChaosQueries
from tests.lab.chaos.target import POLL_SECONDS, Target, TargetError

if TYPE_CHECKING:
    from tests.lab.cluster.cluster import Cluster

LONG_SECONDS = 60.0
EVENTS = 50_000
OTHERS_SECONDS = 15.0
"""Within this, all that a fault has nothing to do with must be served: many times what it takes on a busy machine."""
SLOTS = 2

Again = Callable[[], Awaitable[None]]
"""Sends everything that was sent lately once more, under the same ids."""


@dataclass(frozen=True)
class Stage:
    """One daemon under load, and ways to ask more of it."""

    target: Target
    random: Random
    send_again: Again
    orders: Orders
    producer: Producer
    cast: Cast
    """Whom the load is about."""
    object: Callable[[str], None]
    """Notes that the daemon did not do what it must while, or after, it was hurt."""
    long_seconds: float = LONG_SECONDS
    """How long services stay away, and half of how long a transaction sits idle."""
    events: int = EVENTS
    """How many pass while a subscriber is away."""
    cluster: Cluster | None = None
    """The machines, if there are more than one; the target is the head of these."""
    asking: set[asyncio.Task[None]] = field(default_factory=set)
    """What was asked and is not answered yet; it is owed all the same."""

    async def are_others_served(self, *, without: str = "", seconds: float = OTHERS_SECONDS) -> bool:
        """Whether in time a command of every slot is answered and a donation comes to its end in the books.

        They are about others than the account or campaign *without*. The views are not asked: they may be what is away.
        """
        accounts = [account for account in self.cast.accounts if account != without]
        campaign = next(campaign for campaign in self.cast.campaigns if campaign != without)
        donation = self.orders.donation(accounts[0], 1, campaign)
        wanted = [self.orders.deposit(account, 1) for account in one_for_each_slot(accounts)]
        asked = [self._ask(self.producer.ask(order)) for order in wanted]
        asked.append(self._ask(self._donated(donation)))
        _, late = await asyncio.wait(asked, timeout=seconds)
        return not late

    def store(self, *orders: Order) -> None:
        """Have these stored by the broker; whoever waits for their effect looks into the books."""
        for order in orders:
            self._ask(self.producer.store(order))

    def _ask(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self.asking.add(task)
        task.add_done_callback(self.asking.discard)
        return task

    async def _donated(self, donation: Order) -> None:
        await self.producer.ask(donation)
        while not await asyncio.to_thread(self._is_registered, donation.message_id):
            await asyncio.sleep(POLL_SECONDS)

    def _is_registered(self, donation_id: str) -> bool:
        try:
            with ChaosQueries(self.target.dsn) as queries:
                return queries.is_registered(donation_id)
        except (StorageError, TargetError):
            return False


Act = Callable[[Stage], Awaitable[str]]
"""Hurts; returns what exactly, once the fault itself is over and recovery begins."""


def one_for_each_slot(accounts: Sequence[str]) -> list[str]:
    """One of the accounts for each AggregateActor."""
    placement = Placement(SLOTS, 1)
    by_slot = {placement.slot_of("accounting", account).name: account for account in accounts}
    return list(by_slot.values())


async def stopped(pids: Iterable[int], seconds: float) -> None:
    """Stop these, wait, and continue those that are still there."""
    pids = list(pids)
    send_signal(pids, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        send_signal(pids, signal.SIGCONT)


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it has ended by itself meanwhile
