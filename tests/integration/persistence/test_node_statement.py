"""The node's own statement is copied beside the books: it knows what books that were restored do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import psycopg
import pytest

from domain.application import APPLICATION
from domain.bitcoin.adapters.requests import SimulatedInvoice, simulated_invoice
from domain.bitcoin.adapters.simulated import RECEIPTS_AFTER, SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.adapters.statement import STATEMENT_SECONDS, PostgresStatement, StatementWatch
from domain.bitcoin.ports import LightningError, NodeInvoice, Outgoing, Sent
from spark_actors.cli.audit import checks_of
from spark_actors.persistence.connections import Pool, make_pool
from tests.fixtures.lightning import MemoryNodeBooks

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEE_SAT = 3
OF_THE_NODE, OF_NOBODY = "what the node has paid is what the books paid out", "what the node has received is somebody's"


@dataclass
class Scene:
    """A node of which no backup is restored, and a daemon that reads its statement."""

    dsn: str
    node: SimulatedLightningNode
    pool: Pool
    now: datetime = START

    def __post_init__(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        """As the daemon does after a restart."""
        self.watch = StatementWatch(self.node, PostgresStatement(self.pool), call_timeout=timedelta(seconds=5))

    async def pay(self, nonce: str) -> SimulatedInvoice:
        invoice = simulated_invoice(1_000, self.now + HOUR, nonce=nonce)
        await self.node.pay(invoice.payment_request, fee_limit_sat=FEE_SAT)
        self.now += RECEIPTS_AFTER
        return invoice

    async def receive(self, invoice_id: str) -> NodeInvoice:
        made = await self.node.create_invoice(invoice_id=invoice_id, amount_sat=700, memo="", expires_in=HOUR)
        await self.node.receive(made.payment_request)
        self.now += RECEIPTS_AFTER
        return made

    async def read(self) -> None:
        """All that there is."""
        for step in (self.watch.payments_step, self.watch.receipts_step):
            while await step() == 0:
                pass

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def differences(self) -> dict[str, list[str]]:
        """What the audit says of the node."""
        checks = checks_of(APPLICATION, dict.fromkeys(APPLICATION.schemas, self.dsn))
        found = {check.name: [finding.subject for finding in check.findings] for check in checks}
        return {name: subjects for name, subjects in found.items() if subjects and name in (OF_THE_NODE, OF_NOBODY)}


@asynccontextmanager
async def scene_on(dsn: str) -> AsyncIterator[Scene]:
    async with make_pool(dsn) as pool:
        settings = SimulatedSettings(payment_delay=None, fee_sat=FEE_SAT)
        node = SimulatedLightningNode(MemoryNodeBooks(), settings, clock=lambda: scene.now, random=Random(1))
        scene = Scene(dsn, node, pool)
        yield scene


@pytest.fixture
def play(emptied_database: str) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    async def played(play_it: Callable[[Scene], Awaitable[None]]) -> None:
        async with scene_on(emptied_database) as scene:
            await play_it(scene)

    return lambda play_it: asyncio.run(played(play_it))


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]
PAYMENTS = "SELECT payment_hash, amount_sat, fee_sat FROM bitcoin.node_payments ORDER BY seen_at"


def test_every_payment_is_copied_once_and_every_receipt_that_no_deposit_has(play: Play) -> None:
    async def scene_played(scene: Scene) -> None:
        paid = [await scene.pay("1"), await scene.pay("2")]
        known, unknown = await scene.receive("known"), await scene.receive("unknown")
        book_deposit(scene, known)
        book_withdrawal(scene, unknown)  # who pays it out has not made the invoice
        await scene.read()
        assert len(scene.sql(PAYMENTS)) == 2
        paid.append(await scene.pay("3"))
        await scene.read()
        scene.sql("UPDATE bitcoin.node_statement_read SET cursor = ''")  # as if another had read more slowly
        await scene.read()
        assert set(scene.sql(PAYMENTS)) == {(each.payment_hash, 1_000, FEE_SAT) for each in paid}
        assert scene.sql("SELECT payment_hash FROM bitcoin.node_receipts_unknown") == [(unknown.payment_hash,)]

    play(scene_played)


def test_what_a_node_did_before_it_served_these_books_is_held_against_nobody(play: Play) -> None:
    async def scene_played(scene: Scene) -> None:
        await scene.pay("past")
        await scene.receive("past")
        await scene.read()
        assert scene.differences() == {}

    play(scene_played)


def test_after_the_restore_of_an_older_backup_the_audit_names_what_the_node_has_paid_and_received_since(
    play: Play,
) -> None:
    async def scene_played(scene: Scene) -> None:
        book_withdrawal(scene, await scene.pay("before"))
        await scene.read()
        back_up(scene)
        paid, received = await scene.pay("since"), await scene.receive("since")
        book_withdrawal(scene, paid)
        book_deposit(scene, received)
        await scene.read()
        assert scene.differences() == {}
        restore(scene)
        assert scene.differences() == {}
        await scene.read()
        assert scene.differences() == {OF_THE_NODE: [paid.payment_hash], OF_NOBODY: [received.payment_hash]}

    play(scene_played)


@pytest.mark.parametrize("seen_to", ["explained", "requested again"])
def test_books_that_were_restored_tell_what_they_lack_before_anything_more_is_sent(play: Play, seen_to: str) -> None:
    async def scene_played(scene: Scene) -> None:
        await scene.read()
        back_up(scene)
        paid = await scene.pay("since")
        book_withdrawal(scene, paid)
        await scene.read()
        restore(scene)
        scene.start_again()
        with pytest.raises(LightningError, match="not read through"):
            await scene.watch.unbooked()
        assert await scene.watch.unbooked() == [Sent(paid.payment_hash, 1_000, FEE_SAT)]
        scene.start_again()
        assert await scene.watch.unbooked() == [Sent(paid.payment_hash, 1_000, FEE_SAT)]
        if seen_to == "explained":
            scene.sql("INSERT INTO bitcoin.node_explained VALUES (%s, 'lost with the disk')", paid.payment_hash)
        else:
            book_withdrawal(scene, paid)
        assert await scene.watch.unbooked() == []

    play(scene_played)


def test_a_withdrawal_that_the_books_have_rejected_does_not_explain_that_the_node_has_paid_it(play: Play) -> None:
    async def scene_played(scene: Scene) -> None:
        await scene.read()
        paid = await scene.pay("since")
        book_rejection(scene, paid)
        await scene.read()
        scene.start_again()
        assert [each.payment_hash for each in await scene.watch.unbooked()] == [paid.payment_hash]

    play(scene_played)


def test_what_a_node_paid_before_it_served_these_books_and_what_they_know_of_hinders_no_payment(play: Play) -> None:
    async def scene_played(scene: Scene) -> None:
        await scene.pay("past")
        await scene.read()
        book_withdrawal(scene, await scene.pay("own"))
        await scene.read()
        assert await scene.watch.unbooked() == []

    play(scene_played)


def test_a_receipt_whose_deposit_becomes_known_later_is_somebodys(play: Play) -> None:
    async def scene_played(scene: Scene) -> None:
        await scene.read()
        received = await scene.receive("d")
        await scene.read()
        assert scene.differences() == {OF_NOBODY: [received.payment_hash]}
        book_deposit(scene, received)
        assert scene.differences() == {}

    play(scene_played)


def test_a_node_that_does_not_answer_is_asked_again_from_the_same_place(play: Play) -> None:
    async def scene_played(scene: Scene) -> None:
        answer = scene.node.sent

        async def no_answer(cursor: str) -> Outgoing:
            raise LightningError("no answer")

        scene.node.sent = no_answer  # type: ignore[method-assign]
        paid = await scene.pay("1")
        assert await scene.watch.payments_step() == STATEMENT_SECONDS
        assert scene.sql("SELECT * FROM bitcoin.node_statement_read") == []
        scene.node.sent = answer  # type: ignore[method-assign]
        await scene.read()
        assert scene.sql(PAYMENTS) == [(paid.payment_hash, 1_000, FEE_SAT)]

    play(scene_played)


TABLES = ("invoices", "node_statement_read", "node_payments", "node_payments_unknown", "node_receipts_unknown")


def back_up(scene: Scene) -> None:
    for table in TABLES:
        scene.sql(f"CREATE TABLE public.backup_{table} AS SELECT * FROM bitcoin.{table}")


def restore(scene: Scene) -> None:
    for table in TABLES:
        scene.sql(f"DELETE FROM bitcoin.{table}")
        scene.sql(f"INSERT INTO bitcoin.{table} SELECT * FROM public.backup_{table}")
        scene.sql(f"DROP TABLE public.backup_{table}")


def book_withdrawal(scene: Scene, invoice: SimulatedInvoice | NodeInvoice) -> None:
    scene.sql(
        "INSERT INTO bitcoin.invoices VALUES"
        " (%s, 3, 'withdrawal', 'paid', 'ada', 1000, now(), %s, 'r', now(), 'proof', NULL, now(), 5, %s)",
        *(invoice.payment_hash[:8], invoice.payment_hash, FEE_SAT),
    )


def book_rejection(scene: Scene, invoice: SimulatedInvoice | NodeInvoice) -> None:
    scene.sql(
        "INSERT INTO bitcoin.invoices VALUES"
        " (%s, 3, 'withdrawal', 'rejected', 'ada', 1000, now(), %s, 'r', now(), NULL, 'insufficient_funds')",
        *(invoice.payment_hash[:8], invoice.payment_hash),
    )


def book_deposit(scene: Scene, invoice: NodeInvoice) -> None:
    scene.sql(
        "INSERT INTO bitcoin.invoices VALUES (%s, 2, 'deposit', 'paid', 'ada', 700, now(), %s, 'r', now())",
        *(invoice.payment_hash[:8], invoice.payment_hash),
    )
