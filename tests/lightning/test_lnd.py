"""What is LND's own: its rights, invoices that are made once, and the order of what was settled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from domain.bitcoin.adapters import tuning
from domain.bitcoin.adapters.lnd import LndNode
from domain.bitcoin.adapters.node_http import NodeHttp, NodeSetupError
from domain.bitcoin.ports import NodeInvoice, NotSentError, Payment, PaymentStatus
from tests.lab.lightning.network import MACAROON, READ_ONLY_MACAROON, LightningNetwork
from tests.lightning.benches import HOUR, NETWORK, Keys

pytestmark = pytest.mark.timeout(600)  # the first test may have to install what it needs
T = TypeVar("T")
Ask = Callable[[Callable[[LndNode], Awaitable[T]]], T]


def asked(
    network: LightningNetwork, folder: Path, ask: Callable[[LndNode], Awaitable[T]], *, macaroon: bytes = MACAROON
) -> T:
    async def done() -> T:
        file = Keys(folder).file("lnd.macaroon_file", macaroon)
        node = LndNode(NodeHttp(network.service.url), macaroon=file, network=NETWORK)
        try:
            return await ask(node)
        finally:
            await node.close()

    return asyncio.run(done())


def test_the_same_invoice_is_made_once_for_the_same_id_and_macaroon(
    lightning_network: LightningNetwork, tmp_path: Path
) -> None:
    name = f"once-{datetime.now(UTC)}"

    async def made(node: LndNode) -> tuple[NodeInvoice, NodeInvoice]:
        first = await node.create_invoice(invoice_id=name, amount_sat=7, memo="m", expires_in=HOUR)
        return first, await node.create_invoice(invoice_id=name, amount_sat=7, memo="m", expires_in=HOUR)

    first, second = asked(lightning_network, tmp_path, made)
    assert first == second


@pytest.mark.parametrize(
    ("macaroon", "right"),
    [(READ_ONLY_MACAROON, "invoices:write"), (b"of another node", "info:read")],
    ids=["it may only read", "it is another node's"],
)
def test_the_check_says_which_right_the_macaroon_lacks(
    lightning_network: LightningNetwork, tmp_path: Path, macaroon: bytes, right: str
) -> None:
    with pytest.raises(NodeSetupError, match=right) as raised:
        asked(lightning_network, tmp_path, lambda node: node.check(), macaroon=macaroon)
    assert macaroon.hex() not in str(raised.value)


def test_a_macaroon_that_may_not_pay_sends_nothing_for_certain(
    lightning_network: LightningNetwork, tmp_path: Path
) -> None:
    invoice = lightning_network.world.invoice()

    async def paid(node: LndNode) -> Payment:
        return await node.pay(invoice.payment_request, fee_limit_sat=10)

    with pytest.raises(NotSentError, match="permission denied"):
        asked(lightning_network, tmp_path, paid, macaroon=READ_ONLY_MACAROON)
    found = asked(lightning_network, tmp_path, lambda node: node.payment_status(invoice.payment_hash))
    assert found == Payment(PaymentStatus.NOT_FOUND)


def test_more_than_is_told_at_once_is_told_in_several_calls_from_the_very_first_on(
    lightning_network: LightningNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SETTLED_SECONDS", 0.5)
    monkeypatch.setattr(tuning, "RECEIVED_AT_ONCE", 2)
    for _ in range(3):
        lightning_network.world.pay(lightning_network.service.invoice(3).payment_request)

    async def all_told(node: LndNode) -> list[str]:
        hashes: list[str] = []
        cursor = ""
        while (found := await node.received(cursor)).payment_hashes:
            assert len(found.payment_hashes) <= 3
            hashes += found.payment_hashes
            cursor = found.cursor
        return hashes

    settled = [
        each["r_hash"]
        for each in lightning_network.service.get("/v1/invoices?num_max_invoices=1000")["invoices"]
        if each["state"] == "SETTLED"
    ]
    told = asked(lightning_network, tmp_path, all_told)
    assert len(told) == len(set(told)) == len(settled)
