"""What the simulated node does beyond the port: time, rates, latency, books that are away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from domain.bitcoin.adapters.simulated import Entry, SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.ports import InvoiceStatus, LightningError, NodeInvoice, PaymentStatus
from spark_actors.kernel.errors import StorageUnavailableError
from tests.fixtures.lightning import MemoryNodeBooks

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DELAY = timedelta(seconds=5)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def a_node(clock: Clock, **settings: object) -> SimulatedLightningNode:
    chosen = SimulatedSettings(**{"payment_delay": DELAY, **settings})  # type: ignore[arg-type]
    return SimulatedLightningNode(MemoryNodeBooks(), chosen, clock=clock, random=Random(7))


async def an_invoice(
    node: SimulatedLightningNode, invoice_id: str = "i-1", expires_in: timedelta = HOUR
) -> NodeInvoice:
    return await node.create_invoice(invoice_id=invoice_id, amount_sat=2_000, memo="m", expires_in=expires_in)


def test_somebody_pays_an_invoice_after_the_delay() -> None:
    clock = Clock()
    node = a_node(clock)

    async def scene() -> None:
        invoice = await an_invoice(node)
        assert (await node.receipt(invoice.payment_hash)).status is InvoiceStatus.OPEN
        clock.now += DELAY
        assert (await node.receipt(invoice.payment_hash)).status is InvoiceStatus.PAID
        assert (await node.books()).received_sat == 2_000

    asyncio.run(scene())


def test_an_invoice_that_expires_before_the_delay_is_not_paid() -> None:
    clock = Clock()
    node = a_node(clock)

    async def scene() -> None:
        invoice = await an_invoice(node, expires_in=DELAY)
        clock.now += 2 * DELAY
        assert (await node.receipt(invoice.payment_hash)).status is InvoiceStatus.EXPIRED
        assert (await node.books()).received_sat == 0

    asyncio.run(scene())


def test_the_same_invoice_id_gives_the_same_invoice() -> None:
    node = a_node(Clock())

    async def scene() -> None:
        assert await an_invoice(node) == await an_invoice(node)

    asyncio.run(scene())


def test_a_slow_payment_is_pending_first() -> None:
    clock = Clock()
    node = a_node(clock)
    invoice = simulated_invoice(1_000, START + HOUR, nonce="n", behaviour=Behaviour.SLOW)

    async def scene() -> None:
        assert (await node.pay(invoice.payment_request, fee_limit_sat=0)).status is PaymentStatus.PENDING
        assert (await node.books()).paid_sat == 0
        clock.now += DELAY
        assert (await node.payment_status(invoice.payment_hash)).status is PaymentStatus.PAID

    asyncio.run(scene())


def test_the_node_can_pay_its_own_invoice_and_only_once() -> None:
    node = a_node(Clock(), payment_delay=None)

    async def scene() -> None:
        invoice = await an_invoice(node)
        assert (await node.pay(invoice.payment_request, fee_limit_sat=0)).status is PaymentStatus.PAID
        assert (await node.receipt(invoice.payment_hash)).status is InvoiceStatus.PAID
        books = await node.books()
        assert (books.received_sat, books.paid_sat) == (2_000, 2_000)

    asyncio.run(scene())


def test_an_invoice_that_somebody_else_has_paid_cannot_be_paid_again() -> None:
    node = a_node(Clock(), payment_delay=None)

    async def scene() -> None:
        invoice = await an_invoice(node)
        await node.receive(invoice.payment_request)
        payment = await node.pay(invoice.payment_request, fee_limit_sat=0)
        assert (payment.status, payment.reason) == (PaymentStatus.FAILED, "invoice_paid")

    asyncio.run(scene())


def test_the_rates_decide_about_ordinary_payments() -> None:
    node = a_node(Clock(), failure_rate=0.3, unknown_rate=0.3)

    async def scene() -> None:
        told = {"paid": 0, "failed": 0, "unknown": 0}
        for number in range(200):
            request = simulated_invoice(1_000, START + HOUR, nonce=str(number)).payment_request
            try:
                told[(await node.pay(request, fee_limit_sat=0)).status] += 1
            except LightningError:
                told["unknown"] += 1
        assert 50 < told["paid"] < 110
        assert 35 < told["failed"] < 85
        assert 35 < told["unknown"] < 85

    asyncio.run(scene())


def test_each_call_takes_its_latency() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    settings = SimulatedSettings(latency=timedelta(seconds=2))
    node = SimulatedLightningNode(MemoryNodeBooks(), settings, clock=Clock(), random=Random(1), sleep=sleep)

    async def scene() -> None:
        invoice = await an_invoice(node)
        await node.receipt(invoice.payment_hash)

    asyncio.run(scene())
    assert slept == [2.0, 2.0]


class NoBooks(MemoryNodeBooks):
    """Those of a database that is away."""

    async def entry(self, payment_hash: str) -> Entry:
        raise StorageUnavailableError("gone")


def test_books_that_cannot_be_used_are_an_unknown_answer() -> None:
    node = SimulatedLightningNode(NoBooks(), SimulatedSettings(), clock=Clock(), random=Random(1))
    with pytest.raises(LightningError, match="cannot be used") as caught:
        asyncio.run(node.payment_status("00"))
    assert isinstance(caught.value.__cause__, StorageUnavailableError)
