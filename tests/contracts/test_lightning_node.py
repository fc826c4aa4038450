"""What every LightningNode promises, run on each adapter."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Protocol

import pytest

from domain.bitcoin.adapters.node_books import PostgresNodeBooks
from domain.bitcoin.adapters.requests import SimulatedInvoice, simulated_invoice
from domain.bitcoin.adapters.simulated import NodeBooks, SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.invoice import is_proof
from domain.bitcoin.ports import (
    InvalidPaymentRequestError,
    InvoiceRefusedError,
    InvoiceStatus,
    LightningError,
    LightningNode,
    NodeInvoice,
    Payment,
    PaymentStatus,
)
from spark_actors.persistence.connections import make_pool
from tests.fixtures.lightning import MemoryNodeBooks

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Bench(Protocol):
    """A node with a hand on its network and its clock."""

    node: LightningNode
    largest_invoice_sat: int
    """The node makes no invoice of more."""

    def outsider_invoice(
        self, behaviour: str, *, amount_sat: int = 1_000, expires_in: timedelta = HOUR
    ) -> SimulatedInvoice:
        """An invoice of somebody else, which when paid behaves so."""

    async def pay_invoice(self, payment_request: str) -> None:
        """Somebody else pays an invoice of the node."""

    def let_time_pass(self, time: timedelta) -> None: ...
    async def paid_sat(self) -> int:
        """What has left the node."""


class SimulatedBench:
    def __init__(self, books: NodeBooks) -> None:
        self._now = START
        self._nonces = count()
        self.largest_invoice_sat = 1_000_000
        settings = SimulatedSettings(payment_delay=None, largest_invoice_sat=self.largest_invoice_sat)
        self._simulated = SimulatedLightningNode(books, settings, clock=lambda: self._now, random=Random(1))
        self.node: LightningNode = self._simulated

    def outsider_invoice(
        self, behaviour: str, *, amount_sat: int = 1_000, expires_in: timedelta = HOUR
    ) -> SimulatedInvoice:
        nonce = str(next(self._nonces))
        return simulated_invoice(amount_sat, self._now + expires_in, nonce=nonce, behaviour=behaviour)

    async def pay_invoice(self, payment_request: str) -> None:
        await self._simulated.receive(payment_request)

    def let_time_pass(self, time: timedelta) -> None:
        self._now += time

    async def paid_sat(self) -> int:
        return (await self._simulated.books()).paid_sat


Play = Callable[[Callable[[Bench], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "postgres"])
def play(request: pytest.FixtureRequest) -> Play:
    """Runs a scene with a fresh node."""
    dsn = request.getfixturevalue("emptied_database") if request.param == "postgres" else ""

    async def played(scene: Callable[[Bench], Awaitable[None]]) -> None:
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(make_pool(dsn)) if dsn else None
            await scene(SimulatedBench(PostgresNodeBooks(pool) if pool else MemoryNodeBooks()))

    return lambda scene: asyncio.run(played(scene))


async def an_invoice(bench: Bench, invoice_id: str = "i-1") -> NodeInvoice:
    return await bench.node.create_invoice(invoice_id=invoice_id, amount_sat=2_000, memo="m", expires_in=HOUR)


def test_an_invoice_says_what_it_was_made_for(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        terms = await bench.node.decode(invoice.payment_request)
        assert (terms.payment_hash, terms.amount_sat) == (invoice.payment_hash, 2_000)
        assert terms.expires_at == invoice.expires_at == START + HOUR

    play(scene)


def test_an_invoice_that_the_node_never_makes_is_refused_with_a_reason_however_often(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        too_large = bench.largest_invoice_sat + 1
        for _ in range(2):
            with pytest.raises(InvoiceRefusedError) as refused:
                await bench.node.create_invoice(invoice_id="i-1", amount_sat=too_large, memo="m", expires_in=HOUR)
            assert pickle.loads(pickle.dumps(refused.value)).reason == refused.value.reason
            assert re.fullmatch("[a-z_]+", refused.value.reason)
        largest = await bench.node.create_invoice(
            invoice_id="i-2", amount_sat=bench.largest_invoice_sat, memo="m", expires_in=HOUR
        )
        assert (await bench.node.decode(largest.payment_request)).amount_sat == bench.largest_invoice_sat

    play(scene)


def test_an_invoice_that_was_paid_once_is_not_paid_by_the_node_again(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        await bench.pay_invoice(invoice.payment_request)
        assert (await bench.node.pay(invoice.payment_request)).status is PaymentStatus.FAILED
        own = await an_invoice(bench, "i-2")
        assert (await bench.node.pay(own.payment_request)).status is PaymentStatus.PAID
        assert await bench.node.invoice_status(own.payment_hash) is InvoiceStatus.PAID
        assert await bench.paid_sat() == 2_000

    play(scene)


def test_two_invoices_have_two_payment_hashes(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        first, second = await an_invoice(bench, "i-1"), await an_invoice(bench, "i-2")
        assert first.payment_hash != second.payment_hash

    play(scene)


def test_an_invoice_is_open_until_it_is_paid(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        assert await bench.node.invoice_status(invoice.payment_hash) is InvoiceStatus.OPEN
        await bench.pay_invoice(invoice.payment_request)
        assert await bench.node.invoice_status(invoice.payment_hash) is InvoiceStatus.PAID

    play(scene)


def test_a_paid_invoice_never_expires(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        await bench.pay_invoice(invoice.payment_request)
        bench.let_time_pass(2 * HOUR)
        assert await bench.node.invoice_status(invoice.payment_hash) is InvoiceStatus.PAID

    play(scene)


def test_an_expired_invoice_is_never_paid(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        bench.let_time_pass(HOUR)
        assert await bench.node.invoice_status(invoice.payment_hash) is InvoiceStatus.EXPIRED
        await bench.pay_invoice(invoice.payment_request)
        assert await bench.node.invoice_status(invoice.payment_hash) is InvoiceStatus.EXPIRED

    play(scene)


@pytest.mark.parametrize("text", ["", "hello", "lnsim1", "lnbc1qqq", "ĺnsim1"])
def test_a_text_that_is_no_payment_request_is_refused(play: Play, text: str) -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(InvalidPaymentRequestError):
            await bench.node.decode(text)

    play(scene)


def test_a_payment_that_nobody_asked_for_is_not_found(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay")
        assert await bench.node.payment_status(invoice.payment_hash) == Payment(PaymentStatus.NOT_FOUND)

    play(scene)


def test_a_payment_comes_with_its_proof(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay")
        payment = await bench.node.pay(invoice.payment_request)
        assert payment.status is PaymentStatus.PAID
        assert is_proof(payment.preimage, invoice.payment_hash)
        assert await bench.node.payment_status(invoice.payment_hash) == payment

    play(scene)


def test_a_hash_is_paid_once_however_often_it_is_asked(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay")
        payments = await asyncio.gather(*(bench.node.pay(invoice.payment_request) for _ in range(20)))
        assert {payment.status for payment in payments} == {PaymentStatus.PAID}
        assert await bench.paid_sat() == 1_000

    play(scene)


def test_a_payment_that_failed_stays_failed(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("fail")
        payment = await bench.node.pay(invoice.payment_request)
        assert payment.status is PaymentStatus.FAILED
        assert payment.reason
        assert await bench.node.pay(invoice.payment_request) == payment
        assert await bench.paid_sat() == 0

    play(scene)


def test_an_expired_request_fails_for_good(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay", expires_in=timedelta(0))
        assert (await bench.node.pay(invoice.payment_request)).status is PaymentStatus.FAILED
        assert await bench.paid_sat() == 0

    play(scene)


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("unknown_then_paid", PaymentStatus.PAID), ("unknown_then_failed", PaymentStatus.FAILED)],
)
def test_a_payment_without_an_answer_is_found_by_its_hash(play: Play, behaviour: str, status: PaymentStatus) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice(behaviour)
        with pytest.raises(LightningError):
            await bench.node.pay(invoice.payment_request)
        assert (await bench.node.payment_status(invoice.payment_hash)).status is status
        assert (await bench.node.pay(invoice.payment_request)).status is status

    play(scene)


def test_a_call_that_never_reached_the_node_can_be_made_again(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("lost_then_paid")
        with pytest.raises(LightningError):
            await bench.node.pay(invoice.payment_request)
        assert (await bench.node.payment_status(invoice.payment_hash)).status is PaymentStatus.NOT_FOUND
        assert (await bench.node.pay(invoice.payment_request)).status is PaymentStatus.PAID

    play(scene)
