"""The bitcoin context at a glance."""

from __future__ import annotations

from datetime import datetime

from domain.bitcoin.invoice import Invoice
from domain.bitcoin.messages import (
    MESSAGES,
    UPCASTERS,
    AuthorizeWithdrawal,
    ConfirmDeposit,
    ExpireInvoice,
    FailDeposit,
    FailWithdrawal,
    IssueInvoice,
    RejectWithdrawal,
    RequestDeposit,
    RequestGiftDeposit,
    RequestWithdrawal,
    SettleWithdrawal,
)
from domain.bitcoin.policy import Policy
from domain.bitcoin.sagas import SAGAS, STEPS
from domain.bitcoin.tasks import TASKS, LookUpPayment, MakeInvoice, PayInvoice, WatchExpired, WatchInvoice
from spark_actors.kernel.aggregates import changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Decision


def context(policy: Policy) -> BoundedContext:
    """The context in which withdrawals are decided on by *policy*."""

    def request_withdrawal(command: RequestWithdrawal, now: datetime) -> Decision[Invoice]:
        return Invoice.request_withdrawal(command, now, policy)

    return BoundedContext(
        name="bitcoin",
        messages=(*MESSAGES, MakeInvoice, WatchInvoice, WatchExpired, PayInvoice, LookUpPayment),
        aggregate=Invoice,
        upcasters=UPCASTERS,
        commands=handlers(
            creates(RequestDeposit, Invoice.request_deposit, again=Invoice.deposit_requested_again),
            creates(RequestGiftDeposit, Invoice.request_deposit, again=Invoice.deposit_requested_again),
            changes(IssueInvoice, Invoice.issue, missing=Invoice.unknown),
            changes(ConfirmDeposit, Invoice.confirm_deposit, missing=Invoice.unknown),
            changes(ExpireInvoice, Invoice.expire, missing=Invoice.unknown),
            changes(FailDeposit, Invoice.fail_deposit, missing=Invoice.unknown),
            creates(RequestWithdrawal, request_withdrawal, again=Invoice.withdrawal_requested_again),
            changes(AuthorizeWithdrawal, Invoice.authorize_withdrawal, missing=Invoice.unknown),
            changes(RejectWithdrawal, Invoice.reject_withdrawal, missing=Invoice.unknown),
            changes(SettleWithdrawal, Invoice.settle_withdrawal, missing=Invoice.unknown),
            changes(FailWithdrawal, Invoice.fail_withdrawal, missing=Invoice.unknown),
        ),
        refusals={
            "payment_hash_unique": refuses(Invoice.payment_hash_taken, existing=Invoice.issued_with_taken_hash),
            "own_invoice": refuses(Invoice.pays_itself, existing=Invoice.issued_with_taken_hash),
            "open_deposits_bounded": refuses(Invoice.too_many_open),
        },
        steps=STEPS,
        sagas=SAGAS,
        tasks=TASKS,
    )


CONTEXT = context(Policy())
