"""The Account aggregate: a balance that is never below zero, and the movements of money that make it.

The ledger is double entry: a movement is one row that takes an amount from one account and gives it to another, so
all balances sum to zero at every instant. The balance of a user's account is kept beside it; those of the system's
own accounts are never kept, only summed, so that no row is written by everybody. An idempotency key is used once,
for ever, and a movement is followed by at most one other: what was debited is credited or refunded, never both, all of
it, to whom it was meant for or from whom it came.
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
    Purpose,
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
from domain.shared.accounts import is_account_id
from domain.shared.money import SUPPLY_SAT, Satoshis
from spark_actors.kernel.decisions import Decision, done, rejected
from spark_actors.kernel.errors import BrokenRuleError
from spark_actors.kernel.ids import is_id, is_key
from spark_actors.kernel.messages import Command, Event

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

    DEPOSIT = "deposit"  # as it was once written whatever it was for: it stands for either of the next two
    MANUAL_DEPOSIT = "manual_deposit"  # an operator said so
    INVOICE_DEPOSIT = "invoice_deposit"  # an invoice was paid
    WITHDRAWAL = "withdrawal"
    WITHDRAWAL_REFUND = "withdrawal_refund"
    TRANSFER_DEBIT = "transfer_debit"
    TRANSFER_CREDIT = "transfer_credit"
    TRANSFER_REFUND = "transfer_refund"


@dataclass(frozen=True)
class Account:
    """What a user owns here, in satoshis. Raises BrokenRuleError for one that is overdrawn, or not a user's."""

    account_id: str
    balance_sat: int = 0
    status: AccountStatus = AccountStatus.PENDING

    def __post_init__(self) -> None:
        if self.balance_sat < 0:
            raise BrokenRuleError("accounts_balance_not_negative", self.balance_sat, "0 satoshis or more")
        if not self.account_id or self.account_id[0] == "@":
            raise BrokenRuleError("accounts_not_of_the_system", self.account_id, "the id of a user's account")

    @property
    def is_open(self) -> bool:
        return self.status == AccountStatus.OPEN

    def has_room_for(self, amount_sat: int) -> bool:
        """Whether the balance stays within the supply. Refunds do not ask: that money was here before."""
        return self.balance_sat + amount_sat <= SUPPLY_SAT

    def credited(self, amount: Satoshis) -> Account:
        return Account(self.account_id, self.balance_sat + amount, self.status)

    def debited(self, amount: Satoshis) -> Account:
        """Raises BrokenRuleError if the balance does not cover *amount*."""
        return Account(self.account_id, self.balance_sat - amount, self.status)


class _Shape(NamedTuple):
    """What all movements of one kind have in common."""

    debit_account: str | None
    """The system's account that the money leaves; None if it leaves a user's."""
    credit_account: str | None
    """The system's account that the money reaches; None if it reaches a user's."""
    follows: bool = False
    has_payee: bool = False


_SHAPES: Mapping[MovementKind, _Shape] = {
    MovementKind.DEPOSIT: _Shape(LIGHTNING, None),
    MovementKind.MANUAL_DEPOSIT: _Shape(LIGHTNING, None),
    MovementKind.INVOICE_DEPOSIT: _Shape(LIGHTNING, None),
    MovementKind.WITHDRAWAL: _Shape(None, LIGHTNING),
    MovementKind.WITHDRAWAL_REFUND: _Shape(LIGHTNING, None, follows=True),
    MovementKind.TRANSFER_DEBIT: _Shape(None, IN_TRANSIT, has_payee=True),
    MovementKind.TRANSFER_CREDIT: _Shape(IN_TRANSIT, None, follows=True),
    MovementKind.TRANSFER_REFUND: _Shape(IN_TRANSIT, None, follows=True),
}


