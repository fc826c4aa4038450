"""A chaos run: a daemon under load, one fault after the other, and the reckoning in the end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from domain.application import APPLICATION
from domain.bitcoin.adapters.node_books import PostgresNodeBooks
from domain.bitcoin.adapters.simulated import SimulatedBooks, SimulatedLightningNode, SimulatedSettings
from spark_actors.cli.audit import checks_of
from spark_actors.kernel.errors import StorageError
from spark_actors.persistence.connections import make_pool
from tests.lab.chaos import neighbours, nodes, underfoot
from tests.lab.chaos.account import Account, Strike
from tests.lab.chaos.disk import Disk
from tests.lab.chaos.faults import ALL, FAULTS, HICCUPS
from tests.lab.chaos.orders import FAR, Cast, Order, Orders
from tests.lab.chaos.producer import Load, Producer
from tests.lab.chaos.queries import ChaosQueries
from tests.lab.chaos.stage import EVENTS, LONG_SECONDS, Stage, one_for_each_slot
from tests.lab.chaos.target import IMPATIENT, OBEDIENT, OWN_ADDRESS, Target, TargetError
from tests.lab.chaos.verify import Objection, objections
from tests.lab.cluster.cluster import Cluster
from tests.lab.cluster.network import Loopback, Namespaces

Say = Callable[[str], None]
"""Tells how it goes, in one line."""
RECOVERY_SECONDS = 90.0
SETTLE_SECONDS = 180.0
LATELY = 500
"""How many of the last orders a redelivery repeats."""


@dataclass(frozen=True)
class Wanted:
    """What kind of run."""

    seconds: float
    seed: int
    rate: float = 30.0
    """Orders a second."""
    faults: Sequence[str] = tuple(FAULTS)
    pause: tuple[float, float] = (0.2, 2.0)
    """Between recovery and the next fault, in seconds."""
    long_seconds: float = LONG_SECONDS
    """How long services stay away, and half of how long a transaction sits idle."""
    events: int = EVENTS
    """How many pass while a subscriber is away."""
    machines: int = 1
    """The head, and nodes beside it."""
    folder: Path | None = None


class Chaos:
    """One daemon, one load, any number of faults."""

    def __init__(
        self,
        target: Target,
        seed: int,
        rate: float,
        *,
        long_seconds: float = LONG_SECONDS,
        events: int = EVENTS,
        cluster: Cluster | None = None,
    ) -> None:
        self.target = target
        self.account = Account(seed)
        self._random = Random(seed)
        prefix = f"chaos{seed}"
        self._cast = Cast.of(prefix, accounts=12, campaigns=3)
        self._orders = Orders(self._cast, Random(seed + 1), prefix)
        self.producer = Producer(lambda: target.card)
        self._load = Load(self.producer, self._orders, Random(seed + 2), rate)
        self._loading: asyncio.Task[None] | None = None
        self._began = time.monotonic()
        self._stage = Stage(
            target,
            self._random,
            self._send_again,
            self._orders,
            self.producer,
            self._cast,
            self._object,
            long_seconds,
            events,
            cluster,
        )

    async def begin(self) -> None:
        """Open accounts and campaigns, then let the load run."""
        self._began = time.monotonic()
        for order in self._orders.opening():
            await self.producer.ask(order)
        self._loading = asyncio.create_task(self._load.run())

    async def strike(self, fault: str) -> Strike | None:
        """Hurt once and see how long recovery takes. None if it could not be done now."""
        number = self._load.fault = self._load.fault + 1
        at = time.monotonic() - self._began
        try:
            detail = await ALL[fault](self._stage)
        except HICCUPS as error:
            self.account.skipped += 1
            detail = f"not done: {error}"
            await self.recovered()
            return None
        served, ended = await self.recovered()
        if fault in neighbours.FAULTS and served is not None and served > neighbours.SERVED_SECONDS:
            self._object(f"{fault}: new commands were answered only after {served:.1f} s")
        strike = Strike(number, fault, at, detail, served, ended)
        self.account.strikes.append(strike)
        return strike

    async def end(self) -> Account:
        """Let everything come to its end, then reckon."""
        if self._stage.asking:
            await asyncio.wait(self._stage.asking, timeout=RECOVERY_SECONDS)
        await self._load.stop(RECOVERY_SECONDS)
        if self._loading is not None:
            await self._loading
        await self.producer.close()
        self.account.orders = len(self.producer.sent)
        self.target.faults.shift_clock(FAR + timedelta(hours=1))
        await self._settle()
        books = await self._books()
        with ChaosQueries(self.target.dsn) as queries:
            self.account.objections += objections(self.producer.sent.values(), queries, books)
        self.account.audit = self._audit()
        self.account.seconds = time.monotonic() - self._began
        return self.account

    async def recovered(self) -> tuple[float | None, float | None]:
        """Seconds until each slot answers new commands, and until a new donation has gone all its way."""
        began = time.monotonic()
        deposits = [self._orders.deposit(account, 1) for account in one_for_each_slot(self._cast.accounts)]
        donation = self._orders.donation(self._cast.accounts[0], 1)
        for order in (*deposits, donation):
            order.fault = self._load.fault

        async def served() -> float:
            await asyncio.gather(*map(self.producer.ask, deposits))
            return time.monotonic() - began

        async def ended() -> float:
            await self.producer.ask(donation)
            await self.producer.donation_ended(donation)
            return time.monotonic() - began

        first, second = await asyncio.gather(_in_time(served()), _in_time(ended()))
        return first, second

    def _object(self, detail: str) -> None:
        self.account.objections.append(Objection("wrong", detail, self._load.fault))

    async def _send_again(self) -> None:
        lately: list[Order] = list(self.producer.sent.values())[-LATELY:]
        await asyncio.gather(*map(self.producer.ask, lately))

    async def _settle(self) -> None:
        """Until nothing waits any more; what still does in the end becomes an objection."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            if not await asyncio.to_thread(self._unsettled):
                return
            await asyncio.sleep(0.5)

    def _unsettled(self) -> bool:
        """Whether anything waits, or the views lag behind."""
        try:
            with ChaosQueries(self.target.dsn) as queries:
                return bool(queries.waiting()) or queries.balances() != queries.balances(seen=True)
        except (StorageError, TargetError):
            return True

    async def _books(self) -> SimulatedBooks:
        async with make_pool(self.target.dsn["bitcoin"]) as pool:
            node = SimulatedLightningNode(
                PostgresNodeBooks(pool), SimulatedSettings(), clock=lambda: datetime.now(UTC), random=self._random
            )
            return await node.books()

    def _audit(self) -> list[str]:
        wrong = [check for check in checks_of(APPLICATION, self.target.dsn) if not check.is_passed]
        return [f"{check.name}: {check.findings[0].subject} {check.findings[0].detail}" for check in wrong]


