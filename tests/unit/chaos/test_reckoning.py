"""What the load of a chaos run was not told in time is held against the daemon, never forgotten."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from domain.bitcoin.adapters.simulated import SimulatedBooks
from spark_actors.embedded.data_dir import DaemonCard
from spark_actors.ingress.client import Answer, OutcomeUnknownError, SparkClient
from spark_actors.kernel.decisions import Verdict
from tests.lab.chaos.orders import Cast, Order, Orders
from tests.lab.chaos.producer import Load, Producer
from tests.lab.chaos.queries import ChaosQueries
from tests.lab.chaos.verify import Objection, objections

CARD = DaemonCard(1, "", "", "", "", "", {})


class SilentClient(SparkClient):
    """Stores and never answers; after as many questions as it has *doubts* about, it does not even say so."""

    def __init__(self, doubts: int = 0) -> None:
        self._doubts = doubts

    async def send(self, *words: Any, **more: Any) -> Answer:
        self._doubts -= 1
        if self._doubts >= 0:
            raise OutcomeUnknownError("stored, and not answered")
        await asyncio.Event().wait()
        return Answer("", Verdict.DONE)

    async def post(self, *words: Any, **more: Any) -> str:
        await asyncio.Event().wait()
        return ""

    @property
    def is_closed(self) -> bool:
        return False


class EmptyBooks(ChaosQueries):
    """The databases of a daemon that has done nothing."""

    def __init__(self) -> None:
        """Connected to nothing."""

    def movements(self) -> dict[str, tuple[str, str, int]]:
        return {}

    def balances(self, *, seen: bool = False) -> dict[str, int]:
        return {}

    def campaigns(self, *, seen: bool = False) -> dict[str, tuple[int, int]]:
        return {}

    def registered(self) -> dict[str, tuple[str, int]]:
        return {}

    def handled(self) -> dict[str, int]:
        return {}

    def waiting(self) -> list[str]:
        return []

    def letters(self) -> list[str]:
        return []


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    """Of a broker that stores its first command without an answer, and says nothing about all others."""
    client = SilentClient(doubts=1)

    async def connect(*words: Any, **more: Any) -> SparkClient:
        return client

    monkeypatch.setattr(SparkClient, "connect", connect)
    return Producer(lambda: CARD)


@pytest.fixture
def orders() -> Orders:
    return Orders(Cast.of("t", accounts=2, campaigns=1), Random(1), "t")


def reckoned(*sent: Order) -> list[Objection]:
    return objections(sent, EmptyBooks(), SimulatedBooks(0, ()))


def test_what_was_stored_and_not_answered_must_not_get_lost(producer: Producer, orders: Orders) -> None:
    order = orders.deposit("t-account-0", 1)

    async def play() -> None:
        asking = asyncio.create_task(producer.ask(order))
        async with asyncio.timeout(5):
            while not order.is_stored:
                await asyncio.sleep(0)
        asking.cancel()

    asyncio.run(play())
    assert {objection.kind for objection in reckoned(order)} >= {"lost"}


def test_what_the_load_still_waits_for_when_it_stops_is_late(producer: Producer, orders: Orders) -> None:
    async def play() -> None:
        load = Load(producer, orders, Random(1), rate=1_000)
        running = asyncio.create_task(load.run())
        async with asyncio.timeout(5):
            while len(producer.sent) < 5 or not any(order.is_stored for order in producer.sent.values()):
                await asyncio.sleep(0)
        await load.stop(0)
        await running

    asyncio.run(play())
    sent = list(producer.sent.values())
    assert {order.is_stored for order in sent} == {True, False}
    late = [objection for objection in reckoned(*sent) if objection.kind == "late"]
    assert len(late) == len(sent)


def test_what_was_never_confirmed_is_late_whoever_sent_it(orders: Orders) -> None:
    order = orders.deposit("t-account-0", 1)
    order.fault = 7
    [objection] = reckoned(order)
    assert (objection.kind, objection.fault) == ("late", 7)
