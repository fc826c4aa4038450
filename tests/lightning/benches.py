"""A node behind its adapter, with a hand on the world around it: what each test of adapters works with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.bitcoin.adapters.lnbits import LnbitsNode
from domain.bitcoin.adapters.lnd import LndNode
from domain.bitcoin.adapters.node_http import KeyFile, NodeHttp
from spark_actors.messaging.ports import Clock
from tests.lightning.lab.lnbits_server import LnbitsServer, Wallet
from tests.lightning.lab.network import MACAROON, LightningNetwork

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
    network: LightningNetwork
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


def lnd_bench(network: LightningNetwork, folder: Path, *, url: str = "") -> Bench:
    macaroon = Keys(folder).file("macaroon_file", MACAROON)
    return Bench(LndNode(NodeHttp(url or network.service.url), macaroon=macaroon, network=NETWORK), network)


HOUR = timedelta(hours=1)
