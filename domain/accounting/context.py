"""The accounting context at a glance."""

from __future__ import annotations

from domain.accounting.account import (
    Account,
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
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(
    name="accounting",
    messages=MESSAGES,
    aggregate=Account,
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
        "movement_key_unique": key_taken,
        "invoice_credited_once": key_taken,
        "follows_known_movement": nothing_to_follow,
        "follows_once": followed_before,
        "takes_up_what_it_follows": not_what_was_debited,
    },
    steps=STEPS,
)
