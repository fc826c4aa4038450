"""What the bitcoin context needs from outside: a Lightning node, and a permit to send that is given once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Protocol

from spark_actors.kernel.errors import DetailedError, SparkError


class InvoiceStatus(StrEnum):
    """What the node says of an invoice it made."""

    OPEN = "open"  # may become PAID or EXPIRED
    PAID = "paid"  # final
    EXPIRED = "expired"  # nobody can pay it any more; nodes with their own bookkeeping may find later that it is PAID


class PaymentStatus(StrEnum):
    """What the node says of a payment it was asked for."""

    NOT_FOUND = "not_found"  # the node does not know of it: it was never asked, or has not written it down yet
    PENDING = "pending"  # under way, or not known: may become PAID or FAILED
    PAID = "paid"  # final
    FAILED = "failed"  # nothing is under way; another call to pay may still succeed, unless failures are sticky there


@dataclass(frozen=True)
class NodeInvoice:
    """An invoice as the node made it."""

    payment_hash: str
    payment_request: str
    expires_at: datetime


@dataclass(frozen=True)
class Receipt:
    """What has come in for an invoice that the node made."""

    status: InvoiceStatus
    received_sat: int = 0
    """When paid: what arrived, rounded down; it may be more than was asked for."""


@dataclass(frozen=True)
class Payment:
    """Where a payment stands."""

    status: PaymentStatus
    preimage: str = ""
    """Proof of payment, when paid: 64 hexadecimal digits."""
    fee_sat: int = 0
    """When paid: what the route has cost beside the amount, rounded up."""
    reason: str = ""
    """Why, when failed: machine-readable, snake case."""


@dataclass(frozen=True)
class Incoming:
    """What was received since a place in the node's own order."""

    payment_hashes: Sequence[str]
    """Of invoices that were paid; some may be told again, none is left out."""
    cursor: str
    """Where to go on. Opaque; kept for as long as this node is used."""


@dataclass(frozen=True)
class Sent:
    """A payment that has succeeded, as the node tells it."""

    payment_hash: str
    amount_sat: int
    """What the payee was sent."""
    fee_sat: int
    """What the route has cost beside it, rounded up."""


@dataclass(frozen=True)
class Outgoing:
    """What was paid since a place in the node's own order."""

    payments: Sequence[Sent]
    """Those that have succeeded; some may be told again, none is left out, however long it took."""
    cursor: str
    """Where to go on. Opaque; kept for as long as this node is used. The same as before: that is all there is."""


class LightningNode(Protocol):
    """A Lightning node. Every call takes at most the adapter's time limit.

    Every call may raise LightningError: what the node did is then unknown, so ask again. No adapter does so by itself.
    """

    @property
    def network(self) -> str:
        """The prefix of the payment requests of its network, without `ln`: bc, tb, tbs or bcrt."""

    @property
    def has_sticky_failures(self) -> bool:
        """Whether a hash whose payment has FAILED is refused for ever, so that FAILED is final whoever asks again."""

    @property
    def can_miss_receipts(self) -> bool:
        """Whether what was paid while this was down may stay EXPIRED for ever, since it keeps books beside the node."""

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        """Make an invoice. Asked again with the same *invoice_id* it may make another, which harms nobody.

        Raises InvoiceRefusedError if the node will not make it, however often it is asked.
        """

    async def receipt(self, payment_hash: str) -> Receipt:
        """Whether an invoice made here was paid."""

    async def received(self, cursor: str) -> Incoming:
        """Which invoices made here were paid since *cursor*; "" is the beginning. At most some hundred at once."""

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        """Have it paid, for at most so much beside the amount; gives where the payment stands when the call ends.

        Asked again while it is under way or after it was PAID, it sends nothing and says so; after FAILED it may send
        again, if failures are not sticky here. Raises NotSentError if certainly nothing was or will be sent for this
        call, and LightningError if that is not known. The adapter believes no answer of the call itself to be a
        result: it looks the payment up.
        """

    async def payment_status(self, payment_hash: str) -> Payment:
        """Where the payment for this hash stands."""

    async def sent(self, cursor: str) -> Outgoing:
        """What this node has paid, for whomever, since *cursor*; "" is the beginning. At most some hundred at once."""

    async def balance_sat(self) -> int:
        """What can be spent, rounded down."""


class Permits(Protocol):
    """The right to send a payment: one for each payment hash, for ever, kept durably. Calls raise StorageError.

    Nodes do not promise that what has FAILED is not sent when they are asked again. So whoever would call `pay` must
    hold the permit, and nobody else ever gets it: at most one call to pay is under way or unaccounted for in the world.
    """

    async def take(self, payment_hash: str, invoice_id: str) -> bool:
        """Whether it is this caller's now. False: it was given before, to somebody, or to this caller earlier."""

    async def give_back(self, payment_hash: str) -> None:
        """After NotSentError: the call of the one who holds it has certainly sent nothing, and is over."""

    async def holder(self, payment_hash: str) -> str:
        """The invoice id of the withdrawal that it was given for, which may have been sent; empty if there is none."""


class Statement(Protocol):
    """What the node itself says that it has paid, held against the books. Calls raise StorageError."""

    async def unbooked(self) -> Sequence[Sent]:
        """Some of what the node has paid for no withdrawal of the books, and nobody has explained; empty: nothing.

        Everything that the node had paid when this process began is looked at, so books that were restored from a
        backup are not taken for the whole truth. What the node had paid before it served these books is its own
        affair. Raises LightningError until the node has told all that.
        """


class LightningError(DetailedError):
    """The Lightning node did not answer, or not as it should; what it did is unknown."""


class NotSentError(LightningError):
    """The Lightning node certainly sends nothing for this call to pay: it was not reached, or refuses for now."""


class InvoiceRefusedError(SparkError):
    """The Lightning node answered that it will never make the invoice."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """Machine-readable, snake case: who asked for the deposit is told."""

    def __str__(self) -> str:
        return f"the node refuses to make the invoice: {self.reason}"


class InvalidPaymentRequestError(DetailedError):
    """A payment request cannot be read."""

    reason: ClassVar[str] = "invalid_payment_request"
    """Machine-readable, snake case: who asked for the payment is told."""


class UnsupportedFeaturesError(InvalidPaymentRequestError):
    """A payment request demands of who pays it what is not known here."""

    reason: ClassVar[str] = "unsupported_features"
