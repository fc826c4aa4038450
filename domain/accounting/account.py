"""The Account aggregate: a balance that is never below zero, and the movements of money that make it.

The ledger is double entry: a movement is one row that takes an amount from one account and gives it to another, so
all balances sum to zero at every instant. The balance of a user's account is kept beside it; those of the system's
own accounts are never kept, only summed, so that no row is written by everybody. An idempotency key is used once,
for ever, and a movement is followed by at most one other: what was debited is credited or refunded, never both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.accounting.messages import (
    AccountFoundOpen,
    AccountOpened,
    AccountOpeningRejected,
    CreditTransfer,
    Deposit,
    Deposited,
    DepositRejected,
    OpenAccount,
    Reason,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    TransferRefundRejected,
    TransferRejected,
    Withdraw,
    WithdrawalAccepted,
    WithdrawalRefunded,
    WithdrawalRefundRejected,
    WithdrawalRejected,
)
from domain.shared.decisions import Decision, done, rejected
from domain.shared.ids import is_account_id, is_id
from domain.shared.messages import Command, Event
from domain.shared.money import SUPPLY_SAT, Satoshis

LIGHTNING = "@lightning"
"""The system's account for what is outside, on the Lightning network: its balance is minus what users own here."""
IN_TRANSIT = "@in-transit"
"""The system's account for transfers that were debited and not yet credited or refunded."""


class AccountStatus(StrEnum):
    """What an account may be used for."""

    PENDING = "pending"  # deposits came before the sign-up; may become OPEN
    OPEN = "open"  # final: may be spent from, and transferred to


class MovementKind(StrEnum):
    """Why money moved."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    WITHDRAWAL_REFUND = "withdrawal_refund"
    TRANSFER_DEBIT = "transfer_debit"
    TRANSFER_CREDIT = "transfer_credit"
    TRANSFER_REFUND = "transfer_refund"


@dataclass(frozen=True)
class Account:
    """What a user owns here, in satoshis."""

    account_id: str
    balance_sat: int = 0
    status: AccountStatus = AccountStatus.PENDING

    @property
    def is_open(self) -> bool:
        return self.status == AccountStatus.OPEN

    def has_room_for(self, amount_sat: int) -> bool:
        """Whether the balance stays within the supply. Refunds do not ask: that money was here before."""
        return self.balance_sat + amount_sat <= SUPPLY_SAT

    def credited(self, amount: Satoshis) -> Account:
        return Account(self.account_id, self.balance_sat + amount, self.status)

    def debited(self, amount: Satoshis) -> Account:
        """The caller has made sure that the balance covers *amount*."""
        return Account(self.account_id, self.balance_sat - amount, self.status)


class Movement(NamedTuple):
    """A row of the ledger: *amount_sat* leaves *debit_account* and reaches *credit_account*."""

    idempotency_key: str
    debit_account: str
    credit_account: str
    amount_sat: Satoshis
    kind: MovementKind
    recorded_at: datetime
    follows: str | None = None
    """The key of the movement that this one credits or takes back."""


def open_account(account: Account | None, command: OpenAccount, now: datetime) -> Decision[Account]:
    """Let the owner spend; what was deposited earlier is kept."""
    if not is_account_id(command.account_id):
        return refuse(command, Reason.INVALID_ACCOUNT_ID)
    if account is not None and account.is_open:
        found = AccountFoundOpen(account_id=account.account_id, purpose=command.purpose)
        return rejected(Reason.ALREADY_OPEN, found)
    opened = replace(account or Account(command.account_id), status=AccountStatus.OPEN)
    return done(opened, AccountOpened(**vars(command), balance_sat=opened.balance_sat))


def deposit(account: Account | None, command: Deposit, now: datetime) -> Decision[Account]:
    """Take in money from the Lightning network, for an account that need not be open yet."""
    if not is_id(command.deposit_id):
        return refuse(command, Reason.INVALID_ID)
    if not is_account_id(command.account_id):
        return refuse(command, Reason.INVALID_ACCOUNT_ID)
    if not Satoshis.are(command.amount_sat):
        return refuse(command, Reason.INVALID_AMOUNT)
    holder, amount = account or Account(command.account_id), Satoshis(command.amount_sat)
    if not holder.has_room_for(amount):
        return refuse(command, Reason.BALANCE_LIMIT)
    credited = holder.credited(amount)
    movement = Movement(
        f"deposit/{command.deposit_id}", LIGHTNING, command.account_id, amount, MovementKind.DEPOSIT, now
    )
    return done(credited, Deposited(**vars(command), balance_sat=credited.balance_sat), records=(movement,))


def withdraw(account: Account | None, command: Withdraw, now: datetime) -> Decision[Account]:
    """Debit what is to be paid out."""
    if not is_id(command.withdrawal_id):
        return refuse(command, Reason.INVALID_ID)
    payer = can_pay(account, command.amount_sat)
    if isinstance(payer, Reason):
        return refuse(command, payer)
    amount = Satoshis(command.amount_sat)
    debited = payer.debited(amount)
    movement = Movement(
        f"withdrawal/{command.withdrawal_id}/debit", payer.account_id, LIGHTNING, amount, MovementKind.WITHDRAWAL, now
    )
    return done(debited, WithdrawalAccepted(**vars(command), balance_sat=debited.balance_sat), records=(movement,))


def refund_withdrawal(account: Account | None, command: RefundWithdrawal, now: datetime) -> Decision[Account]:
    """Give back what was debited under the withdrawal's id; the store refuses if nothing was, or a second time."""
    if not is_id(command.withdrawal_id):
        return refuse(command, Reason.INVALID_ID)
    if not Satoshis.are(command.amount_sat):
        return refuse(command, Reason.INVALID_AMOUNT)
    if account is None:
        return refuse(command, Reason.UNKNOWN_ACCOUNT)
    amount, key = Satoshis(command.amount_sat), f"withdrawal/{command.withdrawal_id}"
    refunded = account.credited(amount)
    movement = Movement(
        f"{key}/refund", LIGHTNING, account.account_id, amount, MovementKind.WITHDRAWAL_REFUND, now, f"{key}/debit"
    )
    return done(refunded, WithdrawalRefunded(**vars(command), balance_sat=refunded.balance_sat), records=(movement,))


