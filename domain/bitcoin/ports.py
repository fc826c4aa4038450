"""What the bitcoin context needs from outside: a Lightning node."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from spark_actors.kernel.errors import DetailedError, SparkError


class InvoiceStatus(StrEnum):
    """What the node says of an invoice it made."""

    OPEN = "open"  # may become PAID or EXPIRED
    PAID = "paid"  # final
    EXPIRED = "expired"  # final: it can never be paid again


class PaymentStatus(StrEnum):
    """What the node says of a payment it was asked for."""

    NOT_FOUND = "not_found"  # the node has never been asked to pay this hash
    PENDING = "pending"  # under way, or not known: may become PAID or FAILED
    PAID = "paid"  # final
    FAILED = "failed"  # final: it did not and never will succeed


@dataclass(frozen=True)
class NodeInvoice:
    """An invoice as the node made it."""

    payment_hash: str
    payment_request: str
    expires_at: datetime


@dataclass(frozen=True)
class PaymentTerms:
    """What a payment request asks for, read from the request itself."""

    payment_hash: str
    amount_sat: int
    expires_at: datetime


@dataclass(frozen=True)
class Payment:
    """Where a payment stands."""

    status: PaymentStatus
    preimage: str = ""
    """Proof of payment, when paid."""
    reason: str = ""
    """Why, when failed."""


class LightningNode(Protocol):
    """A Lightning node. Every call takes at most the adapter's time limit.

    Every call may raise LightningError: what the node did is then unknown, so ask again.
    """

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        """Make an invoice. Asked again with the same *invoice_id* it may make another, which harms nobody.

        Raises InvoiceRefusedError if the node will not make it, however often it is asked.
        """

    async def invoice_status(self, payment_hash: str) -> InvoiceStatus:
        """Whether an invoice made here was paid."""

    async def decode(self, payment_request: str) -> PaymentTerms:
        """Read a payment request. Raises InvalidPaymentRequestError if it is none."""

    async def pay(self, payment_request: str) -> Payment:
        """Pay, at most once per payment hash, however often it is asked: a hash tried before answers its status.

        An expired request that was not tried before answers FAILED.
        """

    async def payment_status(self, payment_hash: str) -> Payment:
        """Where the payment for this hash stands."""


class LightningError(DetailedError):
    """The Lightning node did not answer; what it did is unknown."""


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
