"""Asks the Lightning node what the bitcoin context has durably listed, and turns its answers into commands.

An invoice that the node refuses to make ends its deposit; one for which it did not answer is asked for again.

Why nothing is paid twice or refunded while it may still succeed: the node itself takes a payment hash once, so asking
it to pay again is safe; and a withdrawal is failed only on what can never change, which is either the node's own FAILED
or a payment request that cannot be read or asks for something else than was authorised. Whether a request has expired
is left to the node, which alone knows whether an earlier call to pay it is still under way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias, TypeVar

import structlog

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
    LightningTask,
    LightningTaskKind,
    LightningTasks,
    NodeInvoice,
    Payment,
    PaymentStatus,
    PaymentTerms,
)
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import Command
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import Envelope, encode_data
from spark_actors.messaging.ports import Clock, CommandSender, Telemetry
from spark_actors.messaging.telemetry import OutsideAsked

T = TypeVar("T")

Ask: TypeAlias = Callable[[LightningTask], Awaitable[Command | None]]
"""Asks the node about a task; None: no final answer yet."""

_UNDONE = (Verdict.FAILED, Verdict.LOCKED)
"""What was asked of the node is told again then."""
PACE_FACTOR = 1.5
LONGEST_PAUSE = timedelta(seconds=30)
"""Between two looks at the same invoice or payment."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WorkerSettings:
    """How the node is asked."""

    invoice_expiry: timedelta = timedelta(hours=1)
    """How long the invoice of a deposit can be paid."""
    watch_interval: timedelta = timedelta(seconds=0.5)
    """Pause between rounds, and the first pause between two looks at the same thing."""
    call_timeout: timedelta = timedelta(seconds=10)
    max_concurrent_calls: int = 16
    tasks_per_round: int = 200


