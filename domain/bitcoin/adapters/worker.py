"""Does the tasks of the bitcoin context: asks the Lightning node, and turns its answers into commands.

An invoice that the node refuses to make ends its deposit; one for which it did not answer is asked for again.

Why nothing is paid twice or refunded while it may still succeed: only who gets the one permit of a payment hash asks
the node to pay, and a withdrawal is failed only on what can never change; `domain.bitcoin.sending` has the rules.
Silence is no answer, and a preimage that proves nothing settles nothing. As long as the node has paid what the books
know nothing of, nothing at all is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

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
    NotSentError,
    Payment,
    Permits,
    Receipt,
    Statement,
)
from domain.bitcoin.sending import CLOCK_SKEW, Distrust, Fail, LookAgain, Send, Settle, Step, Withhold, next_step
from domain.bitcoin.tasks import LookUpPayment, MakeInvoice, PayInvoice, WatchExpired, WatchInvoice
from spark_actors.kernel.errors import StorageError
from spark_actors.kernel.tasks import NotYet, Task, Worker
from spark_actors.messaging.ports import Clock, Telemetry
from spark_actors.messaging.telemetry import OutsideAsked

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Terms(Protocol):
    """What of a payment request must be as it was authorised."""

    @property
    def payment_hash(self) -> str: ...
    @property
    def amount_sat(self) -> int | None: ...
    @property
    def expires_at(self) -> datetime: ...


Read = Callable[[str], Terms]
"""Reads a payment request of the node's network. Raises InvalidPaymentRequestError."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long the worker waits for what."""

    invoice_expiry: timedelta
    """How long the invoice of a deposit can be paid."""
    call_timeout: timedelta
    """For a call that makes an invoice or pays one."""
    look_up_timeout: timedelta
    """For a call that asks how one stands."""
    watch_expired: timedelta
    """How long an invoice that has expired is looked at again."""
    watch_expired_every: timedelta = timedelta(hours=1)
    clock_skew: timedelta = CLOCK_SKEW
    """By how much the node's clock may be behind ours."""


