"""What the simulated node does beyond the port: time, rates, durability, several processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.ports import InvoiceStatus, LightningError, NodeInvoice, PaymentStatus

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DELAY = timedelta(seconds=5)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def a_node(folder: Path, clock: Clock, **settings: object) -> SimulatedLightningNode:
    chosen = SimulatedSettings(**{"payment_delay": DELAY, **settings})  # type: ignore[arg-type]
    return SimulatedLightningNode(folder / "node.sqlite3", chosen, clock=clock, random=Random(7))


def play(*nodes: SimulatedLightningNode, scene: Callable[[], Awaitable[None]]) -> None:
    async def played() -> None:
        try:
            await scene()
        finally:
            for node in nodes:
                await node.close()

    asyncio.run(played())


async def an_invoice(
    node: SimulatedLightningNode, invoice_id: str = "i-1", expires_in: timedelta = HOUR
) -> NodeInvoice:
    return await node.create_invoice(invoice_id=invoice_id, amount_sat=2_000, memo="m", expires_in=expires_in)


def test_somebody_pays_an_invoice_after_the_delay(tmp_path: Path) -> None:
    clock = Clock()
    node = a_node(tmp_path, clock)

    async def scene() -> None:
        invoice = await an_invoice(node)
        assert await node.invoice_status(invoice.payment_hash) is InvoiceStatus.OPEN
        clock.now += DELAY
        assert await node.invoice_status(invoice.payment_hash) is InvoiceStatus.PAID
        assert (await node.books()).received_sat == 2_000

    play(node, scene=scene)


def test_an_invoice_that_expires_before_the_delay_is_not_paid(tmp_path: Path) -> None:
    clock = Clock()
    node = a_node(tmp_path, clock)

    async def scene() -> None:
        invoice = await an_invoice(node, expires_in=DELAY)
        clock.now += 2 * DELAY
        assert await node.invoice_status(invoice.payment_hash) is InvoiceStatus.EXPIRED
        assert (await node.books()).received_sat == 0

    play(node, scene=scene)


def test_the_same_invoice_id_gives_the_same_invoice(tmp_path: Path) -> None:
    node = a_node(tmp_path, Clock())

    async def scene() -> None:
        assert await an_invoice(node) == await an_invoice(node)

    play(node, scene=scene)


def test_a_slow_payment_is_pending_first(tmp_path: Path) -> None:
    clock = Clock()
    node = a_node(tmp_path, clock)
    invoice = simulated_invoice(1_000, START + HOUR, nonce="n", behaviour=Behaviour.SLOW)

    async def scene() -> None:
        assert (await node.pay(invoice.payment_request)).status is PaymentStatus.PENDING
        assert (await node.books()).paid_sat == 0
        clock.now += DELAY
        assert (await node.payment_status(invoice.payment_hash)).status is PaymentStatus.PAID

    play(node, scene=scene)


def test_the_node_can_pay_its_own_invoice_and_only_once(tmp_path: Path) -> None:
    node = a_node(tmp_path, Clock(), payment_delay=None)

    async def scene() -> None:
        invoice = await an_invoice(node)
        assert (await node.pay(invoice.payment_request)).status is PaymentStatus.PAID
        assert await node.invoice_status(invoice.payment_hash) is InvoiceStatus.PAID
        books = await node.books()
        assert (books.received_sat, books.paid_sat) == (2_000, 2_000)

    play(node, scene=scene)


def test_an_invoice_that_somebody_else_has_paid_cannot_be_paid_again(tmp_path: Path) -> None:
    node = a_node(tmp_path, Clock(), payment_delay=None)

    async def scene() -> None:
        invoice = await an_invoice(node)
        await node.receive(invoice.payment_request)
        payment = await node.pay(invoice.payment_request)
        assert (payment.status, payment.reason) == (PaymentStatus.FAILED, "invoice_paid")

    play(node, scene=scene)


def test_the_rates_decide_about_ordinary_payments(tmp_path: Path) -> None:
    node = a_node(tmp_path, Clock(), failure_rate=0.3, unknown_rate=0.3)

    async def scene() -> None:
        told = {"paid": 0, "failed": 0, "unknown": 0}
        for number in range(200):
            request = simulated_invoice(1_000, START + HOUR, nonce=str(number)).payment_request
            try:
                told[(await node.pay(request)).status] += 1
            except LightningError:
                told["unknown"] += 1
        assert 50 < told["paid"] < 110
        assert 35 < told["failed"] < 85
        assert 35 < told["unknown"] < 85

    play(node, scene=scene)


def test_each_call_takes_its_latency(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    settings = SimulatedSettings(latency=timedelta(seconds=2))
    node = SimulatedLightningNode(tmp_path / "n", settings, clock=Clock(), random=Random(1), sleep=sleep)

    async def scene() -> None:
        invoice = await an_invoice(node)
        await node.invoice_status(invoice.payment_hash)

    play(node, scene=scene)
    assert slept == [2.0, 2.0]


def test_two_processes_share_one_set_of_books(tmp_path: Path) -> None:
    clock = Clock()
    one, other = a_node(tmp_path, clock), a_node(tmp_path, clock)
    requests = [simulated_invoice(1_000, START + HOUR, nonce=str(n)).payment_request for n in range(50)]

    async def scene() -> None:
        await asyncio.gather(*(node.pay(request) for request in requests for node in (one, other)))
        books = await one.books()
        assert books == await other.books()
        assert books.paid_sat == 50_000
        assert [payment.attempts for payment in books.payments] == [2] * 50

    play(one, other, scene=scene)


def test_a_payment_outlives_a_kill_of_its_process(tmp_path: Path) -> None:
    invoice = simulated_invoice(1_000, START + HOUR, nonce="n")
    script = f"""
import asyncio, os, signal, random, pathlib, datetime
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
now = datetime.datetime.fromisoformat({START.isoformat()!r})
path = pathlib.Path({str(tmp_path / "node.sqlite3")!r})
node = SimulatedLightningNode(path, SimulatedSettings(), clock=lambda: now, random=random.Random(1))
asyncio.run(node.pay({invoice.payment_request!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[3]
    process = subprocess.run([sys.executable, "-c", script], cwd=root, check=False)
    assert process.returncode == -signal.SIGKILL
    node = a_node(tmp_path, Clock())

    async def scene() -> None:
        assert (await node.payment_status(invoice.payment_hash)).status is PaymentStatus.PAID
        await node.pay(invoice.payment_request)
        (payment,) = (await node.books()).payments
        assert (payment.amount_sat, payment.attempts) == (1_000, 2)

    play(node, scene=scene)


def test_a_file_that_cannot_be_used_is_an_unknown_answer(tmp_path: Path) -> None:
    (tmp_path / "node.sqlite3").write_bytes(b"this is no database" * 100)
    node = a_node(tmp_path, Clock())

    async def scene() -> None:
        with pytest.raises(LightningError, match="cannot be used") as caught:
            await node.payment_status("00")
        assert isinstance(caught.value.__cause__, sqlite3.Error)

    play(node, scene=scene)


def test_the_books_are_private_to_their_user(tmp_path: Path) -> None:
    node = a_node(tmp_path, Clock())

    async def scene() -> None:
        await node.books()
        assert os.stat(tmp_path / "node.sqlite3").st_mode & 0o077 == 0

    play(node, scene=scene)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    node = a_node(tmp_path, Clock())
    play(node, node, scene=lambda: node.books())  # type: ignore[arg-type, return-value]