class LightningWorker:
    """Works off the LightningTasks. Every step may be done twice, also by two workers at once."""

    def __init__(
        self,
        tasks: LightningTasks,
        node: LightningNode,
        sender: CommandSender,
        *,
        settings: WorkerSettings,
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._tasks = tasks
        self._node = node
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._pass = pass_point
        self._asks: dict[LightningTaskKind, Ask] = {
            LightningTaskKind.ISSUE: self._issue,
            LightningTaskKind.WATCH: self._watch,
            LightningTaskKind.PAY: self._pay,
        }

    async def step(self) -> float:
        """One round over the tasks that are due; gives the seconds to wait before the next.

        A slow call holds the round up, for the call's time limit at most (three calls for a payment). Raises
        StorageUnavailableError.
        """
        due = await self._tasks.due(self._clock(), self._settings.tasks_per_round)
        gate = asyncio.Semaphore(self._settings.max_concurrent_calls)
        answers = await asyncio.gather(*(self._answer(task, gate) for task in due))
        await self._postpone([task for task, answer in zip(due, answers, strict=True) if answer is None])
        await self._send([(task, answer) for task, answer in zip(due, answers, strict=True) if answer is not None])
        is_full = len(due) == self._settings.tasks_per_round
        return 0.0 if is_full else self._settings.watch_interval.total_seconds()

    async def _answer(self, task: LightningTask, gate: asyncio.Semaphore) -> Command | None:
        async with gate:
            self._pass(CrashPoint.TASK_BEFORE_ASK, task.kind)
            try:
                answer = await self._asks[task.kind](task)
            except LightningError as error:
                log.info("lightning_unknown", kind=task.kind, error=error.detail, correlation_id=task.correlation_id)
            except Exception:  # a bug in an adapter concerns this task alone; it is asked again, ever more slowly
                log.exception("lightning_call_failed", kind=task.kind, correlation_id=task.correlation_id)
            else:
                self._pass(CrashPoint.TASK_AFTER_ASK, task.kind)
                return answer
        return None

    async def _issue(self, task: LightningTask) -> Command | None:
        asked = self._node.create_invoice(
            invoice_id=task.invoice_id,
            amount_sat=task.amount_sat,
            memo=f"Deposit {task.invoice_id}",
            expires_in=self._settings.invoice_expiry,
        )
        try:
            return issued(task, await self._ask("create_invoice", asked))
        except InvoiceRefusedError as refusal:
            return FailDeposit(invoice_id=task.invoice_id, reason=refusal.reason)

    async def _watch(self, task: LightningTask) -> Command | None:
        return watched(task, await self._ask("invoice_status", self._node.invoice_status(task.payment_hash)))

    async def _pay(self, task: LightningTask) -> Command | None:
        payment = await self._ask("payment_status", self._node.payment_status(task.payment_hash))
        if payment.status is PaymentStatus.NOT_FOUND:
            if objection := await self._objection(task):
                return FailWithdrawal(invoice_id=task.invoice_id, reason=objection)
            payment = await self._ask("pay", self._node.pay(task.payment_request))
        return paid(task, payment)

    async def _objection(self, task: LightningTask) -> str:
        try:
            return mismatch(task, await self._ask("decode", self._node.decode(task.payment_request)))
        except InvalidPaymentRequestError:
            return "invalid_payment_request"

    async def _ask(self, call: str, answer: Awaitable[T]) -> T:
        """Await one call to the node within its time limit. Raises LightningError when the limit has passed, too."""
        started, word = time.monotonic(), "error"
        try:
            async with asyncio.timeout(self._settings.call_timeout.total_seconds()):
                result = await answer
            word = answer_word(result)
            return result
        except TimeoutError as error:
            raise LightningError(f"{call}: no answer within {self._settings.call_timeout}") from error
        except InvalidPaymentRequestError:
            word = "invalid"
            raise
        except InvoiceRefusedError:
            word = "refused"
            raise
        finally:
            self._telemetry(OutsideAsked("lightning", call, word, timedelta(seconds=time.monotonic() - started)))

    async def _send(self, answers: Sequence[tuple[LightningTask, Command]]) -> None:
        """Have the answers made durable; a task leaves the list only after that."""
        if not answers:
            return
        replies = await self._sender.send([self._addressed(task, command) for task, command in answers])
        tasks = [task for task, _ in answers]
        for kind in {task.kind for task in tasks}:
            self._pass(CrashPoint.TASK_AFTER_RECORD, kind)
        for (task, command), reply in zip(answers, replies, strict=True):
            if reply.verdict is Verdict.REJECTED:  # the node and the books disagree: nobody will ask again
                log.warning(
                    "lightning_answer_refused",
                    answer=command.TYPE.name,
                    reason=reply.reason,
                    correlation_id=task.correlation_id,
                )
        undone = [task for task, reply in zip(tasks, replies, strict=True) if reply.verdict in _UNDONE]
        if settled := [task for task in tasks if task not in undone]:
            await self._tasks.remove(settled)
        await self._postpone(undone)

    async def _postpone(self, tasks: Sequence[LightningTask]) -> None:
        if tasks:
            now = self._clock()
            pauses = [pause_after(task.attempts, first=self._settings.watch_interval) for task in tasks]
            await self._tasks.reschedule(
                [
                    replace(task, due_at=now + pause, attempts=task.attempts + 1)
                    for task, pause in zip(tasks, pauses, strict=True)
                ]
            )

    def _addressed(self, task: LightningTask, command: Command) -> Envelope:
        """*command* under an id that repeats when the same answer comes again, so that the inbox drops it."""
        return Envelope(
            message_id=derived_id(task.invoice_id, "lightning", task.kind, command.TYPE.name),
            name=command.TYPE.name,
            version=command.TYPE.version,
            key=command.key,
            data=encode_data(command),
            correlation_id=task.correlation_id,
            causation_id=task.causation_id,
            occurred_at=self._clock(),
        )


def issued(task: LightningTask, invoice: NodeInvoice) -> Command:
    """What follows from an invoice that the node has made."""
    return IssueInvoice(
        invoice_id=task.invoice_id,
        payment_hash=invoice.payment_hash,
        payment_request=invoice.payment_request,
        expires_at=invoice.expires_at,
    )


def watched(task: LightningTask, status: InvoiceStatus) -> Command | None:
    """What follows from the status of an invoice; None while it is open."""
    if status is InvoiceStatus.PAID:
        return ConfirmDeposit(invoice_id=task.invoice_id)
    return ExpireInvoice(invoice_id=task.invoice_id) if status is InvoiceStatus.EXPIRED else None


def paid(task: LightningTask, payment: Payment) -> Command | None:
    """What follows from where a payment stands; None while it may still go either way."""
    if payment.status is PaymentStatus.PAID:
        return SettleWithdrawal(invoice_id=task.invoice_id, preimage=payment.preimage)
    if payment.status is PaymentStatus.FAILED:
        return FailWithdrawal(invoice_id=task.invoice_id, reason=payment.reason or "payment_failed")
    return None


def mismatch(task: LightningTask, terms: PaymentTerms) -> str:
    """Why a payment request is not the one that was authorised; empty if it is."""
    if terms.payment_hash != task.payment_hash:
        return "payment_hash_mismatch"
    return "amount_mismatch" if terms.amount_sat != task.amount_sat else ""


def pause_after(attempts: int, *, first: timedelta) -> timedelta:
    """How long to wait after so many looks without a final answer: about half of the time waited so far."""
    return min(LONGEST_PAUSE, first * PACE_FACTOR ** min(attempts, 50))


def answer_word(result: object) -> str:
    """A bounded word for an answer of the node: the status it gave, or ok."""
    status = result.status if isinstance(result, Payment) else result
    return status.value if isinstance(status, (InvoiceStatus, PaymentStatus)) else "ok"
