"""What it would take to pay a payment request: read before money moves, by the rules that decide a withdrawal."""

from __future__ import annotations

from datetime import datetime

from domain.bitcoin.bolt11 import read
from domain.bitcoin.messages import PaymentTerms, Reason
from domain.bitcoin.policy import Policy
from domain.bitcoin.ports import InvalidPaymentRequestError, UnsupportedFeaturesError


def terms_of(payment_request: str, now: datetime, policy: Policy) -> PaymentTerms:
    """What the text says, and why it may not be paid, if it may not."""
    try:
        request = read(payment_request)
    except UnsupportedFeaturesError:
        return _unread(Reason.UNSUPPORTED_FEATURES)
    except InvalidPaymentRequestError:
        return _unread(Reason.INVALID_PAYMENT_REQUEST)
    amount_sat = request.amount_sat or 0
    return PaymentTerms(
        amount_sat=amount_sat,
        fee_reserve_sat=policy.fee_reserve_sat(amount_sat, None),
        description=_shown(request.description or ""),
        expires_at=request.expires_at,
        objection=policy.objection_to(request, now) or "",
    )


def _shown(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text)


def _unread(reason: Reason) -> PaymentTerms:
    return PaymentTerms(amount_sat=0, fee_reserve_sat=0, description="", expires_at=None, objection=reason)
