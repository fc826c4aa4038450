"""Tasks of one kind delay none of another, however many there are and however long each takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from domain.bitcoin.adapters.permits import PostgresPermits
from domain.bitcoin.adapters.requests import SimulatedRequest, read, written
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.adapters.worker import LightningWorker, Patience
from domain.bitcoin.context import CONTEXT
from domain.bitcoin.ports import Receipt
from domain.bitcoin.tasks import PayInvoice, WatchInvoice
from spark_actors.actors.tasks import TaskWorkers
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.kernel.tasks import Workers
from spark_actors.messaging.envelope import Envelope, Reply
from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.tasks import PostgresDurableTasks
from tests.fixtures.lightning import MemoryNodeBooks, MemoryStatement
from tests.fixtures.tasks import listed

HOUR = timedelta(hours=1)
DEPOSITS, WITHDRAWALS = 20_000, 20
SECONDS = 10.0
"""Far more than they take, and far less than one look at a deposit does here."""


class SlowToTell(SimulatedLightningNode):
    """Whether an invoice was paid it says after a minute."""

    async def receipt(self, payment_hash: str) -> Receipt:
        await asyncio.sleep(60)
        return await super().receipt(payment_hash)


class Aggregates:
    """Take every command."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []

    async def send(self, commands: Sequence[Envelope]) -> Sequence[Reply]:
        self.taken += commands
        return [Reply(command.message_id, Verdict.DONE) for command in commands]


def now() -> datetime:
    return datetime.now(UTC)


def a_withdrawal(number: int) -> PayInvoice:
    request = SimulatedRequest(1_000, now() + HOUR, f"{number}")
    return PayInvoice(
        invoice_id=f"w-{number}",
        amount_sat=1_000,
        payment_hash=request.payment_hash,
        payment_request=written(request),
    )


def test_twenty_thousand_unpaid_deposits_and_a_node_that_is_slow_to_tell_delay_no_withdrawal(
    emptied_database: str,
) -> None:
    async def played() -> None:
        aggregates = Aggregates()
        patience = Patience(invoice_expiry=HOUR, call_timeout=HOUR, look_up_timeout=HOUR, watch_expired=HOUR)
        async with make_pool(emptied_database) as pool:
            tasks = PostgresDurableTasks(pool, "bitcoin")
            deposits = [WatchInvoice(invoice_id=f"d-{number}", payment_hash="h") for number in range(DEPOSITS)]
            withdrawals = [a_withdrawal(number) for number in range(WITHDRAWALS)]
            await tasks.add([listed(each, each.key) for each in (*deposits, *withdrawals)])
            node = SlowToTell(MemoryNodeBooks(), SimulatedSettings(), clock=now, random=Random(1))
            worker = LightningWorker(
                node,
                PostgresPermits(pool),
                MemoryStatement(),
                read,
                patience=patience,
                clock=now,
                telemetry=lambda event: None,
            )
            workers = TaskWorkers(
                tasks,
                Workers(worker.by_task),
                MessageRegistry(CONTEXT.messages),
                aggregates,
                clock=now,
                telemetry=lambda event: None,
            )
            for loop in workers.loops:
                loop.start()
            async with asyncio.timeout(SECONDS):
                while len(aggregates.taken) < WITHDRAWALS:
                    await asyncio.sleep(0.02)
            for loop in workers.loops:
                await loop.cancel()
        assert {command.name for command in aggregates.taken} == {"bitcoin.settle-withdrawal"}

    asyncio.run(played())
