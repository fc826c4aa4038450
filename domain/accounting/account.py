"""The Account aggregate: a balance that is never below zero, and the movements of money that make it.

The ledger is double entry: a movement is one row that takes an amount from one account and gives it to another, so
all balances sum to zero at every instant. The balance of a user's account is kept beside it; those of the system's
own accounts are never kept, only summed, so that no row is written by everybody. An idempotency key is used once,
for ever, and a movement is followed by at most one other: what was debited is credited or refunded, never both, all of
it, to whom it was meant for or from whom it came. Only of a fee reserve a part may stay, which the movement that gives
back the rest says: the fee.

A transfer is two steps, each one command on one account, so that no transaction spans two: the payer's debit puts the
money in transit, then the payee's credit or the payer's refund takes it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from domain.accounting.messages import (
    AccountFoundOpen,
    AccountOpened,
    CreditTransfer,
    Deposit,
    Deposited,
    FeeReserveReturned,
    GiftCredited,
    OpenAccount,
    Purpose,
    Reason,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    ReturnFeeReserve,
    TransferDebited,
    TransferRefunded,
    TransferSucceeded,
    Withdraw,
    WithdrawalAccepted,
    WithdrawalRefunded,
)
from domain.accounting.refusals import (
    BROUGHT_IN,
    FOLLOWED_BEFORE,
    KEY_TAKEN,
    NOT_WHAT_WAS_DEBITED,
    NOTHING_TO_FOLLOW,
    objection_to,
    refuse,
)
from domain.shared.money import SUPPLY_SAT, Satoshis
from spark_actors.kernel.aggregates import Aggregate
from spark_actors.kernel.decisions import Decision, done, rejected
from spark_actors.kernel.errors import BrokenRuleError
from spark_actors.kernel.messages import Command

LIGHTNING = "@lightning"
"""The system's account for what is outside, on the Lightning network: its balance is minus what users own here."""
IN_TRANSIT = "@in-transit"
"""The system's account for transfers that were debited and not yet credited or refunded."""
ROUTING = "@routing"
"""The system's account for fees: the reserves of withdrawals that are under way, and what the routes of others took."""


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
    FEE_RESERVE = "fee_reserve"  # set aside with a withdrawal
    FEE_CHANGE = "fee_change"  # what a payment has left of it
    FEE_REFUND = "fee_refund"  # all of it, since nothing was paid
    TRANSFER_DEBIT = "transfer_debit"
    TRANSFER_CREDIT = "transfer_credit"
    TRANSFER_REFUND = "transfer_refund"