@dataclass(frozen=True, slots=True)
class Movement:
    """A row of the ledger: *amount_sat* leaves *debit_account* and reaches *credit_account*.

    Raises BrokenRuleError for one that its kind does not allow.
    """

    idempotency_key: str
    debit_account: str
    credit_account: str
    amount_sat: Satoshis
    kind: MovementKind
    recorded_at: datetime
    follows: str | None = None
    """The key of the movement that this one credits or takes back."""
    payee: str | None = None
    """Of a transfer's debit: the one account that the money in transit may be credited to."""

    def __post_init__(self) -> None:
        shape = _SHAPES[self.kind]
        if not (_fits(self.debit_account, shape.debit_account) and _fits(self.credit_account, shape.credit_account)):
            raise BrokenRuleError("ledger_accounts_of_its_kind", self.kind.value, f"{shape}")
        if (self.follows is not None) != shape.follows:
            raise BrokenRuleError("ledger_follows_if_its_kind_does", self.follows, f"{shape}")
        if (self.payee is not None) != shape.has_payee:
            raise BrokenRuleError("ledger_names_a_payee_if_its_kind_does", self.payee, f"{shape}")
        if not Satoshis.are(self.amount_sat):
            raise BrokenRuleError("ledger_amount_is_satoshis", self.amount_sat, f"1 to {SUPPLY_SAT}")

    @property
    def deposit_id(self) -> str:
        """Of a deposit: its id, which its key ends with."""
        return self.idempotency_key.partition("/")[2]


def _fits(account: str, of_the_system: str | None) -> bool:
    """Whether *account* is the system's that is asked for or, if none is, a user's."""
    return account[:1] not in ("", "@") if of_the_system is None else account == of_the_system


def open_account(account: Account | None, command: OpenAccount, now: datetime) -> Decision[Account]:
    """Let the owner spend; what was deposited earlier is kept."""
    if not is_account_id(command.account_id):
        return refuse(command, Reason.INVALID_ACCOUNT_ID)
    if account is not None and account.is_open:
        found = AccountFoundOpen(account_id=account.account_id, purpose=command.purpose)
        return rejected(Reason.ALREADY_OPEN, found)
    opened = replace(account or Account(command.account_id), status=AccountStatus.OPEN)
    event = AccountOpened(account_id=opened.account_id, balance_sat=opened.balance_sat, purpose=command.purpose)
    return done(opened, event)


def deposit(account: Account | None, command: Deposit, now: datetime) -> Decision[Account]:
    """Take in money from the Lightning network, for an account that need not be open yet."""
    may_be_id = is_key if command.purpose == Purpose.INVOICE else is_id
    if not may_be_id(command.deposit_id):
        return refuse(command, Reason.INVALID_ID)
    if command.account_id.startswith("@") or not may_be_id(command.account_id):
        return refuse(command, Reason.INVALID_ACCOUNT_ID)
    if not Satoshis.are(command.amount_sat):
        return refuse(command, Reason.INVALID_AMOUNT)
    holder, amount = account or Account(command.account_id), Satoshis(command.amount_sat)
    if not holder.has_room_for(amount):
        return refuse(command, Reason.BALANCE_LIMIT)
    credited = holder.credited(amount)
    event = Deposited(
        account_id=credited.account_id,
        deposit_id=command.deposit_id,
        amount_sat=command.amount_sat,
        balance_sat=credited.balance_sat,
        purpose=command.purpose,
    )
    key, kind = deposit_entry(command)
    return done(credited, event, records=(Movement(key, LIGHTNING, credited.account_id, amount, kind, now),))


def deposit_entry(command: Deposit) -> tuple[str, MovementKind]:
    """The idempotency key and kind of a deposit's movement: what is by hand never meets what an invoice brought in."""
    if command.purpose == Purpose.INVOICE:
        return f"invoice/{command.deposit_id}", MovementKind.INVOICE_DEPOSIT
    return f"deposit/{command.deposit_id}", MovementKind.MANUAL_DEPOSIT


def withdraw(account: Account | None, command: Withdraw, now: datetime) -> Decision[Account]:
    """Debit what is to be paid out."""
    if not is_id(command.withdrawal_id):
        return refuse(command, Reason.INVALID_ID)
    payer = can_pay(account, command.amount_sat)
    if isinstance(payer, Reason):
        return refuse(command, payer)
    amount = Satoshis(command.amount_sat)
    debited = payer.debited(amount)
    event = WithdrawalAccepted(
        account_id=debited.account_id,
        withdrawal_id=command.withdrawal_id,
        amount_sat=command.amount_sat,
        balance_sat=debited.balance_sat,
        purpose=command.purpose,
    )
    movement = Movement(
        f"withdrawal/{command.withdrawal_id}/debit", payer.account_id, LIGHTNING, amount, MovementKind.WITHDRAWAL, now
    )
    return done(debited, event, records=(movement,))