class LightningWorker:
    """Does each task of the bitcoin context at a Lightning node; safe to have one done twice, or by two at once."""

    def __init__(
        self,
        node: LightningNode,
        permits: Permits,
        statement: Statement,
        read: Read,
        *,
        patience: Patience,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._node, self._permits, self._statement, self._read = node, permits, statement, read
        self._patience = patience
        self._clock = clock
        self._telemetry = telemetry
        self._seen_open: set[str] = set()
        """Payment hashes of deposits that could still be paid when they were looked at last."""

    @property
    def by_task(self) -> Mapping[type[Task], Worker]:
        return {
            MakeInvoice: self.make,
            WatchInvoice: self.watch,
            WatchExpired: self.watch_expired,
            PayInvoice: self.pay,
            LookUpPayment: self.look_up,
        }

    async def make(self, task: MakeInvoice) -> Sequence[IssueInvoice | FailDeposit] | NotYet:
        asked = self._node.create_invoice(
            invoice_id=task.invoice_id,
            amount_sat=task.amount_sat,
            memo=task.memo,
            expires_in=self._patience.invoice_expiry,
        )
        try:
            invoice = await self._ask("create_invoice", asked, self._patience.call_timeout)
        except InvoiceRefusedError as refusal:
            return [FailDeposit(invoice_id=task.invoice_id, reason=refusal.reason)]
        except LightningError as error:
            return NotYet(error.detail)
        return [
            IssueInvoice(
                invoice_id=task.invoice_id,
                payment_hash=invoice.payment_hash,
                payment_request=invoice.payment_request,
                expires_at=invoice.expires_at,
            )
        ]

    async def watch(self, task: WatchInvoice) -> Sequence[ConfirmDeposit | ExpireInvoice | WatchExpired] | NotYet:
        try:
            receipt = await self._receipt(task.payment_hash)
        except LightningError as error:
            self._seen_open.discard(task.payment_hash)
            return NotYet(error.detail)
        if receipt.status is InvoiceStatus.OPEN:
            self._seen_open.add(task.payment_hash)
            return NotYet()
        was_seen_open = task.payment_hash in self._seen_open
        self._seen_open.discard(task.payment_hash)
        if receipt.status is InvoiceStatus.PAID:
            return [ConfirmDeposit(invoice_id=task.invoice_id, received_sat=receipt.received_sat)]
        if self._node.can_miss_receipts and not was_seen_open:
            log.warning("deposit_expired_unseen", invoice_id=task.invoice_id, payment_hash=task.payment_hash)
        now = self._clock()
        watch_on = WatchExpired(
            invoice_id=task.invoice_id,
            payment_hash=task.payment_hash,
            at=now + self._patience.watch_expired_every,
            until=now + self._patience.watch_expired,
        )
        return [ExpireInvoice(invoice_id=task.invoice_id), *_in_time(watch_on)]

    async def watch_expired(self, task: WatchExpired) -> Sequence[ConfirmDeposit | WatchExpired] | NotYet:
        try:
            receipt = await self._receipt(task.payment_hash)
        except LightningError as error:
            return NotYet(error.detail)
        if receipt.status is InvoiceStatus.PAID:
            return [ConfirmDeposit(invoice_id=task.invoice_id, received_sat=receipt.received_sat)]
        return _in_time(replace(task, at=self._clock() + self._patience.watch_expired_every))

    async def pay(self, task: PayInvoice) -> Sequence[SettleWithdrawal | FailWithdrawal | LookUpPayment] | NotYet:
        if objection := self._objection(task):
            return [FailWithdrawal(invoice_id=task.invoice_id, reason=objection)]
        try:
            step = await self._look(task)
            if isinstance(step, Withhold):
                step = await self._withhold(task, step)
            if isinstance(step, Send):
                await self._check_statement()
                step = await self._send(task)
        except (LightningError, StorageError) as error:
            return NotYet(str(error))
        return self._ending(task, step) or [task.then_look_up()]

    async def look_up(self, task: LookUpPayment) -> Sequence[SettleWithdrawal | FailWithdrawal | PayInvoice] | NotYet:
        try:
            step = await self._look(task)
            if isinstance(step, Withhold):
                step = await self._withhold(task, step)
        except (LightningError, StorageError) as error:
            return NotYet(str(error))
        if isinstance(step, Send):  # the permit was given back
            return [task.then_pay()]
        return self._ending(task, step) or NotYet("the preimage is no proof" if isinstance(step, Distrust) else "")

    def _objection(self, task: PayInvoice) -> str:
        """Why a payment request is not the one that was authorised; empty if it is."""
        try:
            terms = self._read(task.payment_request)
        except InvalidPaymentRequestError:
            return "invalid_payment_request"
        if terms.payment_hash != task.payment_hash:
            return "payment_hash_mismatch"
        return "amount_mismatch" if terms.amount_sat != task.amount_sat else ""

    async def _look(self, task: PayInvoice | LookUpPayment) -> Step:
        # First the permit: what the node then says is at least as new as what is known of that.
        holder = await self._permits.holder(task.payment_hash)
        asked = self._node.payment_status(task.payment_hash)
        payment = await self._ask("payment_status", asked, self._patience.look_up_timeout)
        return self._next_step(task, payment, holder)

    async def _withhold(self, task: PayInvoice | LookUpPayment, step: Withhold) -> Step:
        is_mine = await self._permits.take(task.payment_hash, task.invoice_id)
        return Fail(step.reason) if is_mine else LookAgain()

    async def _check_statement(self) -> None:
        """Raises LightningError as long as the node has paid what the books know nothing of."""
        if unbooked := await self._statement.unbooked():
            first = unbooked[0]
            raise LightningError(
                f"the node has paid {first.amount_sat} sat and a fee of {first.fee_sat} sat for {first.payment_hash},"
                " and no withdrawal of the books: nothing is sent until that is explained"
            )

    async def _send(self, task: PayInvoice) -> Step:
        """Ask the node to pay, if the permit is to be had. Raises NotSentError when it was given back."""
        if not await self._permits.take(task.payment_hash, task.invoice_id):
            return LookAgain()
        if self._read(task.payment_request).expires_at <= self._clock():  # it took long to get here
            return Fail("invoice_expired")
        asked = self._node.pay(task.payment_request, fee_limit_sat=task.fee_limit_sat)
        try:
            payment = await self._ask("pay", asked, self._patience.call_timeout)
        except NotSentError:
            await self._permits.give_back(task.payment_hash)
            raise
        except LightningError as error:
            log.info("payment_unknown", invoice_id=task.invoice_id, why=error.detail)
            return LookAgain()
        return self._next_step(task, payment, holder=task.invoice_id)

    def _next_step(self, task: PayInvoice | LookUpPayment, payment: Payment, holder: str) -> Step:
        return next_step(
            payment,
            invoice_id=task.invoice_id,
            payment_hash=task.payment_hash,
            expires_at=self._read(task.payment_request).expires_at,
            holder=holder,
            now=self._clock(),
            clock_skew=self._patience.clock_skew,
        )

    def _ending(self, task: PayInvoice | LookUpPayment, step: Step) -> list[SettleWithdrawal | FailWithdrawal]:
        """What tells the end of a withdrawal; nothing if it is not known, or cannot be believed, which is told."""
        match step:
            case Settle(preimage, fee_sat):
                return [SettleWithdrawal(invoice_id=task.invoice_id, preimage=preimage, fee_sat=fee_sat)]
            case Fail(reason):
                return [FailWithdrawal(invoice_id=task.invoice_id, reason=reason)]
            case Distrust():
                log.error("payment_not_proven", invoice_id=task.invoice_id, payment_hash=task.payment_hash)
                self._telemetry(OutsideAsked("lightning", "proof", "invalid", timedelta()))
        return []

    async def _receipt(self, payment_hash: str) -> Receipt:
        return await self._ask("receipt", self._node.receipt(payment_hash), self._patience.look_up_timeout)

    async def _ask(self, call: str, answer: Awaitable[T], limit: timedelta) -> T:
        """Await one call to the node within its time limit. Raises LightningError when the limit has passed, too."""
        started, word = time.monotonic(), "error"
        try:
            async with asyncio.timeout(limit.total_seconds()):
                result = await answer
            word = answer_word(result)
            return result
        except TimeoutError as error:
            raise LightningError(f"{call}: no answer within {limit}") from error
        except NotSentError:
            word = "not_sent"
            raise
        except InvalidPaymentRequestError:
            word = "invalid"
            raise
        except InvoiceRefusedError:
            word = "refused"
            raise
        finally:
            self._telemetry(OutsideAsked("lightning", call, word, timedelta(seconds=time.monotonic() - started)))


def _in_time(task: WatchExpired) -> Sequence[WatchExpired]:
    return [task] if task.at <= task.until else []


def answer_word(result: Any) -> str:
    """A bounded word for an answer of the node: the status it gave, or ok."""
    return result.status.value if isinstance(result, (Payment, Receipt)) else "ok"
