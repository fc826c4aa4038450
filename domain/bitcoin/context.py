"""The bitcoin context at a glance."""

from __future__ import annotations

from domain.bitcoin.invoice import Invoice
from domain.bitcoin.messages import (
    MESSAGES,
    AuthorizeWithdrawal,
    ConfirmDeposit,
    ExpireInvoice,
    FailDeposit,
    FailWithdrawal,
    IssueInvoice,
    RejectWithdrawal,
    RequestDeposit,
    RequestWithdrawal,
    SettleWithdrawal,
)
from domain.bitcoin.sagas import SAGAS, STEPS
from domain.bitcoin.tasks import TASKS, LookUpPayment, MakeInvoice, PayInvoice, WatchExpired, WatchInvoice
from spark_actors.kernel.aggregates import changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(
    name="bitcoin",
    messages=(*MESSAGES, MakeInvoice, WatchInvoice, WatchExpired, PayInvoice, LookUpPayment),
    aggregate=Invoice,
    commands=handlers(
        creates(RequestDeposit, Invoice.request_deposit, again=Invoice.deposit_requested_again),
        changes(IssueInvoice, Invoice.issue, missing=Invoice.unknown),
        changes(ConfirmDeposit, Invoice.confirm_deposit, missing=Invoice.unknown),
        changes(ExpireInvoice, Invoice.expire, missing=Invoice.unknown),
        changes(FailDeposit, Invoice.fail_deposit, missing=Invoice.unknown),
        creates(RequestWithdrawal, Invoice.request_withdrawal, again=Invoice.withdrawal_requested_again),
        changes(AuthorizeWithdrawal, Invoice.authorize_withdrawal, missing=Invoice.unknown),
        changes(RejectWithdrawal, Invoice.reject_withdrawal, missing=Invoice.unknown),
        changes(SettleWithdrawal, Invoice.settle_withdrawal, missing=Invoice.unknown),
        changes(FailWithdrawal, Invoice.fail_withdrawal, missing=Invoice.unknown),
    ),
    refusals={"payment_hash_unique": refuses(Invoice.payment_hash_taken, existing=Invoice.issued_with_taken_hash)},
    steps=STEPS,
    sagas=SAGAS,
    tasks=TASKS,
)
