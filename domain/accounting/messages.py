"""The published language of the accounting context. Amounts and balances are satoshis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spark_actors.kernel.messages import Command, Event, Sender, command, event


class Purpose(StrEnum):
    """What the sagas ask accounting for. A producer that asks for itself leaves the purpose empty, or has its own."""

    SIGN_UP = "sign_up"
    INVOICE = "invoice"
    GIFT = "gift"
    DONATION = "donation"


class Reason(StrEnum):
    """Why accounting refuses."""

    INVALID_ID = "invalid_id"
    INVALID_ACCOUNT_ID = "invalid_account_id"
    INVALID_AMOUNT = "invalid_amount"
    ALREADY_OPEN = "already_open"
    UNKNOWN_ACCOUNT = "unknown_account"  # never opened, or not yet
    INSUFFICIENT_FUNDS = "insufficient_funds"
    DAY_LIMIT = "day_limit"  # the account has withdrawn as much as the settings allow in a day
    BALANCE_LIMIT = "balance_limit"  # the balance would be more than there will ever be
    OWN_ACCOUNT = "own_account"  # a transfer to the payer itself
    DUPLICATE_DEPOSIT = "duplicate_deposit"
    DUPLICATE_WITHDRAWAL = "duplicate_withdrawal"
    DUPLICATE_TRANSFER = "duplicate_transfer"
    UNKNOWN_WITHDRAWAL = "unknown_withdrawal"
    UNKNOWN_TRANSFER = "unknown_transfer"
    NOT_THIS_WITHDRAWAL = "not_this_withdrawal"  # another amount or account than was debited
    NOT_THIS_TRANSFER = "not_this_transfer"  # another amount or account than was debited
    ALREADY_REFUNDED = "already_refunded"
    TRANSFER_ENDED = "transfer_ended"  # it was credited or refunded before
    ALREADY_RETURNED = "already_returned"  # what was left of the fee reserve, or all of it


@command(
    "accounting.open-account",
    key="account_id",
    sent_by=Sender.OPERATOR,
    reasons=(Reason.INVALID_ACCOUNT_ID, Reason.ALREADY_OPEN),
)
@dataclass(frozen=True, kw_only=True)
class OpenAccount(Command):
    """Open the account, so that its owner may spend. Deposits that came earlier are kept."""

    account_id: str
    purpose: str = ""
    """What it is for, e.g. `invoice`; the events repeat it, so that a saga knows its own."""


@command(
    "accounting.deposit",
    key="account_id",
    sent_by=Sender.OPERATOR,
    needs_why=True,
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_ACCOUNT_ID,
        Reason.INVALID_AMOUNT,
        Reason.BALANCE_LIMIT,
        Reason.DUPLICATE_DEPOSIT,
    ),
)
@dataclass(frozen=True, kw_only=True)
class Deposit(Command):
    """Credit what came in from the Lightning network. An account not opened yet keeps the money until it is.

    With the purpose `invoice` or `gift` it is what the invoice of this id has brought in; with any other it is one made
    by hand. The two are told apart: each is credited once, for ever, and neither stands in the way of the other.
    """

    account_id: str
    deposit_id: str
    amount_sat: int
    purpose: str = ""
    """What it is for, e.g. `invoice`; the events repeat it, so that a saga knows its own."""
    reference: str = ""
    """Of a gift: to which campaign."""


@command(
    "accounting.withdraw",
    key="account_id",
    sent_by=Sender.OPERATOR,
    needs_why=True,
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_AMOUNT,
        Reason.UNKNOWN_ACCOUNT,
        Reason.INSUFFICIENT_FUNDS,
        Reason.DAY_LIMIT,
        Reason.DUPLICATE_WITHDRAWAL,
    ),
)
@dataclass(frozen=True, kw_only=True)
class Withdraw(Command):
    """Debit what is to be paid out over the Lightning network, and what is set aside for the fee of its route.

    With the purpose `invoice` the amount counts towards what the account may withdraw in a day; by hand it does not.
    """

    account_id: str
    withdrawal_id: str
    amount_sat: int
    purpose: str = ""
    """What it is for, e.g. `invoice`; the events repeat it, so that a saga knows its own."""
    fee_reserve_sat: int = 0
    """The most that the route may cost, beside the amount."""


@command(
    "accounting.refund-withdrawal",
    key="account_id",
    sent_by=Sender.OPERATOR,
    needs_why=True,
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_AMOUNT,
        Reason.UNKNOWN_ACCOUNT,
        Reason.UNKNOWN_WITHDRAWAL,
        Reason.NOT_THIS_WITHDRAWAL,
        Reason.ALREADY_REFUNDED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RefundWithdrawal(Command):
    """Give back what was debited for a payment that failed for good: the amount and the fee reserve, both or none."""

    account_id: str
    withdrawal_id: str
    amount_sat: int
    reason: str
    purpose: str = ""
    """What it is for, e.g. `invoice`; the events repeat it, so that a saga knows its own."""
    fee_reserve_sat: int = 0
    """As it was debited."""


@command(
    "accounting.return-fee-reserve",
    key="account_id",
    sent_by=Sender.OPERATOR,
    needs_why=True,
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_AMOUNT,
        Reason.UNKNOWN_ACCOUNT,
        Reason.UNKNOWN_WITHDRAWAL,
        Reason.NOT_THIS_WITHDRAWAL,
        Reason.ALREADY_RETURNED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class ReturnFeeReserve(Command):
    """Give back what a payment that succeeded has left of its fee reserve: at least one satoshi."""

    account_id: str
    withdrawal_id: str
    fee_reserve_sat: int
    """As it was debited."""
    fee_sat: int
    """What the route has cost: less than the reserve."""
    purpose: str = ""
    """What it is for, e.g. `invoice`; the events repeat it, so that a saga knows its own."""


@command(
    "accounting.request-transfer",
    key="from_account_id",
    sent_by=Sender.OPERATOR,
    needs_why=True,
    reasons=(
        Reason.INVALID_ID,
        Reason.OWN_ACCOUNT,
        Reason.INVALID_AMOUNT,
        Reason.UNKNOWN_ACCOUNT,
        Reason.INSUFFICIENT_FUNDS,
        Reason.DUPLICATE_TRANSFER,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RequestTransfer(Command):
    """Move money to another account: the debit step, from the payer into transit."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    """What the transfer is for, e.g. `donation`."""
    reference: str
    """What it refers to there, e.g. the campaign's id."""


