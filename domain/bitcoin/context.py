"""The bitcoin context at a glance."""

from __future__ import annotations

from domain.bitcoin.invoice import (
    Invoice,
    authorize_withdrawal,
    confirm_deposit,
    expire_invoice,
    fail_deposit,
    fail_withdrawal,
    issue_invoice,
    payment_hash_taken,
    reject_withdrawal,
    request_deposit,
    request_withdrawal,
    settle_withdrawal,
)
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
from domain.bitcoin.tasks import TASKS, MakeInvoice, PayInvoice, WatchInvoice
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(
    name="bitcoin",
    messages=(*MESSAGES, MakeInvoice, WatchInvoice, PayInvoice),
    aggregate=Invoice,
    commands={
        RequestDeposit: request_deposit,
        IssueInvoice: issue_invoice,
        ConfirmDeposit: confirm_deposit,
        ExpireInvoice: expire_invoice,
        FailDeposit: fail_deposit,
        RequestWithdrawal: request_withdrawal,
        AuthorizeWithdrawal: authorize_withdrawal,
        RejectWithdrawal: reject_withdrawal,
        SettleWithdrawal: settle_withdrawal,
        FailWithdrawal: fail_withdrawal,
    },
    refusals={"payment_hash_unique": payment_hash_taken},
    steps=STEPS,
    sagas=SAGAS,
    tasks=TASKS,
)
