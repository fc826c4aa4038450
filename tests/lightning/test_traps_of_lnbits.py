"""Where LNbits, asked directly, says what is not so: each test shows that first, and then what the adapter says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from domain.bitcoin import bolt11
from domain.bitcoin.adapters.lnbits import LnbitsNode
from domain.bitcoin.adapters.node_http import NodeHttp, NodeSetupError
from domain.bitcoin.adapters.worker import LightningWorker, Patience
from domain.bitcoin.messages import ExpireInvoice, SettleWithdrawal
from domain.bitcoin.ports import (
    InvoiceStatus,
    LightningError,
    NotSentError,
    Payment,
    PaymentStatus,
    Receipt,
)
from domain.bitcoin.tasks import PayInvoice, WatchInvoice
from spark_actors.kernel.tasks import NotYet
from tests.fixtures.lightning import MemoryPermits, MemoryStatement
from tests.lab.lightning.faulty_proxy import Fault, FaultyProxy
from tests.lab.lightning.lnbits_server import WAIT_SECONDS, LnbitsServer, Wallet
from tests.lab.lightning.network import LightningNetwork, OutsideInvoice
from tests.lightning.benches import FUNDS_SAT, HOUR, NETWORK, Bench, Keys, ended, lnbits_bench, paid_to_its_end

pytestmark = pytest.mark.timeout(600)  # the first test may have to install what it needs
T = TypeVar("T")
NOT_FOUND = Payment(PaymentStatus.NOT_FOUND)
OUTAGE_SECONDS = 10
"""Enough for LNbits to be down, and two payments."""


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

    def pay_once(self, text: str) -> Payment:
        """Where it stands then."""
        return self.do(lambda node: node.pay(text, fee_limit_sat=10))

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


def test_a_withdrawal_that_the_wallet_has_no_money_for_waits_and_says_so_and_is_paid_when_there_is_enough(
    shop: Shop, tmp_path: Path
) -> None:
    poor = lnbits_bench(shop.network, shop.lnbits, tmp_path, sat=0)
    pay = paying(shop.network.world.invoice(1_000))

    async def scene(node: LnbitsNode) -> None:
        worker = worker_on(node)
        for _ in range(3):
            answer = await worker.pay(pay)
            assert isinstance(answer, NotYet)
            assert "Insufficient balance" in answer.why
        assert poor.wallet
        await asyncio.to_thread(shop.lnbits.credit, poor.wallet, 1_100)
        assert not isinstance(await worker.pay(pay), NotYet)
        assert (await ended(node, pay.payment_hash)).status is PaymentStatus.PAID

    assert isinstance(poor.node, LnbitsNode)
    shop.do(scene, node=poor.node)
    assert shop.network.service.sends_of(pay.payment_hash) == 1


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


@dataclass(frozen=True)
class Outage:
    """LNbits was down while all this happened at its node."""

    shop: Shop
    in_time: str
    """Payment hash of a deposit that is still open when LNbits is back, and was paid; and so on."""
    too_late: str
    held: str
    """Of a payment that was on its way, and came to its end."""
    sends: int


@pytest.fixture(scope="module")
def outage(
    lightning_network: LightningNetwork, lnbits: LnbitsServer, tmp_path_factory: pytest.TempPathFactory
) -> Outage:
    world = lightning_network.world
    shop = Shop(lnbits_bench(lightning_network, lnbits, tmp_path_factory.mktemp("keys")), lnbits, lightning_network)
    in_time, too_late = lnbits.invoice(shop.wallet, 100), lnbits.invoice(shop.wallet, 100, seconds=OUTAGE_SECONDS)
    held = world.invoice(is_held=True)
    assert shop.do(lambda node: node.pay(held.payment_request, fee_limit_sat=10)).status is PaymentStatus.PENDING
    lnbits.kill()
    for row in (too_late, in_time):
        assert world.pay(row["bolt11"]) == "SUCCEEDED"
    world.hold(held.payment_hash, is_held=False)
    time.sleep(max(0.0, (bolt11.read(too_late["bolt11"]).expires_at - datetime.now(UTC)).total_seconds() + 1))
    lnbits.start()
    sends = lightning_network.service.sends_of(held.payment_hash)
    return Outage(shop, in_time["payment_hash"], too_late["payment_hash"], held.payment_hash, sends)


def test_a_deposit_that_is_paid_while_lnbits_is_down_is_there_if_that_is_up_before_it_expires(outage: Outage) -> None:
    assert outage.shop.receipt(outage.in_time) == Receipt(InvoiceStatus.PAID, 100)


def test_a_deposit_that_is_paid_while_lnbits_is_down_until_it_has_expired_is_lost_to_it_and_the_log_says_so(
    outage: Outage,
) -> None:
    at_node = outage.shop.network.service.get(f"/v1/invoice/{outage.too_late}")
    assert at_node["state"] == "SETTLED"
    assert outage.shop.receipt(outage.too_late) == Receipt(InvoiceStatus.EXPIRED)
    with capture_logs() as logs:
        answer = outage.shop.do(
            lambda node: worker_on(node).watch(WatchInvoice(invoice_id="d", payment_hash=outage.too_late))
        )
    assert isinstance(answer, list)
    assert answer[0] == ExpireInvoice(invoice_id="d")
    assert [line["payment_hash"] for line in logs if line["event"] == "deposit_expired_unseen"] == [outage.too_late]
    assert outage.shop.lnbits.look_up(outage.shop.wallet, outage.too_late)[1]["status"] == "failed"


def test_a_payment_that_ends_while_lnbits_is_down_is_paid_once(outage: Outage) -> None:
    assert outage.shop.do(lambda node: ended(node, outage.held)).status is PaymentStatus.PAID
    assert outage.sends == outage.shop.network.service.sends_of(outage.held) == 1


def paying(invoice: OutsideInvoice) -> PayInvoice:
    return PayInvoice(
        invoice_id="w",
        amount_sat=1_000,
        payment_hash=invoice.payment_hash,
        payment_request=invoice.payment_request,
        fee_limit_sat=10,
    )


def worker_on(node: LnbitsNode) -> LightningWorker:
    patience = Patience(invoice_expiry=HOUR, call_timeout=HOUR, look_up_timeout=HOUR, watch_expired=HOUR)
    return LightningWorker(
        node,
        MemoryPermits(),
        MemoryStatement(),
        bolt11.read,
        patience=patience,
        clock=lambda: datetime.now(UTC),
        telemetry=lambda event: None,
    )


@pytest.mark.long
def test_a_payment_under_way_takes_half_a_minute_to_look_up_and_nothing_else_waits_for_it(shop: Shop) -> None:
    held, deposit = shop.network.world.invoice(is_held=True), shop.lnbits.invoice(shop.wallet, 100)

    async def scene(node: LnbitsNode) -> None:
        assert (await node.pay(held.payment_request, fee_limit_sat=10)).status is PaymentStatus.PENDING
        begun = time.monotonic()
        code, row = await asyncio.to_thread(shop.lnbits.look_up, shop.wallet, held.payment_hash)
        assert (code, row["paid"]) == (200, False)
        assert time.monotonic() - begun > 25
        looking = asyncio.create_task(node.payment_status(held.payment_hash))
        assert await node.receipt(deposit["payment_hash"]) == Receipt(InvoiceStatus.OPEN)
        assert not looking.done()
        assert (await looking).status is PaymentStatus.PENDING
        shop.network.world.hold(held.payment_hash, is_held=False)
        assert (await ended(node, held.payment_hash)).status is PaymentStatus.PAID

    shop.do(scene)


def test_payments_that_are_slow_are_made_one_after_the_other_and_all_of_them_once(shop: Shop) -> None:
    world, service = shop.network.world, shop.network.service
    wallets = [shop.lnbits.wallet(f"slow {number}", FUNDS_SAT) for number in range(3)]
    hanging, invoices = ([world.invoice(is_held=True) for _ in range(3)] for _ in range(2))
    begun = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(shop.lnbits.pay, wallets, [each.payment_request for each in hanging]))
    assert [body["status"] for _, body in answers] == ["pending"] * 3
    assert time.monotonic() - begun > 3 * WAIT_SECONDS
    for each in hanging:
        world.cancel(each.payment_hash)

    async def scene(node: LnbitsNode) -> None:
        pays = (node.pay(each.payment_request, fee_limit_sat=10) for each in invoices)
        for payment in await asyncio.gather(*pays):
            assert payment.status is PaymentStatus.PENDING
        for each in invoices:
            await asyncio.to_thread(world.hold, each.payment_hash, is_held=False)
            assert (await ended(node, each.payment_hash)).status is PaymentStatus.PAID

    shop.do(scene)
    assert [service.sends_of(each.payment_hash) for each in invoices] == [1, 1, 1]


def test_what_never_came_to_the_node_is_pending_for_ever_and_never_called_failed(
    shop: Shop, lnbits_backend: FaultyProxy
) -> None:
    first, second = shop.network.world.invoice(), shop.network.world.invoice()
    with lnbits_backend.spoiling(Fault.LOST_CALL, "POST /v2/router/send"):
        shop.lnbits.pay(shop.direct, first.payment_request)
        assert shop.pay_once(second.payment_request).status is PaymentStatus.PENDING
    code, body = shop.lnbits.pay(shop.direct, first.payment_request)
    assert (code, body["status"], body["detail"]) == (520, "pending", "Payment is still pending.")
    assert shop.lnbits.look_up(shop.direct, first.payment_hash)[1]["status"] == "pending"
    assert shop.status(second.payment_hash).status is PaymentStatus.PENDING
    assert shop.pay_once(second.payment_request).status is PaymentStatus.PENDING
    sends_of = shop.network.service.sends_of
    assert sends_of(first.payment_hash) == sends_of(second.payment_hash) == 0


def test_what_lnbits_does_not_know_yet_is_not_never(shop: Shop, tmp_path: Path) -> None:
    invoice = shop.network.world.invoice()
    with closing(FaultyProxy(shop.lnbits.url)) as proxy:
        behind = lnbits_bench(shop.network, shop.lnbits, tmp_path, url=proxy.url)
        assert behind.wallet
        wallet = behind.wallet

        async def scene(node: LnbitsNode) -> None:
            worker = worker_on(node)
            pay = paying(invoice)
            with proxy.delaying("POST /api/v1/payments"):
                assert await worker.pay(pay) == [pay.then_look_up()]
                assert shop.lnbits.look_up(wallet, invoice.payment_hash)[0] == 404
                assert isinstance(await worker.look_up(pay.then_look_up()), NotYet)
            async with asyncio.timeout(60):
                while isinstance(answer := await worker.look_up(pay.then_look_up()), NotYet):
                    await asyncio.sleep(0.1)
            assert isinstance(answer[0], SettleWithdrawal)

        assert isinstance(behind.node, LnbitsNode)
        shop.do(scene, node=behind.node)
    assert shop.network.service.sends_of(invoice.payment_hash) == 1


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
