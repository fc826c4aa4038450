"""What is to be done next about a payment, so that it is sent at most once and given up only when it never can be.

Lightning nodes may send again what has failed, if they are asked again. So one permit is given for each payment hash,
for ever, and only who holds it asks the node to pay. Whoever gives a payment up without having sent takes the permit,
too: then nobody can send it any more, not even who has stood still since it saw that nothing was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from domain.bitcoin.invoice import is_proof
from domain.bitcoin.ports import Payment, PaymentStatus

CLOCK_SKEW = timedelta(minutes=5)
"""By how much the node's clock may be behind ours."""
TRIED_BEFORE = "payment_tried_before"
"""Why a withdrawal fails whose payment was tried for another withdrawal and failed: it is never tried again."""


@dataclass(frozen=True)
class Settle:
    """It was paid, and this proves it."""

    preimage: str
    fee_sat: int


@dataclass(frozen=True)
class Fail:
    """It was not paid and never will be."""

    reason: str


@dataclass(frozen=True)
class Withhold:
    """It is not to be sent: whoever gets the permit now fails it for this reason, others look again."""

    reason: str


@dataclass(frozen=True)
class Send:
    """Whoever gets the permit now asks the node to pay, others look again."""


@dataclass(frozen=True)
class LookAgain:
    """Nobody knows yet."""


@dataclass(frozen=True)
class Distrust:
    """The node says that it was paid, and what it shows is no proof: a human must look at it."""


Step: TypeAlias = Settle | Fail | Withhold | Send | LookAgain | Distrust


def next_step(
    payment: Payment,
    *,
    invoice_id: str,
    payment_hash: str,
    expires_at: datetime,
    holder: str,
    now: datetime,
    clock_skew: timedelta = CLOCK_SKEW,
) -> Step:
    """What follows from what the node says of a payment.

    *invoice_id*: of the withdrawal. *holder*: that for which the permit was given, as it was known before the node was
    asked; empty for none. *expires_at*: of the request.
    """
    match payment.status:
        case PaymentStatus.PAID:
            is_proven = is_proof(payment.preimage, payment_hash)
            return Settle(payment.preimage, payment.fee_sat) if is_proven else Distrust()
        case PaymentStatus.PENDING:
            return LookAgain()
        case PaymentStatus.FAILED:
            reason = payment.reason or "payment_failed"
            if not holder:
                return Withhold(reason)
            return Fail(reason if holder == invoice_id else TRIED_BEFORE)
    if not holder:
        return Withhold("invoice_expired") if expires_at <= now else Send()
    return Fail("never_sent") if expires_at + clock_skew <= now else LookAgain()
