"""The accounting context at a glance."""

from __future__ import annotations

from datetime import datetime

from domain.accounting.account import Account
from domain.accounting.messages import (
    MESSAGES,
    CreditTransfer,
    Deposit,
    OpenAccount,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    ReturnFeeReserve,
    Withdraw,
)
from domain.accounting.sagas import STEPS
from spark_actors.kernel.aggregates import changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Decision

MOST_A_DAY_SAT = 50_000_000
"""What an account may withdraw in a day, as `default.toml` says."""


def context(most_a_day_sat: int) -> BoundedContext:
    """The context in which an account withdraws at most so much a day."""

    def withdraw(account: Account, command: Withdraw, now: datetime) -> Decision[Account]:
        return account.withdraw(command, now, most_a_day_sat)

    return BoundedContext(
        name="accounting",
        messages=MESSAGES,
        aggregate=Account,
        commands=handlers(
            creates(OpenAccount, Account.open_first, again=Account.open),
            creates(Deposit, Account.deposit_first, again=Account.deposit),
            changes(Withdraw, withdraw, missing=Account.unknown),
            changes(RefundWithdrawal, Account.refund_withdrawal, missing=Account.unknown),
            changes(ReturnFeeReserve, Account.return_fee_reserve, missing=Account.unknown),
            changes(RequestTransfer, Account.request_transfer, missing=Account.unknown),
            changes(CreditTransfer, Account.credit_transfer, missing=Account.unknown),
            changes(RefundTransfer, Account.refund_transfer, missing=Account.unknown),
        ),
        refusals={
            "movement_key_unique": refuses(Account.key_taken),
            "invoice_credited_once": refuses(Account.key_taken),
            "follows_known_movement": refuses(Account.nothing_to_follow),
            "follows_once": refuses(Account.followed_before),
            "takes_up_what_it_follows": refuses(Account.not_what_was_debited),
        },
        steps=STEPS,
    )


CONTEXT = context(MOST_A_DAY_SAT)