@dataclass(frozen=True)
class Account(Aggregate):
    """What a user owns here, in satoshis. Raises BrokenRuleError for one that is overdrawn, or not a user's."""

    account_id: str
    balance_sat: int = 0
    status: AccountStatus = AccountStatus.PENDING
    drawn_on: date | None = None
    """The last day, in UTC, on which a withdrawal of an invoice was debited."""
    drawn_sat: int = 0
    """What was debited for such on that day, without fees: also for those that have failed since."""

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
        return replace(self, balance_sat=self.balance_sat + amount)

    def debited(self, amount: Satoshis) -> Account:
        """Raises BrokenRuleError if the balance does not cover *amount*."""
        return replace(self, balance_sat=self.balance_sat - amount)

    def _cannot_pay(self, amount_sat: int) -> Reason | None:
        """Why it cannot pay so much; None if it can."""
        if not self.is_open:
            return Reason.UNKNOWN_ACCOUNT
        return Reason.INSUFFICIENT_FUNDS if self.balance_sat < amount_sat else None

    def _drawn(self, amount_sat: int, on: date) -> Account:
        """With so much more withdrawn on that day."""
        before = self.drawn_sat if self.drawn_on == on else 0
        return replace(self, drawn_on=on, drawn_sat=before + amount_sat)

    @classmethod
    def open_first(cls, command: OpenAccount, now: datetime) -> Decision[Account]:
        """Open an account to which nothing was deposited."""
        objection = objection_to(command)
        return refuse(command, objection) if objection else cls(command.account_id).open(command, now)

    def open(self, command: OpenAccount, now: datetime) -> Decision[Account]:
        """Let the owner spend; what was deposited earlier is kept."""
        if objection := objection_to(command):
            return refuse(command, objection)
        if self.is_open:
            found = AccountFoundOpen(account_id=self.account_id, purpose=command.purpose)
            return rejected(Reason.ALREADY_OPEN, found)
        opened = replace(self, status=AccountStatus.OPEN)
        event = AccountOpened(account_id=opened.account_id, balance_sat=opened.balance_sat, purpose=command.purpose)
        return done(opened, event)

    @classmethod
    def deposit_first(cls, command: Deposit, now: datetime) -> Decision[Account]:
        """Take in money for an account that does not exist: it does then, and waits for the sign-up."""
        objection = objection_to(command)
        return refuse(command, objection) if objection else cls(command.account_id).deposit(command, now)

    def deposit(self, command: Deposit, now: datetime) -> Decision[Account]:
        """Take in money from the Lightning network, for an account that need not be open yet."""
        if objection := objection_to(command):
            return refuse(command, objection)
        amount = Satoshis(command.amount_sat)
        if not self.has_room_for(amount):
            return refuse(command, Reason.BALANCE_LIMIT)
        credited = self.credited(amount)
        event = Deposited(
            account_id=credited.account_id,
            deposit_id=command.deposit_id,
            amount_sat=command.amount_sat,
            balance_sat=credited.balance_sat,
            purpose=command.purpose,
        )
        key, kind = deposit_entry(command)
        movement = Movement(key, LIGHTNING, credited.account_id, amount, kind, now)
        return done(credited, event, *_gift_credited(command), records=(movement,))

    def withdraw(self, command: Withdraw, now: datetime, most_a_day_sat: int) -> Decision[Account]:
        """Debit what is to be paid out, and the fee reserve; for invoices no more than so much a day."""
        if objection := objection_to(command) or self._cannot_pay(command.amount_sat + command.fee_reserve_sat):
            return refuse(command, objection)
        amount, key = Satoshis(command.amount_sat), f"withdrawal/{command.withdrawal_id}"
        debited = self.debited(amount)
        if command.purpose == Purpose.INVOICE:
            debited = debited._drawn(amount, now.date())
            if debited.drawn_sat > most_a_day_sat:
                return refuse(command, Reason.DAY_LIMIT)
        movements = [Movement(f"{key}/debit", self.account_id, LIGHTNING, amount, MovementKind.WITHDRAWAL, now)]
        if command.fee_reserve_sat:
            reserve = Satoshis(command.fee_reserve_sat)
            debited = debited.debited(reserve)
            movements.append(
                Movement(f"{key}/reserve", self.account_id, ROUTING, reserve, MovementKind.FEE_RESERVE, now)
            )
        event = WithdrawalAccepted(
            account_id=debited.account_id,
            withdrawal_id=command.withdrawal_id,
            amount_sat=command.amount_sat,
            fee_reserve_sat=command.fee_reserve_sat,
            balance_sat=debited.balance_sat,
            purpose=command.purpose,
        )
        return done(debited, event, records=tuple(movements))

    def refund_withdrawal(self, command: RefundWithdrawal, now: datetime) -> Decision[Account]:
        """Give back what was debited under the withdrawal's id, with its fee reserve.

        The store refuses if nothing was, a second time, or if amount, reserve or account are not those of the debit.
        """
        if objection := objection_to(command):
            return refuse(command, objection)
        amount, key = Satoshis(command.amount_sat), f"withdrawal/{command.withdrawal_id}"
        refunded = self.credited(amount)
        movements = [
            Movement(
                f"{key}/refund", LIGHTNING, self.account_id, amount, MovementKind.WITHDRAWAL_REFUND, now, f"{key}/debit"
            )
        ]
        if command.fee_reserve_sat:
            reserve = Satoshis(command.fee_reserve_sat)
            refunded = refunded.credited(reserve)
            movements.append(
                Movement(
                    *(f"{key}/reserve_refund", ROUTING, self.account_id, reserve, MovementKind.FEE_REFUND, now),
                    follows=f"{key}/reserve",
                )
            )
        event = WithdrawalRefunded(
            account_id=refunded.account_id,
            withdrawal_id=command.withdrawal_id,
            amount_sat=command.amount_sat,
            fee_reserve_sat=command.fee_reserve_sat,
            balance_sat=refunded.balance_sat,
            reason=command.reason,
            purpose=command.purpose,
        )
        return done(refunded, event, records=tuple(movements))

    def return_fee_reserve(self, command: ReturnFeeReserve, now: datetime) -> Decision[Account]:
        """Give back what is left of a withdrawal's fee reserve; the fee stays with the system.

        The store refuses if nothing was set aside, a second time, or if reserve or account are not those of the debit.
        """
        if objection := objection_to(command):
            return refuse(command, objection)
        left, key = Satoshis(command.fee_reserve_sat - command.fee_sat), f"withdrawal/{command.withdrawal_id}"
        credited = self.credited(left)
        movement = Movement(
            *(f"{key}/change", ROUTING, self.account_id, left, MovementKind.FEE_CHANGE, now),
            follows=f"{key}/reserve",
            fee_sat=command.fee_sat,
        )
        event = FeeReserveReturned(
            account_id=credited.account_id,
            withdrawal_id=command.withdrawal_id,
            fee_sat=command.fee_sat,
            returned_sat=command.fee_reserve_sat - command.fee_sat,
            balance_sat=credited.balance_sat,
            purpose=command.purpose,
        )
        return done(credited, event, records=(movement,))

    def request_transfer(self, command: RequestTransfer, now: datetime) -> Decision[Account]:
        """The debit step, from the payer into transit."""
        if objection := objection_to(command) or self._cannot_pay(command.amount_sat):
            return refuse(command, objection)
        amount = Satoshis(command.amount_sat)
        debited = self.debited(amount)
        movement = Movement(
            f"transfer/{command.transfer_id}/debit",
            self.account_id,
            IN_TRANSIT,
            amount,
            MovementKind.TRANSFER_DEBIT,
            now,
            payee=command.to_account_id,
        )
        event = TransferDebited(
            transfer_id=command.transfer_id,
            from_account_id=self.account_id,
            to_account_id=command.to_account_id,
            amount_sat=command.amount_sat,
            purpose=command.purpose,
            reference=command.reference,
            balance_sat=debited.balance_sat,
        )
        return done(debited, event, records=(movement,))

    def credit_transfer(self, command: CreditTransfer, now: datetime) -> Decision[Account]:
        """The credit step, from transit to the payee.

        The store refuses if nothing is in transit under this id, or another amount, or for another payee.
        """
        if objection := objection_to(command):
            return refuse(command, objection)
        if not self.is_open:
            return refuse(command, Reason.UNKNOWN_ACCOUNT)
        amount, key = Satoshis(command.amount_sat), f"transfer/{command.transfer_id}"
        if not self.has_room_for(amount):
            return refuse(command, Reason.BALANCE_LIMIT)
        credited = self.credited(amount)
        movement = Movement(
            f"{key}/credit", IN_TRANSIT, self.account_id, amount, MovementKind.TRANSFER_CREDIT, now, f"{key}/debit"
        )
        event = TransferSucceeded(
            transfer_id=command.transfer_id,
            from_account_id=command.from_account_id,
            to_account_id=credited.account_id,
            amount_sat=command.amount_sat,
            purpose=command.purpose,
            reference=command.reference,
            balance_sat=credited.balance_sat,
        )
        return done(credited, event, records=(movement,))

    def refund_transfer(self, command: RefundTransfer, now: datetime) -> Decision[Account]:
        """The compensation, from transit back to the payer.

        The store refuses if nothing is in transit under this id, or another amount, or of another payer.
        """
        if objection := objection_to(command):
            return refuse(command, objection)
        amount, key = Satoshis(command.amount_sat), f"transfer/{command.transfer_id}"
        refunded = self.credited(amount)
        movement = Movement(
            f"{key}/refund", IN_TRANSIT, self.account_id, amount, MovementKind.TRANSFER_REFUND, now, f"{key}/debit"
        )
        event = TransferRefunded(
            transfer_id=command.transfer_id,
            from_account_id=refunded.account_id,
            to_account_id=command.to_account_id,
            amount_sat=command.amount_sat,
            purpose=command.purpose,
            reference=command.reference,
            balance_sat=refunded.balance_sat,
            reason=command.reason,
        )
        return done(refunded, event, records=(movement,))

    @staticmethod
    def unknown(command: Command, now: datetime) -> Decision[Account]:
        """Refuse what is for an account that does not exist."""
        return refuse(command, objection_to(command) or Reason.UNKNOWN_ACCOUNT)

    # Each of these is decided instead of a movement that a rule of the ledger has refused. The account need not exist.

    @staticmethod
    def key_taken(command: Command, now: datetime) -> Decision[Account]:
        """The movement's idempotency key is in the ledger."""
        return refuse(command, KEY_TAKEN[type(command)])

    @staticmethod
    def nothing_to_follow(command: Command, now: datetime) -> Decision[Account]:
        """The movement follows one which never happened."""
        return refuse(command, NOTHING_TO_FOLLOW[type(command)])

    @staticmethod
    def followed_before(command: Command, now: datetime) -> Decision[Account]:
        """The movement follows one which another has followed."""
        return refuse(command, FOLLOWED_BEFORE[type(command)])

    @staticmethod
    def not_what_was_debited(command: Command, now: datetime) -> Decision[Account]:
        """The movement is of another amount than the one that it follows, or to another account than that allows."""
        return refuse(command, NOT_WHAT_WAS_DEBITED[type(command)])


