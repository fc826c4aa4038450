"""Whatever goes wrong on the way to a node: nothing is sent twice, and nothing is called failed that is not."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from domain.bitcoin.adapters import tuning
from domain.bitcoin.ports import LightningError, NodeInvoice, NotSentError, PaymentStatus
from tests.lab.lightning.faulty_proxy import REACHES, Fault, FaultyProxy
from tests.lab.lightning.network import MACAROON, LightningNetwork
from tests.lightning.benches import HOUR, Bench, ended, lnbits_bench, lnd_bench

pytestmark = pytest.mark.timeout(600)  # the first test may have to install what it needs


@dataclass(frozen=True)
class Calls:
    """How the calls of an adapter begin."""

    pay: str
    create: str
    look_up: str
    receipt: str


CALLS = {
    "lnbits": Calls("POST /api/v1/payments", "POST /api/v1/payments", "GET /api/v1/payments/p", "GET /api/v1/payments"),
    "lnd": Calls("POST /v2/router/send", "POST /v1/invoices", "GET /v2/router/track", "GET /v1/invoice/"),
}


@dataclass(frozen=True)
class Spoilt:
    bench: Bench
    proxy: FaultyProxy
    calls: Calls
    keys: tuple[str, ...]
    """What must not be seen anywhere."""


Scene: TypeAlias = Callable[[Spoilt], Awaitable[None]]
Play: TypeAlias = Callable[[Scene], None]


@pytest.fixture(params=["lnbits", "lnd"])
def play(
    request: pytest.FixtureRequest,
    lightning_network: LightningNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Play]:
    """Runs a scene with a node behind a proxy; afterwards no key may be in any log."""
    if "silence" in request.node.name:
        for name in ("CALL_SECONDS", "PAY_SECONDS", "LOOK_UP_SECONDS", "FOLLOW_SECONDS"):
            monkeypatch.setattr(tuning, name, 3.0)
    caplog.set_level(logging.DEBUG)
    is_lnbits = request.param == "lnbits"
    lnbits = request.getfixturevalue("lnbits") if is_lnbits else None
    with closing(FaultyProxy(lnbits.url if lnbits else lightning_network.service.url)) as proxy:
        if lnbits:
            bench = lnbits_bench(lightning_network, lnbits, tmp_path, url=proxy.url)
            assert bench.wallet
            keys: tuple[str, ...] = (bench.wallet.admin_key, bench.wallet.invoice_key)
        else:
            bench = lnd_bench(lightning_network, tmp_path, url=proxy.url)
            keys = (MACAROON.decode(), MACAROON.hex())
        spoilt = Spoilt(bench, proxy, CALLS[request.param], keys)

        async def played(scene: Scene) -> None:
            try:
                await scene(spoilt)
            finally:
                await bench.node.close()

        yield lambda scene: asyncio.run(played(scene))
        for key in keys:
            assert key not in caplog.text
            assert key not in repr(vars(bench.node))


def is_clean(spoilt: Spoilt, error: LightningError) -> bool:
    """Whether no key is in what is said of it."""
    return not any(key in f"{error!r} {error}" for key in spoilt.keys)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_call_to_pay_that_goes_wrong_is_never_failed_and_sends_once_at_most(play: Play, fault: Fault) -> None:
    async def scene(spoilt: Spoilt) -> None:
        node, service = spoilt.bench.node, spoilt.bench.network.service
        invoice = spoilt.bench.network.world.invoice()
        sends, passed = service.sends, spoilt.proxy.count(spoilt.calls.pay)
        with spoilt.proxy.spoiling(fault, spoilt.calls.pay):
            if fault in REACHES:
                payment = await node.pay(invoice.payment_request, fee_limit_sat=10)
                assert payment.status in (PaymentStatus.PAID, PaymentStatus.PENDING)
            else:
                with pytest.raises(LightningError) as raised:
                    await node.pay(invoice.payment_request, fee_limit_sat=10)
                assert isinstance(raised.value, NotSentError) is (fault is Fault.TOO_MANY)
                assert is_clean(spoilt, raised.value)
        assert spoilt.proxy.count(spoilt.calls.pay) == passed + (fault in REACHES)
        payment = await ended(node, invoice.payment_hash)
        assert payment.status is (PaymentStatus.PAID if fault in REACHES else PaymentStatus.NOT_FOUND)
        assert service.sends == sends + (fault in REACHES)

    play(scene)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_payment_whose_look_up_goes_wrong_is_not_known_and_not_sent_again(play: Play, fault: Fault) -> None:
    async def scene(spoilt: Spoilt) -> None:
        node, service = spoilt.bench.node, spoilt.bench.network.service
        invoice = spoilt.bench.network.world.invoice()
        await node.pay(invoice.payment_request, fee_limit_sat=10)
        await ended(node, invoice.payment_hash)
        sends = service.sends
        with spoilt.proxy.spoiling(fault, spoilt.calls.look_up), pytest.raises(LightningError) as raised:
            await node.payment_status(invoice.payment_hash)
        assert is_clean(spoilt, raised.value)
        assert (await ended(node, invoice.payment_hash)).status is PaymentStatus.PAID
        assert service.sends == sends

    play(scene)


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.BAD_GATEWAY], ids=lambda fault: fault.name.lower())
def test_a_payment_that_is_paid_while_nothing_can_be_looked_up_is_found_later(play: Play, fault: Fault) -> None:
    async def scene(spoilt: Spoilt) -> None:
        node, service = spoilt.bench.node, spoilt.bench.network.service
        invoice = spoilt.bench.network.world.invoice()
        sends = service.sends

        async def blinded() -> None:
            """The look-up after the call goes wrong, not those before it."""
            while not spoilt.proxy.count(spoilt.calls.pay):
                await asyncio.sleep(0.005)
            with spoilt.proxy.spoiling(fault, spoilt.calls.look_up):
                await asyncio.wait([paying])

        paying = asyncio.create_task(node.pay(invoice.payment_request, fee_limit_sat=10))
        await blinded()
        with pytest.raises(LightningError) as raised:
            await paying
        assert not isinstance(raised.value, NotSentError)
        assert (await ended(node, invoice.payment_hash)).status is PaymentStatus.PAID
        assert service.sends == sends + 1

    play(scene)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_an_invoice_whose_making_goes_wrong_can_be_asked_for_again(play: Play, fault: Fault) -> None:
    async def scene(spoilt: Spoilt) -> None:
        node = spoilt.bench.node
        name = f"again-{fault}"

        async def made_here() -> NodeInvoice:
            return await node.create_invoice(invoice_id=name, amount_sat=5, memo="m", expires_in=HOUR)

        with spoilt.proxy.spoiling(fault, spoilt.calls.create), suppress(LightningError):
            await made_here()
        made = await made_here()
        with spoilt.proxy.spoiling(fault, spoilt.calls.receipt), pytest.raises(LightningError):
            await node.receipt(made.payment_hash)
        said = await asyncio.to_thread(spoilt.bench.network.world.pay, made.payment_request)
        assert said == "SUCCEEDED"
        assert (await node.receipt(made.payment_hash)).received_sat == 5

    play(scene)


def test_a_node_that_is_not_there_was_certainly_not_asked(lightning_network: LightningNetwork, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nowhere = f"http://127.0.0.1:{server.getsockname()[1]}"

    async def scene() -> None:
        bench = lnd_bench(lightning_network, tmp_path, url=nowhere)
        invoice = lightning_network.world.invoice()
        with pytest.raises(NotSentError, match="cannot be reached"):
            await bench.node.pay(invoice.payment_request, fee_limit_sat=10)
        with pytest.raises(LightningError):
            await bench.node.payment_status(invoice.payment_hash)

    asyncio.run(scene())
