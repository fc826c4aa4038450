"""What the Lightning node is to be asked next, told from the events of invoices."""

from __future__ import annotations

from datetime import datetime

from domain.bitcoin.messages import DepositRequested, InvoiceIssued, WithdrawalAuthorized
from domain.bitcoin.ports import LightningTask, LightningTaskKind
from spark_actors.kernel.messages import Event

READS: tuple[type[Event], ...] = (DepositRequested, InvoiceIssued, WithdrawalAuthorized)
"""The events that a task follows from."""


def task_for(event: Event, *, message_id: str, correlation_id: str, now: datetime) -> LightningTask | None:
    """What to ask the node because of *event*, due at once; None if nothing. *message_id* is the event's."""
    match event:
        case DepositRequested():
            kind, payment_hash, payment_request = LightningTaskKind.ISSUE, "", ""
        case InvoiceIssued():
            kind, payment_hash, payment_request = LightningTaskKind.WATCH, event.payment_hash, event.payment_request
        case WithdrawalAuthorized():
            kind, payment_hash, payment_request = LightningTaskKind.PAY, event.payment_hash, event.payment_request
        case _:
            return None
    return LightningTask(
        invoice_id=event.invoice_id,
        kind=kind,
        amount_sat=event.amount_sat,
        payment_hash=payment_hash,
        payment_request=payment_request,
        due_at=now,
        correlation_id=correlation_id,
        causation_id=message_id,
    )