class _Shape(NamedTuple):
    """What all movements of one kind have in common."""

    debit_account: str | None
    """The system's account that the money leaves; None if it leaves a user's."""
    credit_account: str | None
    """The system's account that the money reaches; None if it reaches a user's."""
    follows: bool = False
    has_payee: bool = False
    has_fee: bool = False


_SHAPES: Mapping[MovementKind, _Shape] = {
    MovementKind.DEPOSIT: _Shape(LIGHTNING, None),
    MovementKind.MANUAL_DEPOSIT: _Shape(LIGHTNING, None),
    MovementKind.INVOICE_DEPOSIT: _Shape(LIGHTNING, None),
    MovementKind.WITHDRAWAL: _Shape(None, LIGHTNING),
    MovementKind.WITHDRAWAL_REFUND: _Shape(LIGHTNING, None, follows=True),
    MovementKind.FEE_RESERVE: _Shape(None, ROUTING),
    MovementKind.FEE_CHANGE: _Shape(ROUTING, None, follows=True, has_fee=True),
    MovementKind.FEE_REFUND: _Shape(ROUTING, None, follows=True),
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
    fee_sat: int | None = None
    """Of a fee reserve's change: what of the reserve stays where it is."""

    def __post_init__(self) -> None:
        shape = _SHAPES[self.kind]
        if not (_fits(self.debit_account, shape.debit_account) and _fits(self.credit_account, shape.credit_account)):
            raise BrokenRuleError("ledger_accounts_of_its_kind", self.kind.value, f"{shape}")
        if (self.follows is not None) != shape.follows:
            raise BrokenRuleError("ledger_follows_if_its_kind_does", self.follows, f"{shape}")
        if (self.payee is not None) != shape.has_payee:
            raise BrokenRuleError("ledger_names_a_payee_if_its_kind_does", self.payee, f"{shape}")
        if (self.fee_sat is not None) != shape.has_fee or (self.fee_sat or 0) < 0:
            raise BrokenRuleError("ledger_tells_the_fee_of_a_change", self.fee_sat, f"{shape}")
        if not Satoshis.are(self.amount_sat):
            raise BrokenRuleError("ledger_amount_is_satoshis", self.amount_sat, f"1 to {SUPPLY_SAT}")

    @property
    def takes_up_sat(self) -> int:
        """What the movement that it follows must have put down."""
        return self.amount_sat + (self.fee_sat or 0)

    @property
    def deposit_id(self) -> str:
        """Of a deposit: its id, which its key ends with."""
        return self.idempotency_key.partition("/")[2]


def _fits(account: str, of_the_system: str | None) -> bool:
    """Whether *account* is the system's that is asked for or, if none is, a user's."""
    return account[:1] not in ("", "@") if of_the_system is None else account == of_the_system


def _gift_credited(command: Deposit) -> Sequence[GiftCredited]:
    if command.purpose != Purpose.GIFT:
        return ()
    event = GiftCredited(
        account_id=command.account_id,
        deposit_id=command.deposit_id,
        amount_sat=command.amount_sat,
        campaign_id=command.reference,
    )
    return (event,)


def deposit_entry(command: Deposit) -> tuple[str, MovementKind]:
    """The idempotency key and kind of a deposit's movement: what is by hand never meets what an invoice brought in."""
    if command.purpose in BROUGHT_IN:
        return f"invoice/{command.deposit_id}", MovementKind.INVOICE_DEPOSIT
    return f"deposit/{command.deposit_id}", MovementKind.MANUAL_DEPOSIT
