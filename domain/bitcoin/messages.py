"""The published language of the bitcoin context. An invoice is a deposit or a withdrawal; amounts are satoshis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from spark_actors.kernel.bounds import Characters
from spark_actors.kernel.messages import Bearer, Command, Event, OwnerOf, Query, Sender, Upcaster, command, event, query

MAX_PAYMENT_REQUEST_LENGTH = 8_192  # characters; the longest that wallets make are a quarter of that
PaymentRequest = Annotated[str, Characters(MAX_PAYMENT_REQUEST_LENGTH)]
"""What a Lightning node is asked to pay."""

LIGHTNING = Bearer("lightning")
"""What watches the Lightning node and tells what has happened there."""


class Reason(StrEnum):
    """Why bitcoin refuses."""

    INVALID_ID = "invalid_id"
    INVALID_ACCOUNT_ID = "invalid_account_id"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_PAYMENT_REQUEST = "invalid_payment_request"  # it cannot be read, or what the node said of it is not sound
    UNSUPPORTED_FEATURES = "unsupported_features"  # it demands of its payer what is not known here
    WRONG_NETWORK = "wrong_network"
    NO_AMOUNT = "no_amount"  # the request leaves it to the payer
    AMOUNT_NOT_WHOLE = "amount_not_whole"  # in satoshis
    AMOUNT_MISMATCH = "amount_mismatch"  # it is not what the request asks for
    AMOUNT_TOO_SMALL = "amount_too_small"
    AMOUNT_TOO_LARGE = "amount_too_large"
    EXPIRES_TOO_LATE = "expires_too_late"
    OWN_INVOICE = "own_invoice"  # that of a deposit here
    INVALID_PREIMAGE = "invalid_preimage"  # its SHA-256 is not the payment hash, so it proves nothing
    DUPLICATE_INVOICE = "duplicate_invoice"  # the id is used, for something else
    DUPLICATE_PAYMENT_HASH = "duplicate_payment_hash"
    UNKNOWN_INVOICE = "unknown_invoice"  # nothing of this kind is known under the id
    NOT_THIS_WITHDRAWAL = "not_this_withdrawal"  # the account or the amount differs
    INVOICE_EXPIRED = "invoice_expired"  # or is about to
    INVOICE_REJECTED = "invoice_rejected"
    INVOICE_PAID = "invoice_paid"
    INVOICE_FAILED = "invoice_failed"
    TOO_MANY_OPEN_DEPOSITS = "too_many_open_deposits"  # of the account, or gifts to the campaign; when some end: again
    NOT_ISSUED = "not_issued"
    ALREADY_ISSUED = "already_issued"
    NOT_AUTHORIZED = "not_authorized"
    ALREADY_AUTHORIZED = "already_authorized"


@command(
    "bitcoin.request-deposit",
    key="invoice_id",
    sent_by=OwnerOf("account_id"),
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_ACCOUNT_ID,
        Reason.INVALID_AMOUNT,
        Reason.DUPLICATE_INVOICE,
        Reason.INVOICE_EXPIRED,
        Reason.INVOICE_FAILED,
        Reason.TOO_MANY_OPEN_DEPOSITS,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RequestDeposit(Command):
    """Ask for a Lightning invoice to pay into *account_id*, under an id that the producer chooses."""

    invoice_id: str
    account_id: str
    amount_sat: int


@command(
    "bitcoin.request-gift-deposit",
    key="invoice_id",
    sent_by=Sender.OPERATOR,
    reasons=(
        Reason.INVALID_AMOUNT,
        Reason.DUPLICATE_INVOICE,
        Reason.INVOICE_EXPIRED,
        Reason.INVOICE_FAILED,
        Reason.TOO_MANY_OPEN_DEPOSITS,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RequestGiftDeposit(Command):
    """Ask for a Lightning invoice by which somebody gives to a campaign: what it brings in belongs to its owner."""

    invoice_id: str
    account_id: str
    amount_sat: int
    campaign_id: str


@command(
    "bitcoin.issue-invoice",
    key="invoice_id",
    sent_by=LIGHTNING,
    reasons=(
        Reason.INVALID_PAYMENT_REQUEST,
        Reason.UNKNOWN_INVOICE,
        Reason.INVOICE_EXPIRED,
        Reason.INVOICE_FAILED,
        Reason.DUPLICATE_PAYMENT_HASH,
    ),
)
@dataclass(frozen=True, kw_only=True)
class IssueInvoice(Command):
    """The Lightning node has made the invoice."""

    invoice_id: str
    payment_hash: str
    payment_request: PaymentRequest
    expires_at: datetime


@command(
    "bitcoin.confirm-deposit",
    key="invoice_id",
    sent_by=LIGHTNING,
    reasons=(Reason.UNKNOWN_INVOICE, Reason.NOT_ISSUED, Reason.INVALID_AMOUNT),
)
@dataclass(frozen=True, kw_only=True)
class ConfirmDeposit(Command):
    """The Lightning node has been paid. Believed even of an expired invoice: money that came in is somebody's."""

    invoice_id: str
    received_sat: int | None = None
    """What arrived, which may be more than was asked for; None: just that."""