def can_pay(account: Account | None, amount_sat: int) -> Account | Reason:
    """The account if it can pay, or why it cannot."""
    if not Satoshis.are(amount_sat):
        return Reason.INVALID_AMOUNT
    if account is None or not account.is_open:
        return Reason.UNKNOWN_ACCOUNT
    if account.balance_sat < amount_sat:
        return Reason.INSUFFICIENT_FUNDS
    return account


def key_taken(account: Account | None, command: Command) -> Decision[Account]:
    """Instead of a movement whose idempotency key is in the ledger."""
    return refuse(command, _KEY_TAKEN[type(command)])


def nothing_to_follow(account: Account | None, command: Command) -> Decision[Account]:
    """Instead of a movement that follows one which never happened."""
    return refuse(command, _NOTHING_TO_FOLLOW[type(command)])


def followed_before(account: Account | None, command: Command) -> Decision[Account]:
    """Instead of a movement that follows one which another has followed."""
    return refuse(command, _FOLLOWED_BEFORE[type(command)])


def refuse(command: Command, reason: Reason) -> Decision[Account]:
    """Refuse any command of this context: its event says what was asked and why not.

    Of a credit nothing is said: what sends the money back is for `credit_transfer` to know.
    """
    if isinstance(command, CreditTransfer):
        return rejected(reason)
    event = _REJECTIONS[type(command)]
    return rejected(reason, event(**{**vars(command), "reason": reason}))


_REJECTIONS: Mapping[type[Command], type[Event]] = {
    OpenAccount: AccountOpeningRejected,
    Deposit: DepositRejected,
    Withdraw: WithdrawalRejected,
    RefundWithdrawal: WithdrawalRefundRejected,
    RequestTransfer: TransferRejected,
    RefundTransfer: TransferRefundRejected,
}

_KEY_TAKEN: Mapping[type[Command], Reason] = {
    Deposit: Reason.DUPLICATE_DEPOSIT,
    Withdraw: Reason.DUPLICATE_WITHDRAWAL,
    RefundWithdrawal: Reason.ALREADY_REFUNDED,
    RequestTransfer: Reason.DUPLICATE_TRANSFER,
    CreditTransfer: Reason.DUPLICATE_TRANSFER,
    RefundTransfer: Reason.ALREADY_REFUNDED,
}

_NOTHING_TO_FOLLOW: Mapping[type[Command], Reason] = {
    RefundWithdrawal: Reason.UNKNOWN_WITHDRAWAL,
    CreditTransfer: Reason.UNKNOWN_TRANSFER,
    RefundTransfer: Reason.UNKNOWN_TRANSFER,
}

_FOLLOWED_BEFORE: Mapping[type[Command], Reason] = {
    RefundWithdrawal: Reason.ALREADY_REFUNDED,
    CreditTransfer: Reason.TRANSFER_ENDED,
    RefundTransfer: Reason.TRANSFER_ENDED,
}
