"""What came in while nobody looked is confirmed, and the place in the node's list moves only after that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from domain.bitcoin.adapters.receipts import CATCH_UP_SECONDS, CatchUp
from domain.bitcoin.adapters.simulated import RECEIPTS_AFTER, SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.context import CONTEXT
from domain.bitcoin.invoice import Invoice, InvoiceKind, InvoiceState
from domain.bitcoin.messages import ConfirmDeposit
from domain.bitcoin.ports import Incoming, LightningError
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Message, MessageRegistry
from spark_actors.messaging.envelope import Envelope, Reply, decode_data
from tests.fixtures.lightning import MemoryNodeBooks, MemoryReceiptsRead

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
REGISTRY = MessageRegistry(CONTEXT.messages)


class Scene:
    """A node that has made invoices, and what is known here of them."""

    def __init__(self) -> None:
        self.now = START
        self.node = SimulatedLightningNode(
            MemoryNodeBooks(), SimulatedSettings(payment_delay=None), clock=lambda: self.now, random=Random(1)
        )
        self.invoices: dict[str, Invoice] = {}
        self.read = MemoryReceiptsRead(lambda: self.invoices.values())
        self.verdict = Verdict.DONE
        self.sent: list[Envelope] = []
        self.catch_up = CatchUp(self.node, self.read, self, call_timeout=timedelta(seconds=5), clock=lambda: self.now)

    async def send(self, commands: Sequence[Envelope]) -> Sequence[Reply]:
        self.sent += commands
        return [Reply(command.message_id, self.verdict) for command in commands]

    @property
    def commands(self) -> list[Message]:
        return [decode_data(REGISTRY, envelope) for envelope in self.sent]

    async def paid_late(self, invoice_id: str, state: InvoiceState = InvoiceState.EXPIRED) -> None:
        """A deposit of which this is known was paid when it had expired; long enough ago for the node to tell."""
        made = await self.node.create_invoice(invoice_id=invoice_id, amount_sat=700, memo="", expires_in=HOUR)
        terms = (made.payment_hash, made.payment_request, made.expires_at)
        self.invoices[invoice_id] = Invoice(invoice_id, InvoiceKind.DEPOSIT, state, "ada", 700, START, *terms)
        self.now += 2 * HOUR
        await self.node.receive(made.payment_request, 750)
        self.now += RECEIPTS_AFTER


def test_a_deposit_that_was_paid_after_it_had_expired_is_confirmed_with_what_arrived() -> None:
    async def played() -> None:
        scene = Scene()
        await scene.paid_late("d-1")
        assert await scene.catch_up.step() == 0
        assert scene.commands == [ConfirmDeposit(invoice_id="d-1", received_sat=750)]
        assert await scene.catch_up.step() == CATCH_UP_SECONDS
        assert len(scene.sent) == 1

    asyncio.run(played())


def test_what_is_known_to_be_paid_is_told_to_nobody() -> None:
    async def played() -> None:
        scene = Scene()
        await scene.paid_late("d-1", InvoiceState.PAID)
        await scene.catch_up.step()
        assert not scene.sent
        assert scene.read.place

    asyncio.run(played())


def test_the_place_moves_only_when_all_before_it_was_told() -> None:
    async def played() -> None:
        scene = Scene()
        await scene.paid_late("d-1")
        for scene.verdict in (Verdict.LOCKED, Verdict.FAILED):
            assert await scene.catch_up.step() == CATCH_UP_SECONDS
            assert not scene.read.place
        scene.verdict = Verdict.DONE
        await scene.catch_up.step()
        assert scene.read.place
        assert len(scene.sent) == 3
        assert len({command.message_id for command in scene.sent}) == 1

    asyncio.run(played())


def test_a_node_that_does_not_answer_is_asked_again_from_the_same_place() -> None:
    async def played() -> None:
        scene = Scene()
        await scene.paid_late("d-1")

        async def no_answer(cursor: str) -> Incoming:
            raise LightningError("no answer")

        scene.node.received = no_answer  # type: ignore[method-assign]
        assert await scene.catch_up.step() == CATCH_UP_SECONDS
        assert (scene.sent, scene.read.place) == ([], "")

    asyncio.run(played())