@command(
    "bitcoin.expire-invoice",
    key="invoice_id",
    sent_by=LIGHTNING,
    reasons=(Reason.UNKNOWN_INVOICE, Reason.INVOICE_FAILED, Reason.INVOICE_PAID),
)
@dataclass(frozen=True, kw_only=True)
class ExpireInvoice(Command):
    """The Lightning node says that the invoice can no longer be paid."""

    invoice_id: str


@command(
    "bitcoin.fail-deposit",
    key="invoice_id",
    sent_by=LIGHTNING,
    reasons=(Reason.UNKNOWN_INVOICE, Reason.ALREADY_ISSUED, Reason.INVOICE_EXPIRED, Reason.INVOICE_PAID),
)
@dataclass(frozen=True, kw_only=True)
class FailDeposit(Command):
    """The Lightning node will never make this invoice. Not to be sent if it only did not answer."""

    invoice_id: str
    reason: str


@command(
    "bitcoin.request-withdrawal",
    key="invoice_id",
    version=2,
    sent_by=OwnerOf("account_id"),
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_ACCOUNT_ID,
        Reason.INVALID_AMOUNT,
        Reason.INVALID_PAYMENT_REQUEST,
        Reason.UNSUPPORTED_FEATURES,
        Reason.WRONG_NETWORK,
        Reason.NO_AMOUNT,
        Reason.AMOUNT_NOT_WHOLE,
        Reason.AMOUNT_MISMATCH,
        Reason.INVOICE_EXPIRED,
        Reason.EXPIRES_TOO_LATE,
        Reason.AMOUNT_TOO_SMALL,
        Reason.AMOUNT_TOO_LARGE,
        Reason.OWN_INVOICE,
        Reason.DUPLICATE_INVOICE,
        Reason.DUPLICATE_PAYMENT_HASH,
        Reason.INVOICE_REJECTED,
        Reason.INVOICE_FAILED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RequestWithdrawal(Command):
    """Pay somebody else's invoice from *account_id*: its amount, and what the route costs beside it.

    The request itself says what is to be paid, to whom and until when. It is read before any money moves.
    """

    invoice_id: str
    account_id: str
    payment_request: PaymentRequest
    amount_sat: int | None = None
    """What the sender believes that it asks for; another amount is refused."""
    max_fee_sat: int | None = None
    """The most that the route may cost; None: as much as the settings allow."""


def without_terms(data: Mapping[str, object]) -> Mapping[str, object]:
    """Version 1 stated hash and expiry beside the request, which says both itself."""
    return {name: value for name, value in data.items() if name not in ("payment_hash", "expires_at")}


@command(
    "bitcoin.authorize-withdrawal",
    key="invoice_id",
    sent_by=Sender.OPERATOR,
    reasons=(Reason.UNKNOWN_INVOICE, Reason.NOT_THIS_WITHDRAWAL, Reason.INVOICE_REJECTED),
)
@dataclass(frozen=True, kw_only=True)
class AuthorizeWithdrawal(Command):
    """The account was debited by this amount and this reserve: the Lightning node may pay."""

    invoice_id: str
    account_id: str
    amount_sat: int
    fee_reserve_sat: int = 0


@command(
    "bitcoin.settle-withdrawal",
    key="invoice_id",
    sent_by=LIGHTNING,
    reasons=(
        Reason.UNKNOWN_INVOICE,
        Reason.NOT_AUTHORIZED,
        Reason.INVALID_PREIMAGE,
        Reason.INVOICE_REJECTED,
        Reason.INVOICE_FAILED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class SettleWithdrawal(Command):
    """The Lightning node has paid; *preimage* is the proof: the payment hash is its SHA-256."""

    invoice_id: str
    preimage: str
    """64 hexadecimal digits."""
    fee_sat: int = 0
    """What the route has cost beside the amount, rounded up."""


@command(
    "bitcoin.reject-withdrawal",
    key="invoice_id",
    sent_by=Sender.OPERATOR,
    reasons=(
        Reason.UNKNOWN_INVOICE,
        Reason.NOT_THIS_WITHDRAWAL,
        Reason.ALREADY_AUTHORIZED,
        Reason.INVOICE_FAILED,
        Reason.INVOICE_PAID,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RejectWithdrawal(Command):
    """The account could not be debited by this amount and this reserve."""

    invoice_id: str
    account_id: str
    amount_sat: int
    reason: str
    fee_reserve_sat: int = 0


@command(
    "bitcoin.fail-withdrawal",
    key="invoice_id",
    sent_by=LIGHTNING,
    reasons=(Reason.UNKNOWN_INVOICE, Reason.NOT_AUTHORIZED, Reason.INVOICE_REJECTED, Reason.INVOICE_PAID),
)
@dataclass(frozen=True, kw_only=True)
class FailWithdrawal(Command):
    """The Lightning node can never pay this invoice. Not to be sent while the payment may still succeed."""

    invoice_id: str
    reason: str


@event("bitcoin.deposit-requested", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class DepositRequested(Event):
    """A deposit waits for its invoice."""

    invoice_id: str
    account_id: str
    amount_sat: int
    campaign_id: str = ""
    """Of a gift: to which campaign. Empty for any other deposit."""


@event("bitcoin.deposit-request-rejected", key="invoice_id", is_former=True)
@dataclass(frozen=True, kw_only=True)
class DepositRequestRejected(Event):
    """No invoice will be made. Who asked for it is told so in the answer, and nobody else."""

    invoice_id: str
    account_id: str
    amount_sat: int
    reason: str


@event("bitcoin.invoice-issued", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class InvoiceIssued(Event):
    """The invoice can be paid until *expires_at*."""

    invoice_id: str
    account_id: str
    amount_sat: int
    payment_hash: str
    payment_request: PaymentRequest
    expires_at: datetime
    campaign_id: str = ""
    """Of a gift: to which campaign. Empty for any other deposit."""


@event("bitcoin.deposit-paid", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class DepositPaid(Event):
    """The money has arrived at the node and belongs to *account_id*."""

    invoice_id: str
    account_id: str
    amount_sat: int
    """What arrived, which may be more than was asked for."""
    campaign_id: str = ""
    """Of a gift: to which campaign. Empty for any other deposit."""


@event("bitcoin.invoice-expired", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class InvoiceExpired(Event):
    """The deposit has ended: nobody paid in time."""

    invoice_id: str
    account_id: str
    amount_sat: int
    campaign_id: str = ""
    """Of a gift: to which campaign. Empty for any other deposit."""


@event("bitcoin.deposit-failed", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class DepositFailed(Event):
    """The deposit has ended before anybody could pay: the node will not make its invoice, for this reason."""

    invoice_id: str
    account_id: str
    amount_sat: int
    reason: str
    campaign_id: str = ""
    """Of a gift: to which campaign. Empty for any other deposit."""


@event("bitcoin.withdrawal-requested", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalRequested(Event):
    """A withdrawal waits for the account to be debited."""

    invoice_id: str
    account_id: str
    amount_sat: int
    fee_reserve_sat: int = 0
    """The most that the route may cost: debited beside the amount."""


@event("bitcoin.withdrawal-request-rejected", key="invoice_id", is_former=True)
@dataclass(frozen=True, kw_only=True)
class WithdrawalRequestRejected(Event):
    """The withdrawal was refused at once. Who asked for it is told so in the answer, and nobody else."""

    invoice_id: str
    account_id: str
    amount_sat: int
    reason: str


@event("bitcoin.withdrawal-authorized", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalAuthorized(Event):
    """The account is debited; the Lightning node is asked to pay."""

    invoice_id: str
    account_id: str
    amount_sat: int
    payment_hash: str
    payment_request: PaymentRequest
    fee_reserve_sat: int = 0


@event("bitcoin.invoice-rejected", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class InvoiceRejected(Event):
    """The withdrawal has ended because the account could not pay."""

    invoice_id: str
    account_id: str
    amount_sat: int
    reason: str


@event("bitcoin.withdrawal-paid", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalPaid(Event):
    """The money has left over the Lightning network; *preimage* is the proof."""

    invoice_id: str
    account_id: str
    amount_sat: int
    preimage: str
    fee_reserve_sat: int = 0
    fee_sat: int = 0
    """What the payer pays for the route: at most the reserve."""

    @property
    def is_change_due(self) -> bool:
        """Whether something is left of the reserve."""
        return self.fee_sat < self.fee_reserve_sat


@event("bitcoin.invoice-change-rejected", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class InvoiceChangeRejected(Event):
    """A step was refused because it contradicts what is known of the invoice."""

    invoice_id: str
    command: str
    """Wire name of the step."""
    reason: str


@event("bitcoin.withdrawal-failed", key="invoice_id")
@dataclass(frozen=True, kw_only=True)
class WithdrawalFailed(Event):
    """The payment failed for good; the account is to be refunded."""

    invoice_id: str
    account_id: str
    amount_sat: int
    reason: str
    fee_reserve_sat: int = 0


@dataclass(frozen=True, kw_only=True)
class PaymentTerms:
    """What a payment request says, and what to pay it from an account would take."""

    amount_sat: int
    """What it asks for; 0 if it cannot be read or leaves it to the payer."""
    fee_reserve_sat: int
    """The most that the route may cost: debited beside the amount, and given back as far as it does not."""
    description: Annotated[str, Characters(639, has_lines=True)]
    """In the words of whoever wrote it, a stranger perhaps; empty if none. What cannot be seen in it is replaced."""
    expires_at: datetime | None
    """None if it cannot be read."""
    objection: str
    """For which reason a withdrawal to it would be refused at this moment; empty if for none that is seen in it."""


@query("bitcoin.payment-request", result=PaymentTerms, sent_by=OwnerOf("account_id"))
@dataclass(frozen=True, kw_only=True)
class ReadPaymentRequest(Query):
    """Read a payment request before money moves. What only the books know (a balance, a hash used before) is not in it.

    *account_id* is whose withdrawal it would be.
    """

    account_id: str
    payment_request: PaymentRequest


@dataclass(frozen=True, kw_only=True)
class NodeTerms:
    """Of the Lightning node that pays and gets paid, as the settings have it."""

    network: str
    """The prefix of its payment requests, without `ln`."""
    is_simulated: bool
    """Whether no money moves."""
    smallest_withdrawal_sat: int
    largest_withdrawal_sat: int


@query("bitcoin.node", result=NodeTerms, sent_by=Sender.ANYBODY)
@dataclass(frozen=True, kw_only=True)
class ViewNode(Query):
    """On which network the node is, and what it lets be withdrawn."""


UPCASTERS = (Upcaster("bitcoin.request-withdrawal", 1, without_terms),)

MESSAGES = (
    RequestDeposit,
    RequestGiftDeposit,
    IssueInvoice,
    ConfirmDeposit,
    ExpireInvoice,
    FailDeposit,
    RequestWithdrawal,
    AuthorizeWithdrawal,
    SettleWithdrawal,
    RejectWithdrawal,
    FailWithdrawal,
    DepositRequested,
    DepositRequestRejected,
    InvoiceIssued,
    DepositPaid,
    InvoiceExpired,
    DepositFailed,
    WithdrawalRequested,
    WithdrawalRequestRejected,
    WithdrawalAuthorized,
    InvoiceRejected,
    WithdrawalPaid,
    WithdrawalFailed,
    InvoiceChangeRejected,
    ReadPaymentRequest,
    ViewNode,
)
