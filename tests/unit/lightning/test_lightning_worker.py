"""The worker: what it makes of the node's answers, and that no answer is ever made up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.bitcoin.adapters.requests import Behaviour, SimulatedRequest, read, simulated_invoice, written
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.adapters.worker import LightningWorker, Patience
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
    Incoming,
    InvalidPaymentRequestError,
    InvoiceRefusedError,
    InvoiceStatus,
    LightningError,
    LightningNode,
    NodeInvoice,
    NotSentError,
    Outgoing,
    Payment,
    PaymentStatus,
    Receipt,
    Sent,
)
from domain.bitcoin.sending import CLOCK_SKEW
from domain.bitcoin.tasks import LookUpPayment, MakeInvoice, PayInvoice, WatchExpired, WatchInvoice
from spark_actors.actors.tasks import TaskWorkers
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import Message, MessageRegistry
from spark_actors.kernel.tasks import Task, Workers
from spark_actors.messaging.envelope import Envelope, Reply, decode_data
from spark_actors.messaging.ports import ListedTask
from spark_actors.messaging.telemetry import OutsideAsked, TelemetryEvent
from spark_actors.persistence.memory_tasks import MemoryDurableTasks
from tests.fixtures.lightning import MemoryNodeBooks, MemoryPermits, MemoryStatement
from tests.fixtures.tasks import listed

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
REGISTRY = MessageRegistry(CONTEXT.messages)
CALL_TIMEOUT = timedelta(seconds=0.05)
INTERVAL = Workers({}).interval

MAKE = MakeInvoice(invoice_id="d-1", amount_sat=1_000)
WATCH = WatchInvoice(invoice_id="d-1", payment_hash="h")
REQUEST = SimulatedRequest(1_000, START + HOUR, "n")
HASH = REQUEST.payment_hash
PAY = PayInvoice(
    invoice_id="w-1", amount_sat=1_000, payment_hash=HASH, payment_request=written(REQUEST), fee_limit_sat=7
)
LOOK = LookUpPayment(**vars(PAY))
PAID = Payment(PaymentStatus.PAID, REQUEST.preimage, fee_sat=3)
SETTLED = SettleWithdrawal(invoice_id="w-1", preimage=REQUEST.preimage, fee_sat=3)
FAILED = Payment(PaymentStatus.FAILED, reason="no_route")
PENDING = Payment(PaymentStatus.PENDING)
NOT_FOUND = Payment(PaymentStatus.NOT_FOUND)
OPEN, EXPIRED = Receipt(InvoiceStatus.OPEN), Receipt(InvoiceStatus.EXPIRED)
NO_ANSWER = LightningError("no answer")
NOT_SENT = NotSentError("connection refused")
PATIENCE = Patience(
    invoice_expiry=HOUR, call_timeout=CALL_TIMEOUT, look_up_timeout=CALL_TIMEOUT, watch_expired=timedelta(days=3)
)


def failed(reason: str) -> FailWithdrawal:
    return FailWithdrawal(invoice_id="w-1", reason=reason)


class ScriptedNode:
    """Answers each call with the next of its answers; an exception is raised; a callable answers later or never."""

    def __init__(self, **answers: Sequence[object]) -> None:
        self.answers = {call: deque(given) for call, given in answers.items()}
        self.calls: list[str] = []
        self.network = "bcrt"
        self.has_sticky_failures = False
        self.can_miss_receipts = False

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

    async def receipt(self, payment_hash: str) -> Receipt:
        return await self._next("receipt")  # type: ignore[return-value]

    async def received(self, cursor: str) -> Incoming:
        return await self._next("received")  # type: ignore[return-value]

    async def sent(self, cursor: str) -> Outgoing:
        return await self._next("sent")  # type: ignore[return-value]

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        assert fee_limit_sat == PAY.fee_limit_sat
        return await self._next("pay")  # type: ignore[return-value]

    async def payment_status(self, payment_hash: str) -> Payment:
        return await self._next("payment_status")  # type: ignore[return-value]

    async def balance_sat(self) -> int:
        return await self._next("balance_sat")  # type: ignore[return-value]


class Scene:
    """A worker with its surroundings. Commands are answered with *verdict*."""

    def __init__(
        self,
        node: LightningNode,
        *tasks: Task,
        permits: MemoryPermits | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.now = START
        self.tasks = MemoryDurableTasks(lambda: self.now)
        self.tasks.tasks = {f"{place}": listed(task, place) for place, task in enumerate(tasks)}
        self.permits = permits or MemoryPermits()
        self.statement = MemoryStatement()
        self.verdict = Verdict.DONE
        self.envelopes: list[Envelope] = []
        self.told: list[TelemetryEvent] = []
        lightning = LightningWorker(
            node,
            self.permits,
            self.statement,
            read,
            patience=patience,
            clock=lambda: self.now,
            telemetry=self.told.append,
        )
        self.workers = TaskWorkers(
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

    def step(self) -> None:
        """What is due is done, each kind in its turn."""
        asyncio.run(self.round())

    async def round(self) -> None:
        for each in self.workers.by_name.values():
            await each.step()

    @property
    def waiting(self) -> list[Message]:
        return [decode_data(REGISTRY, row.envelope) for row in self.rows]

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
    scene = Scene(ScriptedNode(receipt=[Receipt(InvoiceStatus.PAID, 1_500)]), WATCH)
    scene.step()
    (envelope,) = scene.envelopes
    assert (envelope.key, envelope.correlation_id, envelope.causation_id) == ("d-1", "story", "event-1")
    assert envelope.name == "bitcoin.confirm-deposit"


def test_of_an_invoice_that_was_paid_is_told_what_arrived() -> None:
    scene = Scene(ScriptedNode(receipt=[Receipt(InvoiceStatus.OPEN), Receipt(InvoiceStatus.PAID, 1_500)]), WATCH)
    scene.step()
    assert not scene.commands
    scene.pass_the_pause()
    scene.step()
    assert scene.commands == [ConfirmDeposit(invoice_id="d-1", received_sat=1_500)]
    assert not scene.rows


def test_an_invoice_that_has_expired_is_looked_at_every_hour_for_days() -> None:
    scene = Scene(ScriptedNode(receipt=[Receipt(InvoiceStatus.EXPIRED)] * 73), WATCH)
    scene.step()
    assert scene.commands == [ExpireInvoice(invoice_id="d-1")]
    until = START + timedelta(days=3)
    assert scene.waiting == [WatchExpired(invoice_id="d-1", payment_hash="h", at=START + HOUR, until=until)]
    looks = 0
    while scene.rows:
        (row,) = scene.rows
        assert (row.is_scheduled, row.due_at - scene.now) == (True, HOUR)
        scene.now = row.due_at
        scene.step()
        looks += 1
    assert (looks, scene.now) == (72, until)
    assert len(scene.commands) == 1


def test_an_expired_invoice_that_was_paid_after_all_is_confirmed() -> None:
    answers = [
        Receipt(InvoiceStatus.EXPIRED),
        Receipt(InvoiceStatus.EXPIRED),
        NO_ANSWER,
        Receipt(InvoiceStatus.PAID, 9),
    ]
    scene = Scene(ScriptedNode(receipt=answers), WATCH)
    for _ in answers:
        scene.step()
        scene.now = max((row.due_at for row in scene.rows), default=scene.now)
    assert scene.commands == [ExpireInvoice(invoice_id="d-1"), ConfirmDeposit(invoice_id="d-1", received_sat=9)]
    assert not scene.rows


def test_a_withdrawal_is_looked_up_and_paid_with_the_permit() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND], pay=[PAID])
    scene = Scene(node, PAY)
    scene.step()
    assert node.calls == ["payment_status", "pay"]
    assert scene.commands == [SETTLED]
    assert scene.permits.given == {HASH: "w-1"}
    assert not scene.rows


def test_a_payment_that_fails_is_failed_at_once() -> None:
    scene = Scene(ScriptedNode(payment_status=[NOT_FOUND], pay=[FAILED]), PAY)
    scene.step()
    assert scene.commands == [failed("no_route")]


def test_who_does_not_get_the_permit_only_looks_up() -> None:
    permits = MemoryPermits()
    permits.given[HASH] = "w-1"
    node = ScriptedNode(payment_status=[NOT_FOUND, NOT_FOUND, PAID])
    scene = Scene(node, PAY, permits=permits)
    scene.step()
    assert scene.waiting == [LOOK]
    scene.pass_the_pause()
    scene.step()
    assert scene.commands == [SETTLED]
    assert "pay" not in node.calls


def test_what_was_tried_for_another_withdrawal_and_has_failed_is_failed_at_once_and_says_so() -> None:
    permits = MemoryPermits()
    permits.given[HASH] = "w-0"
    node = ScriptedNode(payment_status=[FAILED])
    scene = Scene(node, PAY, permits=permits)
    scene.step()
    assert scene.commands == [failed("payment_tried_before")]
    assert "pay" not in node.calls
    assert not scene.rows


@pytest.mark.parametrize("known", [PAID, PENDING])
def test_what_the_node_knows_already_needs_no_permit_and_is_not_asked_for_again(known: Payment) -> None:
    """A task of a former release, or somebody has paid by hand."""
    node = ScriptedNode(payment_status=[known, PAID])
    scene = Scene(node, PAY)
    asyncio.run(scene.workers.by_name[PAY.TYPE.name].step())
    assert scene.commands == ([] if known is PENDING else [SETTLED])
    assert scene.waiting == ([LOOK] if known is PENDING else [])
    assert "pay" not in node.calls
    assert not scene.permits.given


def test_what_has_failed_before_anybody_had_the_permit_is_failed_and_can_be_sent_no_more() -> None:
    scene = Scene(ScriptedNode(payment_status=[FAILED]), PAY)
    scene.step()
    assert scene.commands == [failed("no_route")]
    assert scene.permits.given == {HASH: "w-1"}


def test_a_task_of_a_former_release_of_which_the_node_knows_nothing_takes_a_permit_like_any_other() -> None:
    former = listed(PAY, "0")
    data = b'{"invoice_id":"w-1","amount_sat":1000,"payment_hash":"%s","payment_request":"%s"}'
    envelope = replace_data(former.envelope, data % (HASH.encode(), PAY.payment_request.encode()))
    node = SimulatedLightningNode(MemoryNodeBooks(), SimulatedSettings(), clock=lambda: START, random=Random(1))
    scene = Scene(node)
    scene.tasks.tasks = {"0": replace(former, envelope=envelope)}
    scene.step()
    assert [type(command) for command in scene.commands] == [SettleWithdrawal]
    assert scene.permits.given == {HASH: "w-1"}


def replace_data(envelope: Envelope, data: bytes) -> Envelope:
    fields = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
    return Envelope(**{**fields, "data": data})


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (SimulatedRequest(1_000, START + HOUR, "other"), "payment_hash_mismatch"),
        (SimulatedRequest(1_001, START + HOUR, "n"), "amount_mismatch"),
        (None, "invalid_payment_request"),
    ],
)
def test_a_request_that_is_not_the_authorised_one_is_never_paid(request_: SimulatedRequest | None, reason: str) -> None:
    node = ScriptedNode()
    scene = Scene(node, replace(PAY, payment_request=written(request_) if request_ else "what is this"))
    scene.step()
    assert node.calls == []
    assert scene.commands == [failed(reason)]


def test_a_request_that_has_expired_before_anybody_sent_it_is_failed_and_can_be_sent_no_more() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND])
    scene = Scene(node, PAY)
    scene.now = START + HOUR
    scene.step()
    assert scene.commands == [failed("invoice_expired")]
    assert scene.permits.given == {HASH: "w-1"}
    assert "pay" not in node.calls


def test_who_has_taken_so_long_to_the_permit_that_the_request_has_expired_does_not_pay() -> None:
    class SlowPermits(MemoryPermits):
        async def take(self, payment_hash: str, invoice_id: str) -> bool:
            scene.now = START + HOUR
            return await super().take(payment_hash, invoice_id)

    node = ScriptedNode(payment_status=[NOT_FOUND])
    scene = Scene(node, PAY, permits=SlowPermits())
    scene.step()
    assert "pay" not in node.calls
    assert scene.commands == [failed("invoice_expired")]


UNKNOWN: list[dict[str, Sequence[object]]] = [
    {"payment_status": [PENDING]},
    {"payment_status": [NOT_FOUND], "pay": [NO_ANSWER]},
    {"payment_status": [NOT_FOUND], "pay": [never]},
    {"payment_status": [NOT_FOUND], "pay": [PENDING]},
    {"payment_status": [NOT_FOUND], "pay": [NOT_FOUND]},
]


@pytest.mark.parametrize("answers", UNKNOWN)
def test_a_payment_whose_result_is_unknown_is_neither_settled_nor_failed_but_looked_up(
    answers: dict[str, Sequence[object]],
) -> None:
    scene = Scene(ScriptedNode(**answers), PAY)
    asyncio.run(scene.workers.by_name[PAY.TYPE.name].step())
    assert not scene.commands
    assert scene.waiting == [LOOK]


@pytest.mark.parametrize(
    "answers",
    [
        {"payment_status": [NO_ANSWER]},
        {"payment_status": [never]},
        {"payment_status": [ValueError("a bug in the adapter")]},
        {"payment_status": [NOT_FOUND], "pay": [InvalidPaymentRequestError("strange")]},
    ],
)
def test_without_an_answer_a_payment_stays_to_be_done(answers: dict[str, Sequence[object]]) -> None:
    scene = Scene(ScriptedNode(**answers), PAY)
    scene.step()
    assert not scene.commands
    (task,) = scene.rows
    assert (task.attempts, task.due_at) == (1, START + INTERVAL)


def test_a_payment_that_may_never_have_been_sent_is_failed_when_nobody_can_send_it_any_more() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND] * 4, pay=[NO_ANSWER])
    scene = Scene(node, PAY)
    scene.step()
    scene.now = START + HOUR + CLOCK_SKEW - timedelta(seconds=1)
    scene.step()
    assert not scene.commands
    scene.now = START + HOUR + CLOCK_SKEW + timedelta(seconds=30)
    scene.step()
    assert scene.commands == [failed("never_sent")]
    assert node.calls.count("pay") == 1


def test_a_call_that_certainly_sent_nothing_gives_the_permit_back_and_is_made_again() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND, NOT_FOUND], pay=[NOT_SENT, PAID])
    scene = Scene(node, PAY)
    scene.step()
    assert not scene.permits.given
    assert [row.problem for row in scene.rows] == ["connection refused"]
    scene.pass_the_pause()
    scene.step()
    assert scene.commands == [SETTLED]


def test_who_looks_up_what_was_given_back_meanwhile_has_it_sent() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND, NOT_FOUND], pay=[PAID])
    scene = Scene(node, LOOK)
    scene.step()
    assert scene.waiting == [PAY]
    scene.step()
    assert scene.commands == [SETTLED]


@pytest.mark.parametrize("task", [PAY, LOOK])
def test_what_proves_nothing_is_never_settled_but_raises_the_alarm(task: Task) -> None:
    node = ScriptedNode(payment_status=[replace(PAID, preimage="ab" * 32)])
    scene = Scene(node, task)
    with capture_logs() as logs:
        scene.step()
    assert not scene.commands
    assert scene.rows
    alarms = [line for line in logs if line["event"] == "payment_not_proven"]
    assert [(line["log_level"], line["invoice_id"], line["payment_hash"]) for line in alarms] == [
        ("error", "w-1", HASH)
    ]
    counted = [event.answer for event in scene.told if isinstance(event, OutsideAsked) and event.call == "proof"]
    assert counted == ["invalid"]


def test_without_the_store_of_permits_nothing_is_sent() -> None:
    class NoPermits(MemoryPermits):
        async def take(self, payment_hash: str, invoice_id: str) -> bool:
            raise StorageUnavailableError("gone")

    node = ScriptedNode(payment_status=[NOT_FOUND])
    scene = Scene(node, PAY, permits=NoPermits())
    scene.step()
    assert "pay" not in node.calls
    assert [row.problem for row in scene.rows] == ["gone"]


def test_a_worker_that_wakes_after_another_has_failed_the_payment_does_not_send_it() -> None:
    """The node pays what has failed when it is asked again; one worker stands still between its look and its call."""

    async def played() -> None:
        behaviour = Behaviour.FAIL_THEN_PAY
        request = simulated_invoice(1_000, START + HOUR, nonce="z", behaviour=behaviour)
        task = replace(PAY, payment_hash=request.payment_hash, payment_request=request.payment_request)
        real = SimulatedLightningNode(MemoryNodeBooks(), SimulatedSettings(), clock=lambda: START, random=Random(1))
        permits = MemoryPermits()
        sleeper, has_looked, wakes = Sleeper(real), asyncio.Event(), asyncio.Event()
        sleeper.after_look = (has_looked, wakes)
        one, other = (worker_of(node, permits) for node in (sleeper, real))
        asleep = asyncio.create_task(one.pay(task))
        await has_looked.wait()
        assert await other.pay(task) == [failed("no_route")]
        wakes.set()
        assert await asleep == [LookUpPayment(**vars(task))]
        assert await one.look_up(LookUpPayment(**vars(task))) == [failed("no_route")]
        assert (await real.books()).paid_sat == 0

    asyncio.run(played())


def test_a_worker_that_sleeps_with_the_permit_in_its_hand_keeps_everybody_from_failing_it() -> None:
    async def played() -> None:
        request = simulated_invoice(1_000, START + HOUR, nonce="z")
        task = replace(PAY, payment_hash=request.payment_hash, payment_request=request.payment_request)
        real = SimulatedLightningNode(MemoryNodeBooks(), SimulatedSettings(), clock=lambda: START, random=Random(1))
        permits = MemoryPermits()
        sleeper, is_about_to, wakes = Sleeper(real), asyncio.Event(), asyncio.Event()
        sleeper.before_pay = (is_about_to, wakes)
        one, other = (worker_of(node, permits) for node in (sleeper, real))
        asleep = asyncio.create_task(one.pay(task))
        await is_about_to.wait()
        assert await other.pay(task) == [LookUpPayment(**vars(task))]
        wakes.set()
        (settled,) = await asleep
        assert isinstance(settled, SettleWithdrawal)
        assert (await real.books()).paid_sat == 1_000

    asyncio.run(played())


def test_who_gives_a_payment_up_while_another_has_the_permit_only_looks_again() -> None:
    """The request has expired by the clock of the one, and the other is about to send it."""

    async def played() -> None:
        request = simulated_invoice(1_000, START + HOUR, nonce="z")
        task = replace(PAY, payment_hash=request.payment_hash, payment_request=request.payment_request)
        real = SimulatedLightningNode(MemoryNodeBooks(), SimulatedSettings(), clock=lambda: START, random=Random(1))
        permits = MemoryPermits()
        sleeper, has_looked, wakes = Sleeper(real), asyncio.Event(), asyncio.Event()
        sleeper.after_look = (has_looked, wakes)
        late = worker_of(sleeper, permits, now=START + HOUR)
        asleep = asyncio.create_task(late.pay(task))
        await has_looked.wait()
        (settled,) = await worker_of(real, permits).pay(task)
        assert isinstance(settled, SettleWithdrawal)
        wakes.set()
        assert await asleep == [LookUpPayment(**vars(task))]

    asyncio.run(played())


class Sleeper:
    """A node behind which its worker stands still."""

    def __init__(self, node: SimulatedLightningNode) -> None:
        self._node = node
        self.after_look: tuple[asyncio.Event, asyncio.Event] | None = None
        self.before_pay: tuple[asyncio.Event, asyncio.Event] | None = None

    async def payment_status(self, payment_hash: str) -> Payment:
        payment = await self._node.payment_status(payment_hash)
        await _sleep_between(self.after_look)
        self.after_look = None
        return payment

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        await _sleep_between(self.before_pay)
        return await self._node.pay(payment_request, fee_limit_sat=fee_limit_sat)


async def _sleep_between(events: tuple[asyncio.Event, asyncio.Event] | None) -> None:
    if events:
        events[0].set()
        await events[1].wait()


def worker_of(node: Any, permits: MemoryPermits, now: datetime = START) -> LightningWorker:
    patience = replace(PATIENCE, call_timeout=HOUR, look_up_timeout=HOUR)
    return LightningWorker(
        node, permits, MemoryStatement(), read, patience=patience, clock=lambda: now, telemetry=lambda event: None
    )


@pytest.mark.parametrize(
    ("answers", "can_miss", "is_told"),
    [
        ([NO_ANSWER, EXPIRED], True, True),
        ([EXPIRED], True, True),
        ([OPEN, NO_ANSWER, EXPIRED], True, True),
        ([NO_ANSWER, OPEN, EXPIRED], True, False),
        ([NO_ANSWER, EXPIRED], False, False),
    ],
)
def test_a_deposit_that_expires_while_a_node_that_misses_receipts_does_not_answer_is_told_of(
    answers: list[object], can_miss: bool, is_told: bool
) -> None:
    node = ScriptedNode(receipt=answers)
    node.can_miss_receipts = can_miss
    scene = Scene(node, WATCH)
    with capture_logs() as logs:
        for _ in answers:
            scene.pass_the_pause()
            scene.step()
    assert ExpireInvoice(invoice_id="d-1") in scene.commands
    told = [line["payment_hash"] for line in logs if line["event"] == "deposit_expired_unseen"]
    assert told == (["h"] if is_told else [])


def test_nothing_is_sent_while_the_node_has_paid_what_the_books_do_not_know_and_the_task_says_what() -> None:
    scene = Scene(ScriptedNode(payment_status=[NOT_FOUND, NOT_FOUND], pay=[PAID]), PAY)
    scene.statement.nobodys = [Sent("5e" * 32, 2_100, 4)]
    scene.step()
    assert not scene.commands
    assert not scene.permits.given
    for word in ("2100 sat", "4 sat", "5e" * 32):
        assert word in scene.rows[0].problem
    scene.statement.nobodys = []
    scene.pass_the_pause()
    scene.step()
    assert scene.commands == [SETTLED]


def test_what_the_node_has_paid_already_is_settled_even_while_nothing_is_sent() -> None:
    scene = Scene(ScriptedNode(payment_status=[PAID]), PAY)
    scene.statement.nobodys = [Sent("5e" * 32, 2_100, 4)]
    scene.step()
    assert scene.commands == [SETTLED]


def test_different_answers_have_different_ids() -> None:
    ids = []
    for known in (PAID, FAILED):
        scene = Scene(ScriptedNode(payment_status=[known]), PAY)
        scene.step()
        ids.append(scene.envelopes[0].message_id)
    assert len(set(ids)) == 2


def test_every_call_is_told_with_a_bounded_word() -> None:
    node = ScriptedNode(payment_status=[NOT_FOUND, NO_ANSWER, NOT_FOUND], pay=[NOT_SENT, PENDING])
    scene = Scene(node, PAY)
    for _ in range(3):
        asyncio.run(scene.workers.by_name[PAY.TYPE.name].step())
        scene.pass_the_pause()
    told = [(event.call, event.answer) for event in scene.told if isinstance(event, OutsideAsked)]
    assert told == [
        ("payment_status", "not_found"),
        ("pay", "not_sent"),
        ("payment_status", "error"),
        ("payment_status", "not_found"),
        ("pay", "pending"),
    ]


@pytest.mark.parametrize("behaviour", Behaviour)
def test_with_the_simulated_node_every_withdrawal_ends_as_its_invoice_behaves(behaviour: Behaviour) -> None:
    invoice = simulated_invoice(1_000, START + HOUR, nonce="n", behaviour=behaviour)
    task = replace(PAY, payment_hash=invoice.payment_hash, payment_request=invoice.payment_request)

    async def played() -> list[Message]:
        scene: Scene
        now: Callable[[], datetime] = lambda: scene.now  # noqa: E731 - the scene needs the node first
        node = SimulatedLightningNode(MemoryNodeBooks(), SimulatedSettings(), clock=now, random=Random(1))
        long = replace(PATIENCE, call_timeout=HOUR, look_up_timeout=HOUR)
        scene = Scene(node, task, patience=long)
        for minutes in range(100):
            await scene.round()
            scene.now += timedelta(minutes=1)
            if minutes == 75:
                await node.release(invoice.payment_hash)
        assert not scene.rows
        books = await node.books()
        is_paid = isinstance(scene.commands[0], SettleWithdrawal)
        assert books.paid_sat == (1_000 if is_paid else 0)
        return scene.commands

    (command,) = asyncio.run(played())
    unpaid = {
        Behaviour.FAIL: "no_route",
        Behaviour.FAIL_THEN_PAY: "no_route",
        Behaviour.UNKNOWN_THEN_FAILED: "no_route",
        Behaviour.LOST_THEN_PAID: "never_sent",
    }
    if behaviour in unpaid:
        assert command == failed(unpaid[behaviour])
    else:
        assert isinstance(command, SettleWithdrawal)
