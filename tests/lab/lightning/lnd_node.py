"""A Lightning node that speaks as LND does over HTTP: Electrum's, with LND's REST calls in front of it.

The channels and HTLCs are real, the answers are made after LND 0.21's source: a hash that is under way or paid is
refused (code 6), one that has failed may be sent again, an unknown one is code 5, an expired request code 2. Runs on
Debian's Python: `python3 lnd_node.py FOLDER CHAIN_PORT LISTEN_PORT HTTP_PORT`. The calls below `/lab` are its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import patch

from aiohttp import web
from electrum import constants, lnworker, util
from electrum.daemon import Daemon
from electrum.lnaddr import lndecode
from electrum.lnonion import OnionFailureCode, OnionRoutingFailure
from electrum.lnpeer import Peer
from electrum.lnutil import LOCAL
from electrum.simple_config import SimpleConfig
from electrum.wallet import create_new_wallet

MACAROON, READ_ONLY_MACAROON = b"macaroon of the lab", b"macaroon of the lab that may only read"
"""What clients must show, as the files hold it."""
ROUTES = web.RouteTableDef()
NODE = "node"
"""Of the application: the node that answers."""
UNKNOWN, NOT_FOUND, ALREADY_EXISTS = 2, 5, 6
NO_PREIMAGE = "00" * 32
LARGEST_MSAT = 100_000 * 100_000_000_000


@dataclass
class LabInvoice:
    payment_hash: str
    text: str
    amount_msat: int
    add_index: int
    expires_at: float
    settle_index: int = 0
    received_msat: int = 0
    is_canceled: bool = False
    is_held: bool = False
    """What comes in for it hangs until it is released or canceled, and it is open beyond its expiry."""

    @property
    def state(self) -> str:
        if self.settle_index:
            return "SETTLED"
        is_over = self.is_canceled or (self.expires_at <= time.time() and not self.is_held)
        return "CANCELED" if is_over else "OPEN"

    @property
    def told(self) -> dict[str, Any]:
        """As LND writes it: 64-bit numbers as texts, bytes in base64."""
        return {
            "memo": "",
            "r_hash": base64.b64encode(bytes.fromhex(self.payment_hash)).decode(),
            "payment_request": self.text,
            "value": str(self.amount_msat // 1_000),
            "value_msat": str(self.amount_msat),
            "settled": self.state == "SETTLED",
            "state": self.state,
            "add_index": str(self.add_index),
            "settle_index": str(self.settle_index),
            "amt_paid_sat": str(self.received_msat // 1_000),
            "amt_paid_msat": str(self.received_msat),
        }


class Node:
    def __init__(self, folder: Path, chain_port: int, listen_port: int) -> None:
        options = {
            "electrum_path": str(folder),
            "regtest": True,
            "server": f"127.0.0.1:{chain_port}:t",
            "oneserver": True,
            "auto_connect": False,
            "check_updates": False,
            "dynamic_fees": False,
            "use_gossip": True,
            "lightning_listen": f"127.0.0.1:{listen_port}",
            "test_force_disable_mpp": True,
        }
        self.config = SimpleConfig(options)
        self.daemon = Daemon(self.config, listen_jsonrpc=False)
        path = self.config.get_wallet_path()
        if not Path(path).exists():
            create_new_wallet(path=path, config=self.config)
        self.wallet = self.daemon.load_wallet(path, None)
        self.lightning = self.wallet.lnworker
        self.kept = folder / "invoices.json"
        """Who is started again has its invoices; its payments it has forgotten."""
        self.invoices: dict[str, LabInvoice] = self.kept_invoices()
        self.payments: dict[str, dict[str, Any]] = {}
        self.begun = 0
        """How many payments there were, each try anew."""
        self.sends: Counter[str] = Counter()
        """How often it was asked to pay a hash, and did begin."""
        self.changed = asyncio.Condition()
        self.tasks: set[asyncio.Task[None]] = set()
        original = Peer.maybe_fulfill_htlc

        def fulfill(peer: Any, *, chan: Any, htlc: Any, **others: Any) -> Any:
            invoice = self.invoices.get(htlc.payment_hash.hex())
            if invoice is None or invoice.state == "CANCELED":
                data = htlc.amount_msat.to_bytes(8, "big") + self.wallet.adb.get_local_height().to_bytes(4, "big")
                raise OnionRoutingFailure(code=OnionFailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS, data=data)
            if invoice.is_held:
                return None, None
            answer = original(peer, chan=chan, htlc=htlc, **others)
            if answer[0] and not invoice.settle_index:
                invoice.received_msat = htlc.amount_msat
                invoice.settle_index = 1 + max(each.settle_index for each in self.invoices.values())
                self.keep()
                self.tell()
            return answer

        Peer.maybe_fulfill_htlc = fulfill

    def kept_invoices(self) -> dict[str, LabInvoice]:
        rows = json.loads(self.kept.read_text()) if self.kept.exists() else []
        return {row["payment_hash"]: LabInvoice(**row) for row in rows}

    def keep(self) -> None:
        """Write the invoices down."""
        new = self.kept.with_suffix(".new")
        new.write_text(json.dumps([asdict(each) for each in self.invoices.values()]))
        new.rename(self.kept)

    def tell(self) -> None:
        async def told() -> None:
            async with self.changed:
                self.changed.notify_all()

        self.spawn(told())

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def channels(self) -> list[Any]:
        return list(self.lightning.channels.values())

    def make(self, preimage: bytes, amount_msat: int, memo: str, seconds: int) -> LabInvoice:
        with patch.object(lnworker.os, "urandom", lambda size: preimage):
            _, text = self.lightning.create_invoice(
                amount_msat=amount_msat, message=memo, expiry=seconds, fallback_address=None
            )
        name = sha256(preimage).hexdigest()
        made = LabInvoice(name, text, amount_msat, len(self.invoices) + 1, time.time() + seconds)
        self.invoices[name] = made
        self.keep()
        return made

    async def work(self, payment: dict[str, Any], amount_sat: int) -> None:
        """Pay, whoever waits for it."""
        name = payment["payment_hash"]
        if amount_sat > self.lightning.num_sats_can_send():
            payment |= {"status": "FAILED", "failure_reason": "FAILURE_REASON_INSUFFICIENT_BALANCE"}
        else:
            self.sends[name] += 1
            try:
                is_paid, _ = await self.lightning.pay_invoice(payment["payment_request"], attempts=1)
            except Exception as error:  # noqa: BLE001 - whatever Electrum says, nothing was sent
                payment |= {"status": "FAILED", "failure_reason": "FAILURE_REASON_ERROR", "lab": repr(error)}
            else:
                if is_paid:
                    proof = self.lightning.get_preimage(bytes.fromhex(name)).hex()
                    payment |= {"status": "SUCCEEDED", "payment_preimage": proof}
                else:
                    payment |= {"status": "FAILED", "failure_reason": "FAILURE_REASON_NO_ROUTE"}
        self.tell()


def failure(status: int, code: int, message: str, *, in_stream: bool = False) -> web.Response:
    error = {"code": code, "message": message, "details": []}
    return web.json_response({"error": error} if in_stream else error, status=status)


@web.middleware
async def only_with_macaroon(request: web.Request, handler: Any) -> Any:
    shown = request.headers.get("Grpc-Metadata-macaroon", "")
    in_stream = request.path.startswith("/v2/router") or request.path.endswith("subscribe")
    if not request.path.startswith("/lab"):
        if not shown:
            return failure(500, UNKNOWN, "expected 1 macaroon, got 0", in_stream=in_stream)
        if shown == READ_ONLY_MACAROON.hex() and request.method == "POST":
            return failure(500, UNKNOWN, "permission denied", in_stream=in_stream)
        if shown not in (MACAROON.hex(), READ_ONLY_MACAROON.hex()):
            problem = "verification failed: signature mismatch after caveat verification"
            return failure(500, UNKNOWN, problem, in_stream=in_stream)
    return await handler(request)


# --- invoices ---


@ROUTES.post("/v1/invoices")
async def add_invoice(request: web.Request) -> web.Response:
    node, asked = request.app[NODE], await request.json()
    amount_msat = int(asked.get("value_msat") or 0) or int(asked.get("value") or 0) * 1_000
    if amount_msat < 0:
        return failure(500, UNKNOWN, f"payments of negative value are not allowed, value is {amount_msat // 1_000}")
    if amount_msat > LARGEST_MSAT:
        problem = f"invoice amount {amount_msat // 1_000} is too large, max is {LARGEST_MSAT // 1_000}"
        return failure(500, UNKNOWN, problem)
    preimage = base64.b64decode(asked["r_preimage"]) if asked.get("r_preimage") else os.urandom(32)
    if sha256(preimage).hexdigest() in node.invoices:
        return failure(500, UNKNOWN, "invoice with payment hash already exists")
    made = node.make(preimage, amount_msat, asked.get("memo", ""), int(asked.get("expiry") or 86_400))
    told = made.told
    return web.json_response({name: told[name] for name in ("r_hash", "payment_request", "add_index")})


@ROUTES.get("/v1/invoices")
async def list_invoices(request: web.Request) -> web.Response:
    node = request.app[NODE]
    after, most = (int(request.query.get(name, 0)) for name in ("index_offset", "num_max_invoices"))
    if request.query.get("reversed") == "true":
        return failure(500, UNKNOWN, "the lab lists forwards only")
    found = [each for each in node.invoices.values() if each.add_index > after][: most or 100]
    last = found[-1].add_index if found else 0
    return web.json_response({"invoices": [each.told for each in found], "last_index_offset": str(last)})


@ROUTES.get("/v1/invoices/subscribe")
async def subscribe(request: web.Request) -> web.StreamResponse:
    """As LND's gateway does, this sends not even headers before there is something to tell."""
    node, since = request.app[NODE], int(request.query.get("settle_index", 0))
    known = since or max((each.settle_index for each in node.invoices.values()), default=0)
    stream: web.StreamResponse | None = None
    while True:
        for each in sorted(node.invoices.values(), key=lambda invoice: invoice.settle_index):
            if each.settle_index > known:
                stream = await opened(request) if stream is None else stream
                known = each.settle_index
                await write(stream, {"result": each.told})
        async with node.changed:
            await node.changed.wait()


