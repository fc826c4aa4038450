"""What is to be done at the Lightning node: durable tasks, each the consequence of an event of an invoice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.bitcoin.messages import DepositRequested, InvoiceIssued, WithdrawalAuthorized
from spark_actors.kernel.messages import Event, task
from spark_actors.kernel.tasks import Task, ToDo


@task("bitcoin.make-invoice", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class MakeInvoice(Task):
    """Have the node make the invoice of a deposit."""

    invoice_id: str
    amount_sat: int
    campaign_id: str = ""
    """Of a gift: to which campaign."""

    @property
    def memo(self) -> str:
        """What the invoice is for, as its payer reads it: with the proof of payment it is the payer's receipt."""
        return f"{self.invoice_id} to {self.campaign_id}" if self.campaign_id else f"Deposit {self.invoice_id}"


@task("bitcoin.watch-invoice", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class WatchInvoice(Task):
    """See whether the invoice of a deposit was paid, or has expired."""

    invoice_id: str
    payment_hash: str


@task("bitcoin.watch-expired", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class WatchExpired(Task):
    """See whether an invoice that has expired was paid after all."""

    invoice_id: str
    payment_hash: str
    at: datetime
    until: datetime
    """Nobody looks any more after that."""

    @property
    def not_before(self) -> datetime:
        return self.at


@task("bitcoin.pay-invoice", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class PayInvoice(Task):
    """Have the invoice of a withdrawal paid, unless somebody may have done so already."""

    invoice_id: str
    amount_sat: int
    payment_hash: str
    payment_request: str
    fee_limit_sat: int = 0
    """What the route may cost beside the amount."""

    def then_look_up(self) -> LookUpPayment:
        """The task that follows when somebody may have sent it."""
        return LookUpPayment(
            invoice_id=self.invoice_id,
            amount_sat=self.amount_sat,
            payment_hash=self.payment_hash,
            payment_request=self.payment_request,
            fee_limit_sat=self.fee_limit_sat,
        )


@task("bitcoin.look-up-payment", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class LookUpPayment(Task):
    """See what has come of the payment of a withdrawal that somebody may have sent.

    A kind of its own, so that payments that take days, and look-ups that take long, hold up nothing that is to be paid.
    """

    invoice_id: str
    amount_sat: int
    payment_hash: str
    payment_request: str
    fee_limit_sat: int

    def then_pay(self) -> PayInvoice:
        """The task that follows when it is certain that nobody has sent it."""
        return PayInvoice(
            invoice_id=self.invoice_id,
            amount_sat=self.amount_sat,
            payment_hash=self.payment_hash,
            payment_request=self.payment_request,
            fee_limit_sat=self.fee_limit_sat,
        )


def make_invoice(event: DepositRequested) -> Sequence[MakeInvoice]:
    return [MakeInvoice(invoice_id=event.invoice_id, amount_sat=event.amount_sat, campaign_id=event.campaign_id)]


def watch_invoice(event: InvoiceIssued) -> Sequence[WatchInvoice]:
    return [WatchInvoice(invoice_id=event.invoice_id, payment_hash=event.payment_hash)]


def pay_invoice(event: WithdrawalAuthorized) -> Sequence[PayInvoice]:
    return [
        PayInvoice(
            invoice_id=event.invoice_id,
            amount_sat=event.amount_sat,
            payment_hash=event.payment_hash,
            payment_request=event.payment_request,
            fee_limit_sat=event.fee_reserve_sat,
        )
    ]


TASKS: Mapping[type[Event], ToDo] = {
    DepositRequested: make_invoice,
    InvoiceIssued: watch_invoice,
    WithdrawalAuthorized: pay_invoice,
}
