"""Where LNbits, asked directly, says what is not so: each test shows that first, and then what the adapter says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from domain.bitcoin import bolt11
from domain.bitcoin.adapters.lnbits import LnbitsNode
from domain.bitcoin.adapters.node_http import NodeHttp, NodeSetupError
from domain.bitcoin.ports import (
    InvoiceStatus,
    LightningError,
    NotSentError,
    Payment,
    PaymentStatus,
    Receipt,
)
from tests.lab.lightning.lnbits_server import LnbitsServer, Wallet
from tests.lab.lightning.network import LightningNetwork
from tests.lightning.benches import FUNDS_SAT, HOUR, NETWORK, Bench, Keys, lnbits_bench, paid_to_its_end

pytestmark = pytest.mark.timeout(600)  # the first test may have to install what it needs
T = TypeVar("T")
NOT_FOUND = Payment(PaymentStatus.NOT_FOUND)


class Shop:
    """The adapter on a wallet, and beside it the wallet of a neighbour and one that is asked directly."""

    def __init__(self, bench: Bench, lnbits: LnbitsServer, network: LightningNetwork) -> None:
        assert bench.wallet
        self.node, self.wallet = bench.node, bench.wallet
        self.lnbits, self.network = lnbits, network
        self.neighbour = lnbits.wallet("neighbour", 0)
        self.direct = lnbits.wallet("direct", FUNDS_SAT)

    def expired_invoice(self) -> Any:
        """The neighbour's."""
        row = self.lnbits.invoice(self.neighbour, 100, seconds=1)
        time.sleep(1.5)
        return row

    def do(self, asked: Callable[[LnbitsNode], Awaitable[T]], *, node: LnbitsNode | None = None) -> T:
        """Ask the adapter."""
        subject = node or self.node
        assert isinstance(subject, LnbitsNode)

        async def done() -> T:
            try:
                return await asked(subject)
            finally:
                await subject.close()

        return asyncio.run(done())

    def pay(self, text: str) -> Payment:
        return self.do(lambda node: paid_to_its_end(node, text))

    def status(self, payment_hash: str) -> Payment:
        return self.do(lambda node: node.payment_status(payment_hash))

    def receipt(self, payment_hash: str) -> Receipt:
        return self.do(lambda node: node.receipt(payment_hash))


@pytest.fixture
def shop(lightning_network: LightningNetwork, lnbits: LnbitsServer, tmp_path: Path) -> Shop:
    return Shop(lnbits_bench(lightning_network, lnbits, tmp_path), lnbits, lightning_network)


def test_what_was_paid_inside_is_called_failed_when_it_is_asked_again(shop: Shop) -> None:
    row = shop.lnbits.invoice(shop.neighbour, 100)
    first = shop.pay(row["bolt11"])
    assert first.status is PaymentStatus.PAID
    code, body = shop.lnbits.pay(shop.wallet, row["bolt11"])
    assert (code, body["status"], body["detail"]) == (520, "failed", "Internal invoice already paid.")
    assert shop.status(row["payment_hash"]) == first
    assert shop.pay(row["bolt11"]) == first


def test_an_expired_invoice_of_a_neighbour_is_answered_with_the_neighbours_row(shop: Shop, tmp_path: Path) -> None:
    row = shop.expired_invoice()
    shop.network.service.hold(row["payment_hash"], is_held=True)  # the node has not given it up yet
    shop.lnbits.look_up(shop.neighbour, row["payment_hash"])
    code, body = shop.lnbits.pay(shop.direct, row["bolt11"])
    assert (code, body["status"], body["amount"]) == (201, "failed", 100_000)
    assert bolt11_proof(body)
    with pytest.raises(NotSentError, match="expired"):
        shop.pay(row["bolt11"])
    late = Shop(
        lnbits_bench(shop.network, shop.lnbits, tmp_path, clock=lambda: datetime.now(UTC) - HOUR),
        shop.lnbits,
        shop.network,
    )
    with pytest.raises(LightningError) as raised:
        late.pay(row["bolt11"])
    assert not isinstance(raised.value, NotSentError)
    assert late.status(row["payment_hash"]) == NOT_FOUND


def bolt11_proof(row: Any) -> bool:
    """Whether LNbits gives away a preimage."""
    return len(row["preimage"] or "") == 64


def test_an_expired_invoice_of_a_neighbour_that_nobody_has_looked_at_is_paid(shop: Shop) -> None:
    code, body = shop.lnbits.pay(shop.direct, shop.expired_invoice()["bolt11"])
    assert (code, body["status"]) == (201, "success")
    row = shop.expired_invoice()
    with pytest.raises(NotSentError, match="expired"):
        shop.pay(row["bolt11"])
    assert shop.status(row["payment_hash"]) == NOT_FOUND