@command(
    "accounting.credit-transfer",
    key="to_account_id",
    sent_by=Sender.OPERATOR,
    needs_why=True,
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_AMOUNT,
        Reason.UNKNOWN_ACCOUNT,
        Reason.BALANCE_LIMIT,
        Reason.UNKNOWN_TRANSFER,
        Reason.NOT_THIS_TRANSFER,
        Reason.DUPLICATE_TRANSFER,
        Reason.TRANSFER_ENDED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class CreditTransfer(Command):
    """The credit step of a transfer, from transit to the payee."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str


@command(
    "accounting.refund-transfer",
    key="from_account_id",
    sent_by=Sender.OPERATOR,
    needs_why=True,
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_AMOUNT,
        Reason.UNKNOWN_ACCOUNT,
        Reason.UNKNOWN_TRANSFER,
        Reason.NOT_THIS_TRANSFER,
        Reason.ALREADY_REFUNDED,
        Reason.TRANSFER_ENDED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RefundTransfer(Command):
    """The compensation of a transfer whose credit was refused, from transit back to the payer."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str
    reason: str


@event("accounting.account-opened", key="account_id")
@dataclass(frozen=True, kw_only=True)
class AccountOpened(Event):
    """The account may be spent from now."""

    account_id: str
    balance_sat: int
    purpose: str = ""


@event("accounting.account-found-open", key="account_id")
@dataclass(frozen=True, kw_only=True)
class AccountFoundOpen(Event):
    """The account that was to be opened is open already."""

    account_id: str
    purpose: str = ""


@event("accounting.account-opening-rejected", key="account_id", version=2)
@dataclass(frozen=True, kw_only=True)
class AccountOpeningRejected(Event):
    """No such account can be opened."""

    account_id: str
    reason: str
    purpose: str = ""


@event("accounting.account-opening-rejected", key="account_id", is_former=True)
@dataclass(frozen=True, kw_only=True)
class AccountOpeningRejectedV1(Event):
    """The account was open already, or its id is not allowed."""

    account_id: str
    reason: str
    purpose: str = ""

    @property
    def was_open(self) -> bool:
        return self.reason == Reason.ALREADY_OPEN


@event("accounting.deposited", key="account_id")
@dataclass(frozen=True, kw_only=True)
class Deposited(Event):
    """The balance has grown by a deposit."""

    account_id: str
    deposit_id: str
    amount_sat: int
    balance_sat: int
    purpose: str = ""


@event("accounting.gift-credited", key="account_id")
@dataclass(frozen=True, kw_only=True)
class GiftCredited(Event):
    """The deposit that the balance has just grown by is a gift to a campaign."""

    account_id: str
    deposit_id: str
    amount_sat: int
    campaign_id: str


@event("accounting.deposit-rejected", key="account_id")
@dataclass(frozen=True, kw_only=True)
class DepositRejected(Event):
    """A deposit was refused: a bad amount, or one that is in the ledger already."""

    account_id: str
    deposit_id: str
    amount_sat: int
    reason: str
    purpose: str = ""


@event("accounting.withdrawal-accepted", key="account_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalAccepted(Event):
    """The balance was debited, by the amount and the fee reserve; the payment may start."""

    account_id: str
    withdrawal_id: str
    amount_sat: int
    balance_sat: int
    purpose: str = ""
    fee_reserve_sat: int = 0


@event("accounting.withdrawal-rejected", key="account_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalRejected(Event):
    """The account cannot pay; nothing was debited."""

    account_id: str
    withdrawal_id: str
    amount_sat: int
    reason: str
    purpose: str = ""
    fee_reserve_sat: int = 0


@event("accounting.withdrawal-refunded", key="account_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalRefunded(Event):
    """The payment failed for good; its amount and its fee reserve are back in the account."""

    account_id: str
    withdrawal_id: str
    amount_sat: int
    balance_sat: int
    reason: str
    purpose: str = ""
    fee_reserve_sat: int = 0


@event("accounting.withdrawal-refund-rejected", key="account_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalRefundRejected(Event):
    """A refund was refused: nothing was debited under this id, or it was refunded before."""

    account_id: str
    withdrawal_id: str
    amount_sat: int
    reason: str
    purpose: str = ""


@event("accounting.fee-reserve-returned", key="account_id")
@dataclass(frozen=True, kw_only=True)
class FeeReserveReturned(Event):
    """The payment has succeeded, its route has cost *fee_sat*, and the rest of the reserve is back in the account."""

    account_id: str
    withdrawal_id: str
    fee_sat: int
    returned_sat: int
    balance_sat: int
    purpose: str = ""


@event("accounting.transfer-debited", key="from_account_id")
@dataclass(frozen=True, kw_only=True)
class TransferDebited(Event):
    """The payer was debited; the money is in transit."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str
    balance_sat: int
    """The payer's balance afterwards."""


@event("accounting.transfer-succeeded", key="to_account_id")
@dataclass(frozen=True, kw_only=True)
class TransferSucceeded(Event):
    """The payee was credited; the transfer has ended."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str
    balance_sat: int
    """The payee's balance afterwards."""


@event("accounting.transfer-credit-refused", key="to_account_id")
@dataclass(frozen=True, kw_only=True)
class TransferCreditRefused(Event):
    """The payee cannot be credited, so the money goes back. If nothing is in transit, there is no event."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str
    reason: str


@event("accounting.transfer-refunded", key="from_account_id")
@dataclass(frozen=True, kw_only=True)
class TransferRefunded(Event):
    """The payer has the money back: the transfer has ended."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str
    balance_sat: int
    """The payer's balance afterwards."""
    reason: str


@event("accounting.transfer-refund-rejected", key="from_account_id")
@dataclass(frozen=True, kw_only=True)
class TransferRefundRejected(Event):
    """A refund was refused: nothing is in transit under this id."""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str
    reason: str


@event("accounting.transfer-rejected", key="from_account_id")
@dataclass(frozen=True, kw_only=True)
class TransferRejected(Event):
    """The transfer was refused at once: nothing was debited for this request. (Earlier, it also followed a refund.)"""

    transfer_id: str
    from_account_id: str
    to_account_id: str
    amount_sat: int
    purpose: str
    reference: str
    reason: str


MESSAGES = (
    OpenAccount,
    Deposit,
    Withdraw,
    RefundWithdrawal,
    ReturnFeeReserve,
    RequestTransfer,
    CreditTransfer,
    RefundTransfer,
    AccountOpened,
    AccountFoundOpen,
    AccountOpeningRejected,
    AccountOpeningRejectedV1,
    Deposited,
    GiftCredited,
    DepositRejected,
    WithdrawalAccepted,
    WithdrawalRejected,
    WithdrawalRefunded,
    WithdrawalRefundRejected,
    FeeReserveReturned,
    TransferDebited,
    TransferSucceeded,
    TransferCreditRefused,
    TransferRefunded,
    TransferRefundRejected,
    TransferRejected,
)
