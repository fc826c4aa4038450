"""Two real Lightning nodes with a channel between them, on a chain of their own: that of the service, and the world's.

Each speaks as LND does. Needs Debian's `electrum`.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import httpx
import pytest

from tests.lab.lightning.processes import Program, free_port

HERE = Path(__file__).parent
DEBIANS_PYTHON = "/usr/bin/python3"
MACAROON, READ_ONLY_MACAROON = b"macaroon of the lab", b"macaroon of the lab that may only read"
"""What `lnd_node.py` wants to be shown, as the files hold it."""
CHANNEL_SAT, PUSHED_SAT, FUNDS_SAT = 15_000_000, 3_000_000, 100_000_000


class NotThereYetError(LookupError):
    """A node has not come so far."""


@dataclass(frozen=True)
class OutsideInvoice:
    payment_hash: str
    payment_request: str


class Lnd:
    """The hand on a node that speaks as LND does: what it is asked here is asked without an adapter.

    *certificate*: a file with the one that is trusted; empty: those that the system trusts.
    """

    def __init__(self, url: str, macaroon: bytes, certificate: str = "") -> None:
        self.url, self.macaroon, self.certificate = url, macaroon, certificate
        self._client = httpx.Client(
            base_url=url,
            headers={"Grpc-Metadata-macaroon": macaroon.hex()},
            verify=ssl.create_default_context(cafile=certificate or None),
            timeout=60,
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        try:
            return self._client.get(path).raise_for_status().json()
        except httpx.TransportError as error:
            raise NotThereYetError(self.url) from error

    def post(self, path: str, **content: object) -> Any:
        return self._client.post(path, json=content).raise_for_status().json()

    @property
    def sends(self) -> int:
        """How often it has begun to pay."""
        listed = self.get("/v1/payments?include_incomplete=true&reversed=true&max_payments=1")
        return int(listed["last_index_offset"])

    def invoice(self, amount_sat: int = 1_000, *, seconds: int = 3_600, is_held: bool = False) -> OutsideInvoice:
        made = self.post("/v1/invoices", value=str(amount_sat), expiry=str(seconds), memo="outside")
        payment_hash = base64.b64decode(made["r_hash"]).hex()
        if is_held:
            self.hold(payment_hash, is_held=True)
        return OutsideInvoice(payment_hash, made["payment_request"])

    def refused_invoice(self, amount_sat: int = 1_000) -> OutsideInvoice:
        """One that nobody can pay any more, though it says otherwise."""
        made = self.invoice(amount_sat)
        self.cancel(made.payment_hash)
        return made

    def hold(self, payment_hash: str, *, is_held: bool) -> None:
        """Keep what is paid to this invoice waiting, or go on with it. Of the lab's own nodes alone."""
        pytest.skip("LND holds no invoice of this kind: the lab's own nodes do")

    def cancel(self, payment_hash: str) -> None:
        self.post("/v2/invoices/cancel", payment_hash=base64.b64encode(bytes.fromhex(payment_hash)).decode())

    def pay(self, payment_request: str) -> str:
        """Pay it to the end; gives the state in LND's words."""
        content = {"payment_request": payment_request, "fee_limit_msat": "0", "no_inflight_updates": True}
        answer = self._client.post("/v2/router/send", json=content)
        line: dict[str, Any] = json.loads(answer.text.strip().splitlines()[-1])
        return str(line["result"]["status"] if "result" in line else line["error"]["message"])


class Node(Lnd):
    """The hand on one of the lab's own nodes."""

    def __init__(self, port: int, launch: Callable[[], Program]) -> None:
        super().__init__(f"http://127.0.0.1:{port}", MACAROON)
        self._launch = launch
        self.program = launch()

    def close(self) -> None:
        self.program.stop()
        super().close()

    def restart(self) -> None:
        """Pull the plug, start it on what it has kept, and wait until its channel is open again."""
        self.program.kill()
        self.program = self._launch()
        self.program.wait_until(lambda: self.status["is_open"])

    @property
    def status(self) -> Any:
        return self.get("/lab/status")

    @property
    def sends(self) -> int:
        """How often it has begun to pay."""
        return int(self.status["sends"])

    def sends_of(self, payment_hash: str) -> int:
        """How often it has begun to pay this."""
        return int(self.get("/lab/sends").get(payment_hash, 0))

    def hold(self, payment_hash: str, *, is_held: bool) -> None:
        self.post(f"/lab/hold/{payment_hash}", is_held=is_held)


NodeOfNetwork_co = TypeVar("NodeOfNetwork_co", bound=Lnd, covariant=True)


@dataclass(frozen=True)
class Network(Generic[NodeOfNetwork_co]):
    """Two nodes with a channel between them."""

    service: NodeOfNetwork_co
    """Has most of the money of the channel."""
    world: NodeOfNetwork_co


LightningNetwork: TypeAlias = Network[Node]
"""The lab's own."""


def of_somebody_else(stack: ExitStack, file: Path) -> Network[Lnd]:
    """Two LND that are there already, on regtest: *file* has in JSON `url`, `macaroon_file` and, if it has one of its
    own, `certificate_file` of each, `service` and `world`."""
    told = json.loads(file.read_text("utf-8"))
    nodes = [
        Lnd(each["url"], Path(each["macaroon_file"]).read_bytes(), each.get("certificate_file", ""))
        for each in (told["service"], told["world"])
    ]
    for node in nodes:
        stack.callback(node.close)
    return Network(*nodes)


def ask_chain(port: int, method: str, *params: object) -> Any:
    with socket.create_connection(("127.0.0.1", port)) as connection, closing(connection.makefile("rwb")) as stream:
        stream.write(json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n")
        stream.flush()
        return json.loads(stream.readline())["result"]


def node_at(chain_port: int, folder: Path, name: str) -> Node:
    """A node that is being started."""
    http_port = free_port()
    ports = map(str, (chain_port, free_port(), http_port))
    command = [DEBIANS_PYTHON, str(HERE / "lnd_node.py"), str(folder / name), *ports]
    return Node(http_port, lambda: Program(command, folder / f"{name}.log"))


def started(stack: ExitStack, folder: Path) -> LightningNetwork:
    """Start all of it; *stack* ends it."""
    chain_port = free_port()
    chain = Program([DEBIANS_PYTHON, str(HERE / "chain.py"), str(chain_port)], folder / "chain.log")
    stack.callback(chain.stop)
    chain.wait_until(lambda: ask_chain(chain_port, "server.version"))
    service, world = (node_at(chain_port, folder, name) for name in ("service", "world"))
    for node in (service, world):
        stack.callback(node.close)
    address = service.program.wait_until(lambda: service.status["is_connected"] and service.status["address"])
    listens = world.program.wait_until(lambda: world.status["is_connected"] and world.status)
    ask_chain(chain_port, "lab.fund", address, FUNDS_SAT)
    ask_chain(chain_port, "lab.mine", 3)
    service.program.wait_until(lambda: service.status["confirmed_sat"])
    service.post("/lab/open", connect=f"{listens['node']}@{listens['listen']}", sat=CHANNEL_SAT, push_sat=PUSHED_SAT)
    ask_chain(chain_port, "lab.mine", 4)
    for node in (service, world):
        node.program.wait_until(lambda node=node: node.status["is_open"])  # type: ignore[misc]
    return LightningNetwork(service, world)