async def _in_time(work: asyncio.Future[float] | object) -> float | None:
    try:
        async with asyncio.timeout(RECOVERY_SECONDS):
            return await work  # type: ignore[misc, no-any-return]
    except TimeoutError:
        return None


async def run(wanted: Wanted, say: Say) -> Account:
    """Hurt for the wanted time; a daemon of its own, gone in the end. Raises TargetError if it cannot begin or end.

    Its folder with all logs stays only if something is wrong.
    """
    home = Path(tempfile.mkdtemp(prefix="spark-chaos-", dir=wanted.folder))
    if wanted.machines > 1:
        return await _run_cluster(home, wanted, say)
    views_apart = not neighbours.VIEWS_APART.isdisjoint(wanted.faults)
    small_disks = not underfoot.SMALL_DISKS.isdisjoint(wanted.faults) and Disk.can_be_had()
    target = Target(home, views_apart=views_apart, small_disks=small_disks)
    account = Account(wanted.seed)
    try:
        target.launch()
        await target.ready()
        account = await _hurt(target, wanted, say)
        if code := await target.terminate():
            account.objections.append(Objection("wrong", f"the daemon ended with exit code {code}"))
        return account
    finally:
        target.stop()
        _tidy(home, account, say)


async def _run_cluster(home: Path, wanted: Wanted, say: Say) -> Account:
    """The same on a head with nodes; in the end each of them hands over and ends."""
    is_cut = not nodes.CUTS.isdisjoint(wanted.faults) and Namespaces.can_be_had()
    cluster = Cluster(home, OBEDIENT + OWN_ADDRESS + IMPATIENT, Namespaces() if is_cut else Loopback())
    account = Account(wanted.seed)
    try:
        await cluster.start(wanted.machines - 1)
        account = await _hurt(cluster.head, wanted, say, cluster)
        ends = {f"node {number}": node.terminate() for number, node in cluster.nodes.items()}
        ends["the head"] = await cluster.head.terminate()
        account.objections += [
            Objection("wrong", f"{who} ended with exit code {code}") for who, code in ends.items() if code
        ]
        return account
    finally:
        cluster.stop()
        _tidy(home, account, say)


def _tidy(home: Path, account: Account, say: Say) -> None:
    if account.strikes and account.is_sound:
        shutil.rmtree(home, ignore_errors=True)
    else:
        say(f"all data and logs stay in {home}")


async def _hurt(target: Target, wanted: Wanted, say: Say, cluster: Cluster | None = None) -> Account:
    chaos = Chaos(
        target, wanted.seed, wanted.rate, long_seconds=wanted.long_seconds, events=wanted.events, cluster=cluster
    )
    await chaos.begin()
    say(f"under load, seed {wanted.seed}, {wanted.rate:g} orders/s")
    await _strikes(chaos, wanted, say)
    say("no more faults; everything comes to its end")
    late = await nodes.whole(cluster) if cluster else []
    account = await chaos.end()
    account.objections += [Objection("wrong", f"in the end node {number} was no member") for number in late]
    return account


async def _strikes(chaos: Chaos, wanted: Wanted, say: Say) -> None:
    """Every fault once in a random order, again and again, until the time is over."""
    random, deadline = Random(wanted.seed + 3), time.monotonic() + wanted.seconds
    while time.monotonic() < deadline:
        for fault in random.sample(wanted.faults, len(wanted.faults)):
            if time.monotonic() > deadline:
                return
            strike = await chaos.strike(fault)
            say(told(fault, strike))
            await asyncio.sleep(random.uniform(*wanted.pause))


def told(fault: str, strike: Strike | None) -> str:
    """A fault in one line."""
    if strike is None:
        return f"{fault}: could not be done now"
    served = "NOT SERVED" if strike.served_seconds is None else f"served after {strike.served_seconds:.1f} s"
    ended = "NO SAGA ENDED" if strike.ended_seconds is None else f"a saga ended after {strike.ended_seconds:.1f} s"
    return f"{fault} ({strike.detail}): {served}, {ended}"
