"""The worker: what it makes of the node's answers, and that no answer is ever made up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from structlog.testing import capture_logs

from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.adapters.worker import LightningWorker
from domain.bitcoin.context import CONTEXT
from domain.bitcoin.messages import (
    ConfirmDeposit,
    ExpireInvoice,
    FailDeposit,
    FailWithdrawal,
    IssueInvoice,
    SettleWithdrawal,
)
from domain.bitcoin.ports import (
    InvalidPaymentRequestError,
    InvoiceRefusedError,
    InvoiceStatus,
    LightningError,
    LightningNode,
    NodeInvoice,
    Payment,
    PaymentStatus,
    PaymentTerms,
)
from domain.bitcoin.tasks import MakeInvoice, PayInvoice, WatchInvoice
from spark_actors.actors.tasks import TaskWorker
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Message, MessageRegistry
from spark_actors.kernel.tasks import Task, Workers
from spark_actors.messaging.envelope import Envelope, Reply, decode_data
from spark_actors.messaging.ports import ListedTask
from spark_actors.messaging.telemetry import OutsideAsked, TelemetryEvent
from spark_actors.persistence.memory_tasks import MemoryDurableTasks
from tests.fixtures.lightning import MemoryNodeBooks
from tests.fixtures.tasks import listed

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
REGISTRY = MessageRegistry(CONTEXT.messages)
CALL_TIMEOUT = timedelta(seconds=0.05)
INTERVAL = Workers({}).interval

MAKE = MakeInvoice(invoice_id="d-1", amount_sat=1_000)
WATCH = WatchInvoice(invoice_id="d-1", payment_hash="h")
PAY = PayInvoice(invoice_id="w-1", amount_sat=1_000, payment_hash="h", payment_request="r")
TERMS = PaymentTerms("h", 1_000, START + HOUR)
PAID = Payment(PaymentStatus.PAID, preimage="proof")
FAILED = Payment(PaymentStatus.FAILED, reason="no_route")
PENDING = Payment(PaymentStatus.PENDING)
NOT_FOUND = Payment(PaymentStatus.NOT_FOUND)
NO_ANSWER = LightningError("no answer")


class ScriptedNode:
    """Answers each call with the next of its answers; an exception is raised; a callable answers later or never."""

    def __init__(self, **answers: Sequence[object]) -> None:
        self.answers = {call: deque(given) for call, given in answers.items()}
        self.calls: list[str] = []

    async def _next(self, call: str) -> object:
        self.calls.append(call)
        answer = self.answers[call].popleft()
        if isinstance(answer, Exception):
            raise answer
        return await answer() if callable(answer) else answer

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        return await self._next("create_invoice")  # type: ignore[return-value]

    async def invoice_status(self, payment_hash: str) -> InvoiceStatus:
        return await self._next("invoice_status")  # type: ignore[return-value]

    async def decode(self, payment_request: str) -> PaymentTerms:
        return await self._next("decode")  # type: ignore[return-value]

    async def pay(self, payment_request: str) -> Payment:
        return await self._next("pay")  # type: ignore[return-value]

    async def payment_status(self, payment_hash: str) -> Payment:
        return await self._next("payment_status")  # type: ignore[return-value]


class Scene:
    """A worker with its surroundings. Commands are answered with *verdict*."""

    def __init__(self, node: LightningNode, *tasks: Task, call_timeout: timedelta = CALL_TIMEOUT) -> None:
        self.now = START
        self.tasks = MemoryDurableTasks(lambda: self.now)
        self.tasks.tasks = {f"{place}": listed(task, place) for place, task in enumerate(tasks)}
        self.verdict = Verdict.DONE
        self.envelopes: list[Envelope] = []
        self.told: list[TelemetryEvent] = []
        lightning = LightningWorker(node, invoice_expiry=HOUR, call_timeout=call_timeout, telemetry=self.told.append)
        self.worker = TaskWorker(
            self.tasks,
            Workers(lightning.by_task),
            REGISTRY,
            self,
            clock=lambda: self.now,
            telemetry=self.told.append,
        )

    @property
    def rows(self) -> list[ListedTask]:
        return list(self.tasks.tasks.values())

    async def send(self, commands: Sequence[Envelope]) -> Sequence[Reply]:
        self.envelopes += commands
        return [Reply(command.message_id, self.verdict) for command in commands]

    @property
    def commands(self) -> list[Message]:
        return [decode_data(REGISTRY, envelope) for envelope in self.envelopes]

    def step(self) -> float:
        return asyncio.run(self.worker.step())

    def pass_the_pause(self) -> None:
        self.now = max(task.due_at for task in self.rows)


async def never() -> object:
    return await asyncio.Event().wait()


def test_an_invoice_made_by_the_node_is_issued() -> None:
    invoice = NodeInvoice("h", "r", START + HOUR)
    scene = Scene(ScriptedNode(create_invoice=[invoice]), MAKE)
    scene.step()
    expected = IssueInvoice(invoice_id="d-1", payment_hash="h", payment_request="r", expires_at=START + HOUR)
    assert scene.commands == [expected]
    assert not scene.rows


def test_an_invoice_that_the_node_refuses_to_make_ends_the_deposit_with_its_reason() -> None:
    scene = Scene(ScriptedNode(create_invoice=[InvoiceRefusedError("amount_too_large")]), MAKE)
    scene.step()
    assert scene.commands == [FailDeposit(invoice_id="d-1", reason="amount_too_large")]
    assert not scene.rows
    assert [(event.call, event.answer) for event in scene.told if isinstance(event, OutsideAsked)] == [
        ("create_invoice", "refused")
    ]


def test_an_invoice_of_which_nobody_knows_is_asked_for_again() -> None:
    invoice = NodeInvoice("h", "r", START + HOUR)
    scene = Scene(ScriptedNode(create_invoice=[NO_ANSWER, never, RuntimeError("a bug"), invoice]), MAKE)
    for _ in range(3):
        scene.step()
        assert not scene.commands
        assert [(row.envelope.key, row.envelope.name) for row in scene.rows] == [("d-1", "bitcoin.make-invoice")]
        scene.pass_the_pause()
    scene.step()
    assert [type(command) for command in scene.commands] == [IssueInvoice]


def test_an_answer_that_the_invoice_refuses_is_told_in_the_log() -> None:
    scene = Scene(ScriptedNode(payment_status=[PAID]), PAY)
    scene.verdict = Verdict.REJECTED
    with capture_logs() as logs:
        scene.step()
    assert [(line["event"], line["answer"]) for line in logs] == [("task_answer_refused", "bitcoin.settle-withdrawal")]
    assert not scene.rows


def test_a_command_belongs_to_the_story_of_its_task() -> None:
    scene = Scene(ScriptedNode(invoice_status=[InvoiceStatus.PAID]), WATCH)
    scene.step()
    (envelope,) = scene.envelopes
    assert (envelope.key, envelope.correlation_id, envelope.causation_id) == ("d-1", "story", "event-1")
    assert envelope.name == "bitcoin.confirm-deposit"


@pytest.mark.parametrize(
    ("status", "command"),
    [
        (InvoiceStatus.PAID, ConfirmDeposit(invoice_id="d-1")),
        (InvoiceStatus.EXPIRED, ExpireInvoice(invoice_id="d-1")),
    ],
)
def test_a_watched_invoice_ends_as_the_node_says(status: InvoiceStatus, command: Message) -> None:
    scene = Scene(ScriptedNode(invoice_status=[status]), WATCH)
    scene.step()
    assert scene.commands == [command]
    assert not scene.rows


def test_a_withdrawal_is_looked_up_checked_and_paid() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND], decode=[TERMS], pay=[PAID])
    scene = Scene(node, PAY)
    scene.step()
    assert node.calls == ["payment_status", "decode", "pay"]
    assert scene.commands == [SettleWithdrawal(invoice_id="w-1", preimage="proof")]
    assert not scene.rows


@pytest.mark.parametrize(
    ("known", "command"),
    [
        (PAID, SettleWithdrawal(invoice_id="w-1", preimage="proof")),
        (FAILED, FailWithdrawal(invoice_id="w-1", reason="no_route")),
        (Payment(PaymentStatus.FAILED), FailWithdrawal(invoice_id="w-1", reason="payment_failed")),
    ],
)
def test_a_payment_whose_result_is_known_is_not_asked_for_again(known: Payment, command: Message) -> None:
    node = ScriptedNode(payment_status=[known])
    scene = Scene(node, PAY)
    scene.step()
    assert node.calls == ["payment_status"]
    assert scene.commands == [command]


@pytest.mark.parametrize(
    ("decoded", "reason"),
    [
        (replace(TERMS, payment_hash="other"), "payment_hash_mismatch"),
        (replace(TERMS, amount_sat=1_001), "amount_mismatch"),
        (InvalidPaymentRequestError("what is this"), "invalid_payment_request"),
    ],
)
def test_a_request_that_is_not_the_authorised_one_is_never_paid(decoded: object, reason: str) -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND], decode=[decoded])
    scene = Scene(node, PAY)
    scene.step()
    assert node.calls == ["payment_status", "decode"]
    assert scene.commands == [FailWithdrawal(invoice_id="w-1", reason=reason)]


UNKNOWN: list[dict[str, Sequence[object]]] = [
    {"payment_status": [PENDING]},
    {"payment_status": [NO_ANSWER]},
    {"payment_status": [never]},
    {"payment_status": [ValueError("a bug in the adapter")]},
    {"payment_status": [NOT_FOUND], "decode": [NO_ANSWER]},
    {"payment_status": [NOT_FOUND], "decode": [TERMS], "pay": [NO_ANSWER]},
    {"payment_status": [NOT_FOUND], "decode": [TERMS], "pay": [never]},
    {"payment_status": [NOT_FOUND], "decode": [TERMS], "pay": [PENDING]},
    {"payment_status": [NOT_FOUND], "decode": [TERMS], "pay": [NOT_FOUND]},
    {"payment_status": [NOT_FOUND], "decode": [TERMS], "pay": [InvalidPaymentRequestError("strange")]},
]


@pytest.mark.parametrize("answers", UNKNOWN)
def test_a_withdrawal_whose_result_is_unknown_is_neither_settled_nor_failed(
    answers: dict[str, Sequence[object]],
) -> None:
    scene = Scene(ScriptedNode(**answers), PAY)
    scene.step()
    assert not scene.commands
    (task,) = scene.rows
    assert (task.attempts, task.due_at) == (1, START + INTERVAL)


def test_a_call_to_pay_that_never_arrived_is_made_again() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND, NOT_FOUND], decode=[TERMS, TERMS], pay=[NO_ANSWER, PAID])
    scene = Scene(node, PAY)
    scene.step()
    scene.pass_the_pause()
    scene.step()
    assert scene.commands == [SettleWithdrawal(invoice_id="w-1", preimage="proof")]


def test_a_request_that_has_expired_after_an_unanswered_call_is_left_to_the_node() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND, NOT_FOUND], decode=[TERMS, TERMS], pay=[NO_ANSWER, PAID])
    scene = Scene(node, PAY)
    scene.step()
    scene.now = START + 2 * HOUR
    scene.step()
    assert scene.commands == [SettleWithdrawal(invoice_id="w-1", preimage="proof")]


def test_different_answers_have_different_ids() -> None:
    ids = []
    for known in (PAID, FAILED):
        scene = Scene(ScriptedNode(payment_status=[known]), PAY)
        scene.step()
        ids.append(scene.envelopes[0].message_id)
    assert len(set(ids)) == 2


def test_every_call_is_told_with_a_bounded_word() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND, NO_ANSWER], decode=[TERMS], pay=[PENDING])
    scene = Scene(node, PAY)
    scene.step()
    scene.pass_the_pause()
    scene.step()
    told = [(event.call, event.answer) for event in scene.told if isinstance(event, OutsideAsked)]
    assert told == [("payment_status", "not_found"), ("decode", "ok"), ("pay", "pending"), ("payment_status", "error")]


@pytest.mark.parametrize("behaviour", Behaviour)
def test_with_the_simulated_node_every_withdrawal_ends_as_its_invoice_behaves(behaviour: Behaviour) -> None:
    invoice = simulated_invoice(1_000, START + HOUR, nonce="n", behaviour=behaviour)
    task = replace(PAY, payment_hash=invoice.payment_hash, payment_request=invoice.payment_request)

    async def played() -> list[Message]:
        scene: Scene
        now: Callable[[], datetime] = lambda: scene.now  # noqa: E731 - the scene needs the node first
        node = SimulatedLightningNode(MemoryNodeBooks(), SimulatedSettings(), clock=now, random=Random(1))
        scene = Scene(node, task, call_timeout=timedelta(seconds=10))
        while scene.rows:
            await scene.worker.step()
            scene.now += timedelta(seconds=1)
        books = await node.books()
        is_paid = isinstance(scene.commands[0], SettleWithdrawal)
        assert books.paid_sat == (1_000 if is_paid else 0)
        return scene.commands

    (command,) = asyncio.run(played())
    ends_failed = behaviour in (Behaviour.FAIL, Behaviour.UNKNOWN_THEN_FAILED)
    assert isinstance(command, FailWithdrawal if ends_failed else SettleWithdrawal)