def test_of_an_invoice_of_its_own_the_look_up_tells_one_of_two_rows(shop: Shop) -> None:
    row = shop.lnbits.invoice(shop.wallet, 100)
    name = row["payment_hash"]
    assert shop.lnbits.look_up(shop.wallet, name)[1]["details"]["amount"] == 100_000
    assert shop.status(name) == NOT_FOUND
    assert shop.receipt(name) == Receipt(InvoiceStatus.OPEN)
    assert shop.pay(row["bolt11"]).status is PaymentStatus.PAID
    assert shop.lnbits.look_up(shop.wallet, name)[1]["details"]["amount"] == -100_000
    assert shop.status(name).status is PaymentStatus.PAID
    assert shop.receipt(name) == Receipt(InvoiceStatus.PAID, 100)


def test_a_wallet_without_money_is_called_a_failed_payment(
    shop: Shop, lightning_network: LightningNetwork, tmp_path: Path
) -> None:
    poor = Shop(lnbits_bench(lightning_network, shop.lnbits, tmp_path, sat=0), shop.lnbits, lightning_network)
    invoice = lightning_network.world.invoice(1_000)
    code, body = shop.lnbits.pay(poor.wallet, invoice.payment_request)
    assert (code, body["status"], body["detail"]) == (520, "failed", "Insufficient balance.")
    assert shop.lnbits.look_up(poor.wallet, invoice.payment_hash)[0] == 404
    with pytest.raises(NotSentError, match="Insufficient balance"):
        poor.pay(invoice.payment_request)
    assert poor.status(invoice.payment_hash) == NOT_FOUND
    shop.lnbits.credit(poor.wallet, 1_001)
    with pytest.raises(NotSentError, match="You must reserve at least"):
        poor.pay(invoice.payment_request)
    shop.lnbits.credit(poor.wallet, 100)
    assert poor.pay(invoice.payment_request).status is PaymentStatus.PAID


def test_the_expiry_of_a_new_invoice_is_told_in_a_time_without_a_zone(shop: Shop) -> None:
    row = shop.lnbits.invoice(shop.wallet, 100)
    told = datetime.fromisoformat(row["expiry"])
    assert told.tzinfo is None
    assert told.replace(tzinfo=UTC) - bolt11.read(row["bolt11"]).expires_at == timedelta(hours=9)
    made = shop.do(lambda node: node.create_invoice(invoice_id="i", amount_sat=1, memo="m", expires_in=HOUR))
    assert abs(made.expires_at - datetime.now(UTC) - HOUR) < timedelta(seconds=10)


def test_to_look_an_expired_invoice_up_calls_it_failed_for_good_whatever_the_node_says(shop: Shop) -> None:
    looked_up, left_alone = (shop.lnbits.invoice(shop.wallet, 100, seconds=1) for _ in range(2))
    time.sleep(1.5)
    assert shop.lnbits.look_up(shop.wallet, looked_up["payment_hash"])[1]["status"] == "failed"
    assert shop.receipt(left_alone["payment_hash"]) == Receipt(InvoiceStatus.EXPIRED)
    assert [row["status"] for row in shop.lnbits.rows(shop.wallet, left_alone["payment_hash"])] == ["pending"]


def test_the_list_of_payments_leaves_out_those_that_have_failed(shop: Shop) -> None:
    invoice = shop.network.world.refused_invoice()
    assert shop.pay(invoice.payment_request).status is PaymentStatus.FAILED
    _, rows = shop.lnbits.ask("GET", f"/api/v1/payments?payment_hash={invoice.payment_hash}", key=shop.wallet.admin_key)
    assert rows == []
    assert shop.status(invoice.payment_hash).status is PaymentStatus.FAILED


def test_a_limit_for_the_fee_below_that_of_lnbits_is_kept_by_not_sending(shop: Shop) -> None:
    invoice = shop.network.world.invoice(1_000)
    with pytest.raises(NotSentError, match="LNBITS_RESERVE_FEE"):
        shop.do(lambda node: node.pay(invoice.payment_request, fee_limit_sat=9))
    assert shop.status(invoice.payment_hash) == NOT_FOUND
    assert shop.pay(invoice.payment_request).status is PaymentStatus.PAID


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda wallet, other: replace(wallet, admin_key=wallet.invoice_key), "cannot pay"),
        (lambda wallet, other: replace(wallet, invoice_key=wallet.admin_key), "holds the admin key"),
        (lambda wallet, other: replace(wallet, invoice_key=other.invoice_key), "of two wallets"),
        (lambda wallet, other: replace(wallet, admin_key="0" * 32), "knows no wallet"),
    ],
    ids=["invoice key to pay with", "admin key for invoices", "two wallets", "unknown key"],
)
def test_the_check_says_which_key_is_wrong_and_shows_none(
    shop: Shop, tmp_path: Path, change: Callable[[Wallet, Wallet], Wallet], why: str
) -> None:
    wallet, keys = change(shop.wallet, shop.neighbour), Keys(tmp_path)
    node = LnbitsNode(
        NodeHttp(shop.lnbits.url),
        admin_key=keys.file("admin_key_file", wallet.admin_key.encode()),
        invoice_key=keys.file("invoice_key_file", wallet.invoice_key.encode()),
        network=NETWORK,
        clock=lambda: datetime.now(UTC),
    )
    with pytest.raises(NodeSetupError, match=why) as raised:
        shop.do(lambda node: node.check(), node=node)
    assert wallet.admin_key not in str(raised.value)
    assert wallet.invoice_key not in str(raised.value)