@ROUTES.get("/v1/invoice/{name}")
async def look_up_invoice(request: web.Request) -> web.Response:
    found = request.app[NODE].invoices.get(request.match_info["name"])
    if found is None:
        return failure(404, NOT_FOUND, "unable to locate invoice")
    return web.json_response(found.told)


@ROUTES.post("/v2/invoices/cancel")
async def cancel(request: web.Request) -> web.Response:
    asked = await request.json()
    request.app[NODE].invoices[base64.b64decode(asked["payment_hash"]).hex()].is_canceled = True
    request.app[NODE].keep()
    return web.json_response({})


# --- payments ---


@ROUTES.post("/v2/router/send")
async def send(request: web.Request) -> web.StreamResponse:
    node, asked = request.app[NODE], await request.json()
    text = asked.get("payment_request", "")
    try:
        decoded = lndecode(text)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it
        return failure(500, UNKNOWN, f"invalid payment request: {error}", in_stream=True)
    name = decoded.paymenthash.hex()
    if decoded.is_expired():
        return failure(500, UNKNOWN, "invoice expired. Valid until a while ago", in_stream=True)
    if decoded.pubkey.serialize() == node.lightning.node_keypair.pubkey:
        return failure(500, UNKNOWN, "self-payments not allowed", in_stream=True)
    before = node.payments.get(name, {}).get("status")
    if before in ("SUCCEEDED", "IN_FLIGHT"):
        problem = "invoice is already paid" if before == "SUCCEEDED" else "payment is in transition"
        return failure(409, ALREADY_EXISTS, problem, in_stream=True)
    amount_msat = int(decoded.get_amount_msat())
    node.begun += 1
    payment = node.payments[name] = {
        "payment_index": str(node.begun),
        "payment_hash": name,
        "payment_preimage": NO_PREIMAGE,
        "value_sat": str(amount_msat // 1_000),
        "value_msat": str(amount_msat),
        "payment_request": text,
        "status": "IN_FLIGHT",
        "fee_sat": "0",
        "fee_msat": "0",
        "failure_reason": "FAILURE_REASON_NONE",
        "htlcs": [],
    }
    node.spawn(node.work(payment, amount_msat // 1_000))
    return await followed(request, payment, is_quiet=bool(asked.get("no_inflight_updates")))


@ROUTES.get("/v1/payments")
async def list_payments(request: web.Request) -> web.Response:
    """As LND does, in the order in which they were begun; one that is tried again is at its new place alone."""
    after, most = (int(request.query.get(name, 0)) for name in ("index_offset", "max_payments"))
    is_reversed = request.query.get("reversed") == "true"
    if is_reversed and after:
        return failure(500, UNKNOWN, "backwards the lab lists from the end alone")
    are_all = request.query.get("include_incomplete") == "true"
    found = [
        each
        for each in sorted(request.app[NODE].payments.values(), key=lambda payment: int(payment["payment_index"]))
        if int(each["payment_index"]) > after and (are_all or each["status"] == "SUCCEEDED")
    ]
    found = found[-most:] if is_reversed else found[: most or None]
    first, last = (found[at]["payment_index"] if found else "0" for at in (0, -1))
    return web.json_response({"payments": found, "first_index_offset": first, "last_index_offset": last})


@ROUTES.get("/v2/router/track/{name}")
async def track(request: web.Request) -> web.StreamResponse:
    name = base64.urlsafe_b64decode(request.match_info["name"]).hex()
    payment = request.app[NODE].payments.get(name)
    if payment is None:
        return failure(404, NOT_FOUND, "payment isn't initiated", in_stream=True)
    return await followed(request, payment, is_quiet=request.query.get("no_inflight_updates") == "true")


async def followed(request: web.Request, payment: Mapping[str, Any], *, is_quiet: bool) -> web.StreamResponse:
    """A line for each change of a payment, until it has ended."""
    node = request.app[NODE]
    stream: web.StreamResponse | None = None
    while True:
        has_ended = payment["status"] != "IN_FLIGHT"
        if has_ended or not is_quiet:
            stream = await opened(request) if stream is None else stream
            await write(stream, {"result": payment})
            if has_ended:
                return stream
        async with node.changed:
            await node.changed.wait_for(lambda: payment["status"] != "IN_FLIGHT")


# --- the node ---


@ROUTES.get("/v1/getinfo")
async def get_info(request: web.Request) -> web.Response:
    node = request.app[NODE]
    return web.json_response(
        {
            "version": "0.21.0-beta of the lab",
            "identity_pubkey": node.lightning.node_keypair.pubkey.hex(),
            "synced_to_chain": True,
            "num_active_channels": len([each for each in node.channels if each.is_open()]),
            "chains": [{"chain": "bitcoin", "network": "regtest"}],
        }
    )


@ROUTES.get("/v1/balance/channels")
async def balance(request: web.Request) -> web.Response:
    msat = sum(each.balance(LOCAL) for each in request.app[NODE].channels)
    return web.json_response(
        {"balance": str(msat // 1_000), "local_balance": {"sat": str(msat // 1_000), "msat": str(msat)}}
    )


# --- the lab's own ---


@ROUTES.get("/lab/status")
async def status(request: web.Request) -> web.Response:
    node = request.app[NODE]
    return web.json_response(
        {
            "address": node.wallet.get_receiving_addresses()[0],
            "confirmed_sat": node.wallet.get_balance()[0],
            "node": node.lightning.node_keypair.pubkey.hex(),
            "listen": node.config.get("lightning_listen"),
            "is_connected": node.daemon.network.is_connected(),
            "is_open": any(each.is_open() and each.peer_state.name == "GOOD" for each in node.channels),
            "can_send_sat": int(node.lightning.num_sats_can_send()),
            "can_receive_sat": int(node.lightning.num_sats_can_receive()),
            "sends": node.sends.total(),
        }
    )


@ROUTES.get("/lab/sends")
async def sends(request: web.Request) -> web.Response:
    return web.json_response(request.app[NODE].sends)


@ROUTES.post("/lab/open")
async def open_channel(request: web.Request) -> web.Response:
    node, asked = request.app[NODE], await request.json()
    remote, _ = asked["connect"].split("@")
    transaction = node.lightning.mktx_for_open_channel(
        coins=node.wallet.get_spendable_coins(None),
        funding_sat=asked["sat"],
        node_id=bytes.fromhex(remote),
        fee_est=None,
    )
    await node.lightning._open_channel_coroutine(
        connect_str=asked["connect"],
        funding_tx=transaction,
        funding_sat=asked["sat"],
        push_sat=asked["push_sat"],
        password=None,
    )
    return web.json_response({})


@ROUTES.post("/lab/hold/{name}")
async def hold(request: web.Request) -> web.Response:
    asked = await request.json()
    request.app[NODE].invoices[request.match_info["name"]].is_held = asked["is_held"]
    request.app[NODE].keep()
    return web.json_response({})


async def opened(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    return stream


async def write(stream: web.StreamResponse, content: Mapping[str, Any]) -> None:
    await stream.write(json.dumps(content).encode() + b"\n")


def main() -> None:
    folder, chain_port, listen_port, http_port = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    constants.set_regtest()
    loop, *_ = util.create_and_start_event_loop()
    node = Node(folder, chain_port, listen_port)
    app = web.Application(middlewares=[only_with_macaroon])
    app[NODE] = node
    app.add_routes(ROUTES)

    async def serve() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", http_port).start()

    asyncio.run_coroutine_threadsafe(serve(), loop).result()
    while not ended.wait(1):
        if os.getppid() == 1:
            break  # whoever has started it is gone
    os._exit(0)  # nothing of it is needed any more


if __name__ == "__main__":
    main()
