"""The simulated node's books are on no machine: several processes share them, and those of former releases are kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg
import pytest

from domain.application import APPLICATION
from domain.bitcoin.adapters.node_books import FORMER_FILE, FormerBooksError, PostgresNodeBooks
from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice, written
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedPayment, SimulatedSettings
from domain.bitcoin.ports import InvoiceStatus, LightningError, PaymentStatus
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.statements import load
from tests.fixtures.application import SCHEMAS
from tests.fixtures.daemon import eventually
from tests.fixtures.lightning import LOST, OUTSIDE, OWN, PENDING, START, UNPAID, leave_former_books

HOUR = timedelta(hours=1)


@asynccontextmanager
async def nodes(dsn: str, number: int = 1, **settings: object) -> AsyncIterator[Sequence[SimulatedLightningNode]]:
    """As many processes have them: each on connections of its own."""
    pools = [make_pool(dsn) for _ in range(number)]
    chosen = SimulatedSettings(**{"payment_delay": None, **settings})  # type: ignore[arg-type]
    try:
        for pool in pools:
            await pool.open()
        yield [
            SimulatedLightningNode(PostgresNodeBooks(pool), chosen, clock=lambda: START, random=Random(number))
            for number, pool in enumerate(pools)
        ]
    finally:
        for pool in pools:
            await pool.close()


def test_two_processes_are_one_node(emptied_database: str) -> None:
    requests = [simulated_invoice(1_000, START + HOUR, nonce=str(n)).payment_request for n in range(50)]

    async def scene() -> None:
        async with nodes(emptied_database, 2) as (one, other):
            paid = await asyncio.gather(
                *(node.pay(request, fee_limit_sat=0) for request in requests for node in (one, other))
            )
            assert {payment.status for payment in paid} == {PaymentStatus.PAID}
            books = await one.books()
            assert books == await other.books()
            assert books.paid_sat == 50_000
            assert [payment.attempts for payment in books.payments] == [2] * 50

    asyncio.run(scene())


def test_of_a_call_that_is_lost_in_one_process_the_other_makes_the_second(emptied_database: str) -> None:
    lost = [
        simulated_invoice(1_000, START + HOUR, nonce=str(n), behaviour=Behaviour.LOST_THEN_PAID).payment_request
        for n in range(20)
    ]

    async def scene() -> None:
        async with nodes(emptied_database, 2) as (one, other):
            calls = (node.pay(request, fee_limit_sat=0) for request in lost for node in (one, other))
            told = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(each, LightningError) for each in told) == 20
            assert (await one.books()).paid_sat == 20_000

    asyncio.run(scene())


def test_an_invoice_is_paid_once_by_the_node_or_by_somebody_else_who_come_at_once(emptied_database: str) -> None:
    async def scene() -> None:
        async with nodes(emptied_database, 2) as (one, other):
            for number in range(30):
                made = await one.create_invoice(
                    invoice_id=f"i-{number}", amount_sat=7, memo="", expires_in=timedelta(hours=1)
                )
                await asyncio.gather(
                    one.receive(made.payment_request), other.pay(made.payment_request, fee_limit_sat=0)
                )
                assert (await one.receipt(made.payment_hash)).status is InvoiceStatus.PAID
            books = await one.books()
            assert books.received_sat == 30 * 7
            assert {each.status for each in books.payments} <= {PaymentStatus.PAID, PaymentStatus.FAILED}

    asyncio.run(scene())


def test_processes_that_make_the_same_invoice_at_once_make_one(emptied_database: str) -> None:
    async def scene() -> None:
        async with nodes(emptied_database, 3) as several:
            made = await asyncio.gather(
                *(
                    node.create_invoice(invoice_id="i-1", amount_sat=2_000, memo="m", expires_in=HOUR)
                    for node in several
                    for _ in range(5)
                )
            )
            assert len(set(made)) == 1
            await several[0].receive(made[0].payment_request)
            assert (await several[1].books()).received_sat == 2_000

    asyncio.run(scene())


def test_who_is_asked_to_pay_waits_for_whoever_pays_the_same_just_now(emptied_database: str) -> None:
    invoice = simulated_invoice(1_000, START + HOUR, nonce="n")

    async def scene() -> None:
        async with nodes(emptied_database, 1) as (node,):
            with psycopg.connect(emptied_database) as slow:
                slow.execute(load("domain.bitcoin.adapters", "node_books.sql")["lock"], vars(invoice))
                paying = asyncio.create_task(node.pay(invoice.payment_request, fee_limit_sat=0))
                assert await asyncio.to_thread(eventually, lambda: somebody_waits(emptied_database))
                assert (await node.payment_status(invoice.payment_hash)).status is PaymentStatus.NOT_FOUND
            assert (await paying).status is PaymentStatus.PAID

    asyncio.run(scene())


def somebody_waits(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


def test_a_payment_outlives_a_kill_of_its_process(emptied_database: str) -> None:
    invoice = simulated_invoice(1_000, START + HOUR, nonce="n")
    script = f"""