def refund_withdrawal(account: Account | None, command: RefundWithdrawal, now: datetime) -> Decision[Account]:
    """Give back what was debited under the withdrawal's id.

    The store refuses if nothing was, a second time, or if amount or account are not those of the debit.
    """
    if not is_key(command.withdrawal_id):
        return refuse(command, Reason.INVALID_ID)
    if not Satoshis.are(command.amount_sat):
        return refuse(command, Reason.INVALID_AMOUNT)
    if account is None:
        return refuse(command, Reason.UNKNOWN_ACCOUNT)
    amount, key = Satoshis(command.amount_sat), f"withdrawal/{command.withdrawal_id}"
    refunded = account.credited(amount)
    event = WithdrawalRefunded(
        account_id=refunded.account_id,
        withdrawal_id=command.withdrawal_id,
        amount_sat=command.amount_sat,
        balance_sat=refunded.balance_sat,
        reason=command.reason,
        purpose=command.purpose,
    )
    movement = Movement(
        f"{key}/refund", LIGHTNING, account.account_id, amount, MovementKind.WITHDRAWAL_REFUND, now, f"{key}/debit"
    )
    return done(refunded, event, records=(movement,))


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


def not_what_was_debited(account: Account | None, command: Command) -> Decision[Account]:
    """Instead of a movement of another amount than the one that it follows, or to another account than that allows."""
    return refuse(command, _NOT_WHAT_WAS_DEBITED[type(command)])


def refuse(command: Command, reason: Reason) -> Decision[Account]:
    """Refuse any command of this context: its event says what was asked and why not.

    Of a credit nothing is said: what sends the money back is for `credit_transfer` to know.
    """
    if isinstance(command, CreditTransfer):
        return rejected(reason)
    return rejected(reason, _rejection(command, reason))


def _rejection(command: Command, reason: Reason) -> Event:
    match command:
        case OpenAccount():
            return AccountOpeningRejected(account_id=command.account_id, reason=reason, purpose=command.purpose)
        case Deposit():
            return DepositRejected(
                account_id=command.account_id,
                deposit_id=command.deposit_id,
                amount_sat=command.amount_sat,
                reason=reason,
                purpose=command.purpose,
            )
        case Withdraw():
            return WithdrawalRejected(
                account_id=command.account_id,
                withdrawal_id=command.withdrawal_id,
                amount_sat=command.amount_sat,
                reason=reason,
                purpose=command.purpose,
            )
        case RefundWithdrawal():
            return WithdrawalRefundRejected(
                account_id=command.account_id,
                withdrawal_id=command.withdrawal_id,
                amount_sat=command.amount_sat,
                reason=reason,
                purpose=command.purpose,
            )
        case RequestTransfer():
            return TransferRejected(
                transfer_id=command.transfer_id,
                from_account_id=command.from_account_id,
                to_account_id=command.to_account_id,
                amount_sat=command.amount_sat,
                purpose=command.purpose,
                reference=command.reference,
                reason=reason,
            )
        case RefundTransfer():
            return TransferRefundRejected(
                transfer_id=command.transfer_id,
                from_account_id=command.from_account_id,
                to_account_id=command.to_account_id,
                amount_sat=command.amount_sat,
                purpose=command.purpose,
                reference=command.reference,
                reason=reason,
            )
        case _:
            raise BrokenRuleError("refuses_its_own_commands", command.TYPE.name, "a command of accounting")


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

_NOT_WHAT_WAS_DEBITED: Mapping[type[Command], Reason] = {
    RefundWithdrawal: Reason.NOT_THIS_WITHDRAWAL,
    CreditTransfer: Reason.NOT_THIS_TRANSFER,
    RefundTransfer: Reason.NOT_THIS_TRANSFER,
}
