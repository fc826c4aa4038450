"""The accounting context at a glance."""

from __future__ import annotations

from domain.accounting.account import (
    deposit,
    followed_before,
    key_taken,
    not_what_was_debited,
    nothing_to_follow,
    open_account,
    refund_withdrawal,
    withdraw,
)
from domain.accounting.messages import (
    MESSAGES,
    CreditTransfer,
    Deposit,
    OpenAccount,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    Withdraw,
)
from domain.accounting.sagas import STEPS
from domain.accounting.transfer import credit_transfer, refund_transfer, request_transfer
from domain.shared.context import BoundedContext

CONTEXT = BoundedContext(
    name="accounting",
    messages=MESSAGES,
    commands={
        OpenAccount: open_account,
        Deposit: deposit,
        Withdraw: withdraw,
        RefundWithdrawal: refund_withdrawal,
        RequestTransfer: request_transfer,
        CreditTransfer: credit_transfer,
        RefundTransfer: refund_transfer,
    },
    refusals={
        "ledger_idempotency_key_unique": key_taken,
        "ledger_credits_an_invoice_once": key_taken,
        "ledger_follows_known_movement": nothing_to_follow,
        "ledger_follows_once": followed_before,
        "ledger_takes_up_what_it_follows": not_what_was_debited,
    },
    steps=STEPS,
)