import asyncio, os, signal
from tests.integration.persistence.test_node_books import nodes
async def play():
    async with nodes({emptied_database!r}) as (node,):
        await node.pay({invoice.payment_request!r}, fee_limit_sat=0)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(play())
"""
    process = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=False)
    assert process.returncode == -signal.SIGKILL

    async def scene() -> None:
        async with nodes(emptied_database) as (node,):
            assert (await node.payment_status(invoice.payment_hash)).status is PaymentStatus.PAID
            await node.pay(invoice.payment_request, fee_limit_sat=0)
            (payment,) = (await node.books()).payments
            assert (payment.amount_sat, payment.attempts) == (1_000, 2)

    asyncio.run(scene())


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """What a former release has left."""
    leave_former_books(tmp_path)
    return tmp_path


def take_over(data_dir: Path, dsn: str) -> None:
    APPLICATION.take_over(data_dir, dict.fromkeys(SCHEMAS, dsn))


def test_what_a_former_release_has_written_in_a_file_is_taken_over_once(data_dir: Path, emptied_database: str) -> None:
    take_over(data_dir, emptied_database)
    assert {file.name for file in data_dir.iterdir() if file.is_file()} == {f"{FORMER_FILE}.moved"}
    take_over(data_dir, emptied_database)

    async def scene() -> None:
        async with nodes(emptied_database) as (node,):
            books = await node.books()
            assert books.received_sat == 2_000
            assert {each.payment_hash: each for each in books.payments} == {
                request.payment_hash: SimulatedPayment(request.payment_hash, request.amount_sat, attempts, status)
                for request, attempts, status in (
                    (OUTSIDE, 3, PaymentStatus.PAID),
                    (PENDING, 1, PaymentStatus.PENDING),
                    (LOST, 1, PaymentStatus.NOT_FOUND),
                )
            }
            assert (await node.pay(written(OUTSIDE), fee_limit_sat=0)).preimage == OUTSIDE.preimage
            assert (await node.pay(written(LOST), fee_limit_sat=0)).status is PaymentStatus.PAID
            assert (await node.receipt(OWN.payment_hash)).status is InvoiceStatus.PAID
            assert (await node.receipt(UNPAID.payment_hash)).status is InvoiceStatus.OPEN
            again = await node.create_invoice(invoice_id="i-2", amount_sat=300, memo="", expires_in=HOUR)
            assert again.payment_request == written(UNPAID)

    asyncio.run(scene())


def test_who_was_killed_before_the_file_was_renamed_takes_over_again_and_changes_nothing(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory, emptied_database: str
) -> None:
    async def scene() -> None:
        async with nodes(emptied_database) as (node,):
            take_over(data_dir, emptied_database)
            await node.receive(written(UNPAID))
            await node.pay(written(OUTSIDE), fee_limit_sat=0)
            before = await node.books()
            again = tmp_path_factory.mktemp("again")
            leave_former_books(again)
            take_over(again, emptied_database)
            assert await node.books() == before

    asyncio.run(scene())


def test_a_database_that_is_away_leaves_the_file_where_it_is(data_dir: Path) -> None:
    with pytest.raises(StorageUnavailableError):
        take_over(data_dir, "host=/nowhere dbname=spark connect_timeout=1")
    assert (data_dir / FORMER_FILE).exists()


def test_a_file_that_cannot_be_read_is_not_passed_over(tmp_path: Path, emptied_database: str) -> None:
    file = tmp_path / FORMER_FILE
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(FormerBooksError, match=r"simulated-node.sqlite3, .* cannot be read .*; mend it, or move it"):
        take_over(tmp_path, emptied_database)
    assert file.exists()


def test_a_file_in_which_nothing_was_written_yet_holds_nothing(tmp_path: Path, emptied_database: str) -> None:
    (tmp_path / FORMER_FILE).touch()
    take_over(tmp_path, emptied_database)
    assert os.listdir(tmp_path) == [f"{FORMER_FILE}.moved"]


def test_where_no_file_was_left_nothing_happens(tmp_path: Path) -> None:
    take_over(tmp_path, "host=/nowhere")
    assert list(tmp_path.iterdir()) == []
