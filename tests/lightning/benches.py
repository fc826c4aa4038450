"""A node behind its adapter, with a hand on the world around it: what each test of adapters works with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.bitcoin import bolt11
from domain.bitcoin.adapters.lnbits import LnbitsNode
from domain.bitcoin.adapters.lnd import LndNode
from domain.bitcoin.adapters.node_http import KeyFile, NodeHttp
from domain.bitcoin.ports import Payment, PaymentStatus
from spark_actors.messaging.ports import Clock
from tests.lab.lightning.lnbits_server import LnbitsServer, Wallet
from tests.lab.lightning.network import LightningNetwork, Lnd, Network

HOUR = timedelta(hours=1)
NETWORK = "bcrt"
FUNDS_SAT = 200_000


@dataclass
class Keys:
    """Files with keys, as an operator makes them."""

    folder: Path

    def file(self, name: str, content: bytes, *, mode: int = 0o600) -> KeyFile:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return KeyFile(f"lightning.{name}", str(path))


@dataclass
class Bench:
    node: LnbitsNode | LndNode
    network: Network[Lnd]
    wallet: Wallet | None = None
    """The service's, of LNbits."""


def lnbits_bench(
    network: LightningNetwork,
    lnbits: LnbitsServer,
    folder: Path,
    *,
    url: str = "",
    sat: int = FUNDS_SAT,
    clock: Clock = lambda: datetime.now(UTC),
) -> Bench:
    """A new wallet of LNbits; *url*: what stands before it."""
    wallet = lnbits.wallet("shop", sat)
    keys = Keys(folder)
    node = LnbitsNode(
        NodeHttp(url or lnbits.url),
        admin_key=keys.file("admin_key_file", wallet.admin_key.encode()),
        invoice_key=keys.file("invoice_key_file", f"{wallet.invoice_key}\n".encode()),
        network=NETWORK,
        clock=clock,
    )
    return Bench(node, network, wallet)


def lnd_bench(network: Network[Lnd], folder: Path, *, url: str = "") -> Bench:
    there = network.service
    macaroon = Keys(folder).file("macaroon_file", there.macaroon)
    http = NodeHttp(url or there.url, certificate=there.certificate)
    return Bench(LndNode(http, macaroon=macaroon, network=NETWORK), network)


async def paid_to_its_end(node: LnbitsNode | LndNode, payment_request: str, fee_limit_sat: int = 10) -> Payment:
    """Ask once to pay, and look until it is known what came of it: on a busy machine a payment takes a while."""
    payment = await node.pay(payment_request, fee_limit_sat=fee_limit_sat)
    return await ended(node, bolt11.read(payment_request).payment_hash) if is_open(payment) else payment


async def ended(node: LnbitsNode | LndNode, payment_hash: str) -> Payment:
    """Where a payment stands when it is not under way any more."""
    async with asyncio.timeout(60):
        while is_open(payment := await node.payment_status(payment_hash)):
            await asyncio.sleep(0.1)
    return payment


def is_open(payment: Payment) -> bool:
    return payment.status is PaymentStatus.PENDING
