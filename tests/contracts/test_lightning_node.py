"""What every LightningNode promises, run on each adapter."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
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
    InvoiceRefusedError,
    InvoiceStatus,
    LightningError,
    LightningNode,
    NodeInvoice,
    NotSentError,
    Outgoing,
    Payment,
    PaymentStatus,
    Receipt,
    Sent,
)
from spark_actors.persistence.connections import make_pool
from tests.fixtures.lightning import MemoryNodeBooks

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEE_LIMIT_SAT = 20


class Bench(Protocol):
    """A node with a hand on its network and its clock."""

    node: LightningNode
    largest_invoice_sat: int
    """The node makes no invoice of more."""

    def outsider_invoice(
        self, behaviour: str, *, amount_sat: int = 1_000, expires_in: timedelta = HOUR
    ) -> SimulatedInvoice:
        """An invoice of somebody else, which when paid behaves so."""

    async def pay_invoice(self, payment_request: str, received_sat: int | None = None) -> None:
        """Somebody else pays an invoice of the node; with so much, if it is given, even when it has expired."""

    async def release(self, payment_hash: str) -> None:
        """Who holds this payment takes it."""

    def let_time_pass(self, time: timedelta) -> None: ...
    async def paid_sat(self) -> int:
        """What has left the node, beside fees."""

    async def pay(self, payment_request: str) -> Payment:
        """The node is asked to pay, with room for the fee."""


class SimulatedBench:
    def __init__(self, books: NodeBooks) -> None:
        self._now = START
        self._nonces = count()
        self.largest_invoice_sat = 1_000_000
        settings = SimulatedSettings(payment_delay=None, largest_invoice_sat=self.largest_invoice_sat, fee_sat=3)
        self._simulated = SimulatedLightningNode(books, settings, clock=lambda: self._now, random=Random(1))
        self.node: LightningNode = self._simulated

    def outsider_invoice(
        self, behaviour: str, *, amount_sat: int = 1_000, expires_in: timedelta = HOUR
    ) -> SimulatedInvoice:
        nonce = str(next(self._nonces))
        return simulated_invoice(amount_sat, self._now + expires_in, nonce=nonce, behaviour=behaviour)

    async def pay_invoice(self, payment_request: str, received_sat: int | None = None) -> None:
        await self._simulated.receive(payment_request, received_sat)

    async def release(self, payment_hash: str) -> None:
        await self._simulated.release(payment_hash)

    def let_time_pass(self, time: timedelta) -> None:
        self._now += time

    async def paid_sat(self) -> int:
        return (await self._simulated.books()).paid_sat

    async def pay(self, payment_request: str) -> Payment:
        return await self.node.pay(payment_request, fee_limit_sat=FEE_LIMIT_SAT)


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


async def status_of(bench: Bench, invoice: NodeInvoice) -> InvoiceStatus:
    return (await bench.node.receipt(invoice.payment_hash)).status


def test_the_network_is_one_that_payment_requests_name(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        assert bench.node.network in ("bc", "tb", "tbs", "bcrt")

    play(scene)


def test_an_invoice_expires_when_it_was_asked_to(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        assert abs(invoice.expires_at - (START + HOUR)) <= timedelta(seconds=2)
        assert re.fullmatch("[0-9a-f]{64}", invoice.payment_hash)

    play(scene)


def test_an_invoice_that_the_node_never_makes_is_refused_with_a_reason_however_often(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        too_large = bench.largest_invoice_sat + 1
        for _ in range(2):
            with pytest.raises(InvoiceRefusedError) as refused:
                await bench.node.create_invoice(invoice_id="i-1", amount_sat=too_large, memo="m", expires_in=HOUR)
            assert pickle.loads(pickle.dumps(refused.value)).reason == refused.value.reason
            assert re.fullmatch("[a-z_]+", refused.value.reason)
        await bench.node.create_invoice(
            invoice_id="i-2", amount_sat=bench.largest_invoice_sat, memo="m", expires_in=HOUR
        )

    play(scene)


def test_an_invoice_that_was_paid_once_is_not_paid_by_the_node_again(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        await bench.pay_invoice(invoice.payment_request)
        assert (await bench.pay(invoice.payment_request)).status is PaymentStatus.FAILED
        own = await an_invoice(bench, "i-2")
        assert (await bench.pay(own.payment_request)).status is PaymentStatus.PAID
        assert await status_of(bench, own) is InvoiceStatus.PAID
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
        assert await status_of(bench, invoice) is InvoiceStatus.OPEN
        await bench.pay_invoice(invoice.payment_request)
        assert await status_of(bench, invoice) is InvoiceStatus.PAID

    play(scene)


def test_a_paid_invoice_never_expires(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        await bench.pay_invoice(invoice.payment_request)
        bench.let_time_pass(2 * HOUR)
        assert await status_of(bench, invoice) is InvoiceStatus.PAID

    play(scene)


def test_an_expired_invoice_is_never_paid(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        bench.let_time_pass(HOUR)
        assert await status_of(bench, invoice) is InvoiceStatus.EXPIRED
        await bench.pay_invoice(invoice.payment_request)
        assert await status_of(bench, invoice) is InvoiceStatus.EXPIRED

    play(scene)


def test_more_than_was_asked_for_is_told_as_it_arrived(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        exact, over = await an_invoice(bench, "i-1"), await an_invoice(bench, "i-2")
        await bench.pay_invoice(exact.payment_request)
        await bench.pay_invoice(over.payment_request, 3_999)
        assert await bench.node.receipt(exact.payment_hash) == Receipt(InvoiceStatus.PAID, 2_000)
        assert await bench.node.receipt(over.payment_hash) == Receipt(InvoiceStatus.PAID, 3_999)

    play(scene)


def test_an_invoice_that_was_paid_late_after_all_is_paid(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        bench.let_time_pass(HOUR)
        assert await bench.node.receipt(invoice.payment_hash) == Receipt(InvoiceStatus.EXPIRED)
        await bench.pay_invoice(invoice.payment_request, 2_000)
        assert await bench.node.receipt(invoice.payment_hash) == Receipt(InvoiceStatus.PAID, 2_000)

    play(scene)


def test_what_came_in_is_told_from_the_beginning_and_nothing_is_left_out(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.node.received("")).payment_hashes == []
        paid, told, cursor = [], set(), ""
        for number in range(5):
            invoice = await an_invoice(bench, f"i-{number}")
            await an_invoice(bench, f"unpaid-{number}")
            await bench.pay_invoice(invoice.payment_request)
            paid.append(invoice.payment_hash)
            bench.let_time_pass(timedelta(seconds=20 * number))
            if number % 2:
                incoming = await bench.node.received(cursor)
                told |= set(incoming.payment_hashes)
                cursor = incoming.cursor
        late = await an_invoice(bench, "late")
        bench.let_time_pass(2 * HOUR)
        await bench.pay_invoice(late.payment_request, 2_000)
        bench.let_time_pass(timedelta(minutes=1))
        incoming = await bench.node.received(cursor)
        assert told | set(incoming.payment_hashes) == {*paid, late.payment_hash}
        assert set((await bench.node.received("")).payment_hashes) == {*paid, late.payment_hash}
        bench.let_time_pass(HOUR)
        later = await bench.node.received(incoming.cursor)
        assert not set((await bench.node.received(later.cursor)).payment_hashes) & told

    play(scene)


def test_a_payment_that_nobody_asked_for_is_not_found(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay")
        assert await bench.node.payment_status(invoice.payment_hash) == Payment(PaymentStatus.NOT_FOUND)

    play(scene)


def test_a_payment_comes_with_its_proof(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay")
        payment = await bench.pay(invoice.payment_request)
        assert payment.status is PaymentStatus.PAID
        assert is_proof(payment.preimage, invoice.payment_hash)
        assert await bench.node.payment_status(invoice.payment_hash) == payment

    play(scene)


def test_a_hash_is_paid_once_however_often_it_is_asked(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay")
        payments = await asyncio.gather(*(bench.pay(invoice.payment_request) for _ in range(20)))
        assert {payment.status for payment in payments} == {PaymentStatus.PAID}
        assert await bench.paid_sat() == 1_000

    play(scene)


def test_a_payment_that_failed_stays_failed_until_it_is_asked_for_again(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        for behaviour in ("fail", "fail_then_pay"):
            invoice = bench.outsider_invoice(behaviour)
            payment = await bench.pay(invoice.payment_request)
            assert payment.status is PaymentStatus.FAILED
            assert re.fullmatch("[a-z_]+", payment.reason)
            bench.let_time_pass(timedelta(minutes=10))
            assert await bench.node.payment_status(invoice.payment_hash) == payment
        assert await bench.paid_sat() == 0

    play(scene)


def test_what_has_failed_may_be_paid_when_it_is_asked_for_again_unless_failures_are_sticky(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("fail_then_pay")
        assert (await bench.pay(invoice.payment_request)).status is PaymentStatus.FAILED
        again = (await bench.pay(invoice.payment_request)).status
        assert again is (PaymentStatus.FAILED if bench.node.has_sticky_failures else PaymentStatus.PAID)

    play(scene)


def test_an_expired_request_is_not_paid(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("pay", expires_in=timedelta(0))
        assert (await bench.pay(invoice.payment_request)).status is PaymentStatus.FAILED
        assert await bench.paid_sat() == 0

    play(scene)


def test_a_payment_that_is_held_is_pending_and_not_sent_again_until_it_is_taken(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("held")
        assert (await bench.pay(invoice.payment_request)).status is PaymentStatus.PENDING
        bench.let_time_pass(2 * HOUR)  # the request has expired meanwhile
        assert (await bench.pay(invoice.payment_request)).status is PaymentStatus.PENDING
        await bench.release(invoice.payment_hash)
        assert (await bench.node.payment_status(invoice.payment_hash)).status is PaymentStatus.PAID
        assert await bench.paid_sat() == 1_000

    play(scene)


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("unknown_then_paid", PaymentStatus.PAID), ("unknown_then_failed", PaymentStatus.FAILED)],
)
def test_a_payment_without_an_answer_is_found_by_its_hash(play: Play, behaviour: str, status: PaymentStatus) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice(behaviour)
        with pytest.raises(LightningError) as unknown:
            await bench.pay(invoice.payment_request)
        assert not isinstance(unknown.value, NotSentError)
        assert (await bench.node.payment_status(invoice.payment_hash)).status is status

    play(scene)


def test_of_a_call_that_never_reached_the_node_nobody_knows(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("lost_then_paid")
        with pytest.raises(LightningError) as unknown:
            await bench.pay(invoice.payment_request)
        assert not isinstance(unknown.value, NotSentError)
        assert (await bench.node.payment_status(invoice.payment_hash)).status is PaymentStatus.NOT_FOUND

    play(scene)


def test_a_call_for_which_certainly_nothing_is_sent_says_so_and_can_be_made_again(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.outsider_invoice("refused_then_paid")
        with pytest.raises(NotSentError):
            await bench.pay(invoice.payment_request)
        assert (await bench.node.payment_status(invoice.payment_hash)).status is PaymentStatus.NOT_FOUND
        assert await bench.paid_sat() == 0
        assert (await bench.pay(invoice.payment_request)).status is PaymentStatus.PAID

    play(scene)


def test_no_more_than_the_limit_is_paid_for_the_route(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        dear, fair = bench.outsider_invoice("pay"), bench.outsider_invoice("pay")
        assert (await bench.node.pay(dear.payment_request, fee_limit_sat=0)).status is PaymentStatus.FAILED
        payment = await bench.pay(fair.payment_request)
        assert 0 < payment.fee_sat <= FEE_LIMIT_SAT
        assert await bench.node.payment_status(fair.payment_hash) == payment

    play(scene)


def test_what_was_paid_is_told_with_its_fee_and_the_place_goes_on(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.node.sent("") == Outgoing([], "")
        held, slow = bench.outsider_invoice("held"), bench.outsider_invoice("slow")
        first, second = bench.outsider_invoice("pay"), bench.outsider_invoice("pay", amount_sat=7)
        await bench.pay(held.payment_request)
        for behaviour in ("fail", "lost_then_paid"):
            with suppress(LightningError):
                await bench.pay(bench.outsider_invoice(behaviour).payment_request)
        fee_sat = (await bench.pay(first.payment_request)).fee_sat
        bench.let_time_pass(timedelta(minutes=1))
        told = await bench.node.sent("")
        assert told.payments == [Sent(first.payment_hash, 1_000, fee_sat)]
        assert await bench.node.sent(told.cursor) == Outgoing([], told.cursor)
        await bench.pay(second.payment_request)
        await bench.release(held.payment_hash)
        await bench.pay(slow.payment_request)
        bench.let_time_pass(timedelta(minutes=1))
        later = await bench.node.sent(told.cursor)
        assert {each.payment_hash: each.amount_sat for each in later.payments} == {
            second.payment_hash: 7,
            held.payment_hash: 1_000,
            slow.payment_hash: 1_000,
        }

    play(scene)


def test_the_balance_is_what_is_left_of_what_came_in_and_went_out(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        before = await bench.node.balance_sat()
        invoice = await an_invoice(bench)
        await bench.pay_invoice(invoice.payment_request)
        assert await bench.node.balance_sat() == before + 2_000
        payment = await bench.pay(bench.outsider_invoice("pay").payment_request)
        await bench.pay(bench.outsider_invoice("fail").payment_request)
        assert await bench.node.balance_sat() == before + 2_000 - 1_000 - payment.fee_sat
        await bench.pay(bench.outsider_invoice("held").payment_request)
        assert await bench.node.balance_sat() <= before + 2_000 - 2_000 - payment.fee_sat

    play(scene)
