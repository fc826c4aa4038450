"""Does the tasks of the bitcoin context: asks the Lightning node, and turns its answers into commands.

An invoice that the node refuses to make ends its deposit; one for which it did not answer is asked for again.

Why nothing is paid twice or refunded while it may still succeed: the node itself takes a payment hash once, so asking
it to pay again is safe; and a withdrawal is failed only on what can never change, which is either the node's own FAILED
or a payment request that cannot be read or asks for something else than was authorised. Whether a request has expired
is left to the node, which alone knows whether an earlier call to pay it is still under way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

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
    Payment,
    PaymentStatus,
    PaymentTerms,
)
from domain.bitcoin.tasks import MakeInvoice, PayInvoice, WatchInvoice
from spark_actors.kernel.tasks import NotYet, Task, Worker
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import OutsideAsked

T = TypeVar("T")


class LightningWorker:
    """Does each task of the bitcoin context at a Lightning node; safe to have one done twice."""

    def __init__(
        self, node: LightningNode, *, invoice_expiry: timedelta, call_timeout: timedelta, telemetry: Telemetry
    ) -> None:
        self._node = node
        self._invoice_expiry = invoice_expiry
        """How long the invoice of a deposit can be paid."""
        self._call_timeout = call_timeout
        self._telemetry = telemetry

    @property
    def by_task(self) -> Mapping[type[Task], Worker]:
        return {MakeInvoice: self.make, WatchInvoice: self.watch, PayInvoice: self.pay}

    async def make(self, task: MakeInvoice) -> Sequence[IssueInvoice | FailDeposit] | NotYet:
        asked = self._node.create_invoice(
            invoice_id=task.invoice_id,
            amount_sat=task.amount_sat,
            memo=f"Deposit {task.invoice_id}",
            expires_in=self._invoice_expiry,
        )
        try:
            invoice = await self._ask("create_invoice", asked)
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

    async def watch(self, task: WatchInvoice) -> Sequence[ConfirmDeposit | ExpireInvoice] | NotYet:
        try:
            status = await self._ask("invoice_status", self._node.invoice_status(task.payment_hash))
        except LightningError as error:
            return NotYet(error.detail)
        if status is InvoiceStatus.PAID:
            return [ConfirmDeposit(invoice_id=task.invoice_id)]
        return [ExpireInvoice(invoice_id=task.invoice_id)] if status is InvoiceStatus.EXPIRED else NotYet()

    async def pay(self, task: PayInvoice) -> Sequence[SettleWithdrawal | FailWithdrawal] | NotYet:
        try:
            payment = await self._ask("payment_status", self._node.payment_status(task.payment_hash))
            if payment.status is PaymentStatus.NOT_FOUND:
                if objection := await self._objection(task):
                    return [FailWithdrawal(invoice_id=task.invoice_id, reason=objection)]
                payment = await self._ask("pay", self._node.pay(task.payment_request))
        except LightningError as error:
            return NotYet(error.detail)
        if payment.status is PaymentStatus.PAID:
            return [SettleWithdrawal(invoice_id=task.invoice_id, preimage=payment.preimage)]
        if payment.status is PaymentStatus.FAILED:
            return [FailWithdrawal(invoice_id=task.invoice_id, reason=payment.reason or "payment_failed")]
        return NotYet()

    async def _objection(self, task: PayInvoice) -> str:
        """Why a payment request is not the one that was authorised; empty if it is."""
        try:
            terms: PaymentTerms = await self._ask("decode", self._node.decode(task.payment_request))
        except InvalidPaymentRequestError:
            return "invalid_payment_request"
        if terms.payment_hash != task.payment_hash:
            return "payment_hash_mismatch"
        return "amount_mismatch" if terms.amount_sat != task.amount_sat else ""

    async def _ask(self, call: str, answer: Awaitable[T]) -> T:
        """Await one call to the node within its time limit. Raises LightningError when the limit has passed, too."""
        started, word = time.monotonic(), "error"
        try:
            async with asyncio.timeout(self._call_timeout.total_seconds()):
                result = await answer
            word = answer_word(result)
            return result
        except TimeoutError as error:
            raise LightningError(f"{call}: no answer within {self._call_timeout}") from error
        except InvalidPaymentRequestError:
            word = "invalid"
            raise
        except InvoiceRefusedError:
            word = "refused"
            raise
        finally:
            self._telemetry(OutsideAsked("lightning", call, word, timedelta(seconds=time.monotonic() - started)))


def answer_word(result: Any) -> str:
    """A bounded word for an answer of the node: the status it gave, or ok."""
    status = result.status if isinstance(result, Payment) else result
    return status.value if isinstance(status, (InvoiceStatus, PaymentStatus)) else "ok"
