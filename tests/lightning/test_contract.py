"""What each real Lightning node promises behind its adapter, with payments over a real channel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest

from domain.bitcoin import bolt11
from domain.bitcoin.adapters import tuning
from domain.bitcoin.adapters.node_http import NodeSetupError
from domain.bitcoin.invoice import is_proof
from domain.bitcoin.ports import (
    InvoiceRefusedError,
    InvoiceStatus,
    LightningError,
    NodeInvoice,
    NotSentError,
    Payment,
    PaymentStatus,
    Receipt,
    Sent,
)
from tests.lab.lightning.network import LightningNetwork
from tests.lightning.benches import FUNDS_SAT, HOUR, NETWORK, Bench, lnbits_bench, lnd_bench, paid_to_its_end

pytestmark = pytest.mark.timeout(600)  # the first test may have to install what it needs
Scene: TypeAlias = Callable[[Bench], Awaitable[None]]
Play: TypeAlias = Callable[[Scene], None]
TOO_MUCH_SAT = 10_000_000_000_001
IDS = count()


@pytest.fixture(params=["lnbits", "lnd"])
def play(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Play:
    """Runs a scene with a node."""
    monkeypatch.setattr(tuning, "SETTLED_SECONDS", 0.5)
    monkeypatch.setattr(tuning, "FOLLOW_SECONDS", 2.0)
    if request.param == "lnbits":
        lab: LightningNetwork = request.getfixturevalue("lightning_network")
        bench = lnbits_bench(lab, request.getfixturevalue("lnbits"), tmp_path)
    else:
        bench = lnd_bench(request.getfixturevalue("lnd_network"), tmp_path)

    async def played(scene: Scene) -> None:
        try:
            await scene(bench)
        finally:
            await bench.node.close()

    return lambda scene: asyncio.run(played(scene))


async def an_invoice(bench: Bench, invoice_id: str = "", *, expires_in: timedelta = HOUR) -> NodeInvoice:
    name = invoice_id or f"i-{next(IDS)}-{datetime.now(UTC):%f}"
    return await bench.node.create_invoice(invoice_id=name, amount_sat=2_000, memo="m", expires_in=expires_in)


async def paid_by_world(bench: Bench, invoice: NodeInvoice) -> None:
    said = await asyncio.to_thread(bench.network.world.pay, invoice.payment_request)
    assert said == "SUCCEEDED"


async def becomes(look: Callable[[], Awaitable[Payment | Receipt]], status: PaymentStatus | InvoiceStatus) -> None:
    async with asyncio.timeout(60):
        while (await look()).status is not status:
            await asyncio.sleep(0.1)


def test_an_invoice_says_what_it_was_made_for(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        before = datetime.now(UTC)
        invoice = await an_invoice(bench)
        request = bolt11.read(invoice.payment_request)
        assert (request.network, request.amount_msat) == (NETWORK, 2_000_000)
        assert (request.payment_hash, request.expires_at) == (invoice.payment_hash, invoice.expires_at)
        assert abs(invoice.expires_at - before - HOUR) < timedelta(seconds=10)

    play(scene)


def test_a_memo_of_any_length_fits(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        made = await bench.node.create_invoice(invoice_id="long", amount_sat=1, memo="ü" * 640, expires_in=HOUR)
        assert (bolt11.read(made.payment_request).description or "").startswith("üü")

    play(scene)


@pytest.mark.parametrize("invoice_id", ["gift g 1", "a/b?c=d&e#f", "ü" * 200])
def test_any_id_of_ours_will_do(play: Play, invoice_id: str) -> None:
    async def scene(bench: Bench) -> None:
        assert (await an_invoice(bench, f"{invoice_id}{datetime.now(UTC):%f}")).payment_request

    play(scene)


def test_an_invoice_that_the_node_never_makes_is_refused_with_a_reason(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(InvoiceRefusedError) as refused:
            await bench.node.create_invoice(invoice_id="i", amount_sat=TOO_MUCH_SAT, memo="m", expires_in=HOUR)
        assert refused.value.reason == "amount_too_large"

    play(scene)


def test_an_invoice_that_was_asked_for_twice_can_be_paid(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        name = f"twice-{datetime.now(UTC):%f}"
        first, second = await an_invoice(bench, name), await an_invoice(bench, name)
        await paid_by_world(bench, second)
        assert (await bench.node.receipt(second.payment_hash)).status is InvoiceStatus.PAID
        other = await an_invoice(bench)
        assert other.payment_hash not in (first.payment_hash, second.payment_hash)

    play(scene)


def test_an_invoice_is_open_until_it_is_paid_and_then_says_what_came_in(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = await an_invoice(bench)
        assert await bench.node.receipt(invoice.payment_hash) == Receipt(InvoiceStatus.OPEN)
        await paid_by_world(bench, invoice)
        assert await bench.node.receipt(invoice.payment_hash) == Receipt(InvoiceStatus.PAID, 2_000)

    play(scene)


def test_an_expired_invoice_is_not_paid_and_a_paid_one_does_not_expire(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        short = timedelta(seconds=3)
        paid, unpaid = await an_invoice(bench, expires_in=short), await an_invoice(bench, expires_in=short)
        await paid_by_world(bench, paid)
        await becomes(lambda: bench.node.receipt(unpaid.payment_hash), InvoiceStatus.EXPIRED)
        said = await asyncio.to_thread(bench.network.world.pay, unpaid.payment_request)
        assert "expired" in said
        assert (await bench.node.receipt(unpaid.payment_hash)).status is InvoiceStatus.EXPIRED
        assert (await bench.node.receipt(paid.payment_hash)).status is InvoiceStatus.PAID

    play(scene)


def test_of_an_invoice_that_was_not_made_there_nothing_is_known(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(LightningError):
            await bench.node.receipt("ab" * 32)

    play(scene)


def test_what_was_received_is_told_once_each_in_order_and_again_from_the_beginning(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        before = (await all_received(bench, ""))[1]
        unpaid = await an_invoice(bench)
        paid = [await an_invoice(bench) for _ in range(3)]
        for invoice in paid:
            await paid_by_world(bench, invoice)
        hashes, cursor = await all_received(bench, before)
        assert hashes == [invoice.payment_hash for invoice in paid]
        assert not (await bench.node.received(cursor)).payment_hashes
        late = await an_invoice(bench)
        await paid_by_world(bench, late)
        assert list((await bench.node.received(cursor)).payment_hashes) == [late.payment_hash]
        everything, _ = await all_received(bench, "")
        assert {*hashes, late.payment_hash} <= set(everything)
        assert unpaid.payment_hash not in everything

    play(scene)


async def all_received(bench: Bench, cursor: str) -> tuple[list[str], str]:
    hashes: list[str] = []
    while (found := await bench.node.received(cursor)).payment_hashes:
        hashes += found.payment_hashes
        cursor = found.cursor
    return hashes, found.cursor


def test_a_payment_that_nobody_asked_for_is_not_found(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.network.world.invoice()
        assert await bench.node.payment_status(invoice.payment_hash) == Payment(PaymentStatus.NOT_FOUND)

    play(scene)


def test_a_payment_comes_with_its_proof_and_costs_what_it_says(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.network.world.invoice(1_000)
        before = await bench.node.balance_sat()
        payment = await paid_to_its_end(bench.node, invoice.payment_request)
        assert payment.status is PaymentStatus.PAID
        assert is_proof(payment.preimage, invoice.payment_hash)
        assert payment.fee_sat <= 10
        assert await bench.node.payment_status(invoice.payment_hash) == payment
        assert await bench.node.balance_sat() == before - 1_000 - payment.fee_sat

    play(scene)


def test_a_hash_is_paid_once_however_often_it_is_asked(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.network.world.invoice()
        sends = bench.network.service.sends
        pay = bench.node.pay
        asked = await asyncio.gather(*(pay(invoice.payment_request, fee_limit_sat=10) for _ in range(6)))
        assert {payment.status for payment in asked} <= {PaymentStatus.PAID, PaymentStatus.PENDING}
        assert (await paid_to_its_end(bench.node, invoice.payment_request)).status is PaymentStatus.PAID
        assert bench.network.service.sends == sends + 1

    play(scene)


def test_a_payment_that_is_refused_has_failed_and_only_where_that_is_not_final_is_it_sent_again(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.network.world.refused_invoice()
        sends = bench.network.service.sends
        payment = await paid_to_its_end(bench.node, invoice.payment_request)
        assert payment.status is PaymentStatus.FAILED
        assert re.fullmatch("[a-z_]+", payment.reason)
        assert await bench.node.payment_status(invoice.payment_hash) == payment
        assert await paid_to_its_end(bench.node, invoice.payment_request) == payment
        assert bench.network.service.sends == sends + (1 if bench.node.has_sticky_failures else 2)

    play(scene)


async def all_sent(bench: Bench, cursor: str) -> tuple[list[Sent], str]:
    payments: list[Sent] = []
    while (found := await bench.node.sent(cursor)).cursor != cursor:
        payments += found.payments
        cursor = found.cursor
    return payments, cursor


def test_what_was_paid_is_told_once_with_amount_and_fee_and_again_from_the_beginning(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SENT_AT_ONCE", 2)

    async def scene(bench: Bench) -> None:
        world = bench.network.world
        _, before = await all_sent(bench, "")
        paid = []
        for amount_sat in (1_000, 7, 100):
            invoice = world.invoice(amount_sat)
            payment = await paid_to_its_end(bench.node, invoice.payment_request)
            assert payment.status is PaymentStatus.PAID
            paid.append(Sent(invoice.payment_hash, amount_sat, payment.fee_sat))
        refused = world.refused_invoice()
        assert (await paid_to_its_end(bench.node, refused.payment_request)).status is PaymentStatus.FAILED
        told, cursor = await all_sent(bench, before)
        assert told == paid
        assert not (await bench.node.sent(cursor)).payments
        everything, _ = await all_sent(bench, "")
        assert [each for each in everything if each in paid] == paid
        assert refused.payment_hash not in {each.payment_hash for each in everything}

    play(scene)


def test_a_payment_that_others_overtake_is_told_when_it_is_taken(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FOLLOW_SECONDS", 0.5)

    async def scene(bench: Bench) -> None:
        world = bench.network.world
        _, before = await all_sent(bench, "")
        held, quick = world.invoice(is_held=True), world.invoice()
        assert (await bench.node.pay(held.payment_request, fee_limit_sat=10)).status is PaymentStatus.PENDING
        assert (await paid_to_its_end(bench.node, quick.payment_request)).status is PaymentStatus.PAID
        told, cursor = await all_sent(bench, before)
        assert [each.payment_hash for each in told] == [quick.payment_hash]
        world.hold(held.payment_hash, is_held=False)
        await becomes(lambda: bench.node.payment_status(held.payment_hash), PaymentStatus.PAID)
        told, _ = await all_sent(bench, cursor)
        assert [each.payment_hash for each in told] == [held.payment_hash]

    play(scene)


@pytest.mark.parametrize("end", [PaymentStatus.PAID, PaymentStatus.FAILED])
def test_a_payment_is_pending_until_the_other_side_takes_or_refuses_it(
    play: Play, end: PaymentStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "FOLLOW_SECONDS", 0.5)

    async def scene(bench: Bench) -> None:
        world = bench.network.world
        invoice = world.invoice(is_held=True)
        sends = bench.network.service.sends
        assert (await bench.node.pay(invoice.payment_request, fee_limit_sat=10)).status is PaymentStatus.PENDING
        assert (await bench.node.pay(invoice.payment_request, fee_limit_sat=10)).status is PaymentStatus.PENDING
        if end is PaymentStatus.PAID:
            world.hold(invoice.payment_hash, is_held=False)
        else:
            world.cancel(invoice.payment_hash)
        await becomes(lambda: bench.node.payment_status(invoice.payment_hash), end)
        assert bench.network.service.sends == sends + 1

    play(scene)


def test_what_the_node_has_no_money_for_is_not_sent_and_not_failed(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        amount = FUNDS_SAT if bench.wallet else await bench.node.balance_sat()
        invoice = bench.network.world.invoice(amount)
        with pytest.raises(NotSentError, match="sat"):
            await bench.node.pay(invoice.payment_request, fee_limit_sat=amount // 100)
        assert (await bench.node.payment_status(invoice.payment_hash)).status is PaymentStatus.NOT_FOUND

    play(scene)


def test_an_expired_request_is_not_sent(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        invoice = bench.network.world.invoice(seconds=1)
        sends = bench.network.service.sends
        await asyncio.sleep((bolt11.read(invoice.payment_request).expires_at - datetime.now(UTC)).total_seconds() + 1)
        with pytest.raises(NotSentError, match="expired"):
            await bench.node.pay(invoice.payment_request, fee_limit_sat=10)
        assert await bench.node.payment_status(invoice.payment_hash) == Payment(PaymentStatus.NOT_FOUND)
        assert bench.network.service.sends == sends

    play(scene)


def test_the_check_tells_network_and_balance_and_refuses_another_network(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        told = await bench.node.check()
        assert NETWORK in told
        assert f"{await bench.node.balance_sat():,} sat" in told
        bench.node.network = "bc"
        with pytest.raises(NodeSetupError, match=NETWORK):
            await bench.node.check()

    play(scene)
