"""Payment requests of the simulated Lightning network: an `lnsim1…` text that also says how paying it will go."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

import msgspec

from domain.bitcoin.ports import InvalidPaymentRequestError
from domain.shared.money import Satoshis

PREFIX = "lnsim1"
_CHECK_CHARACTERS = 8


class Behaviour(StrEnum):
    """What happens to the one who pays."""

    PAY = "pay"  # paid at once, or as the node's failure and unknown rates have it
    FAIL = "fail"  # failed at once, however often
    FAIL_THEN_PAY = "fail_then_pay"  # the first call fails at once; if asked again it is paid
    SLOW = "slow"  # pending, then paid
    HELD = "held"  # pending until it is released, then paid
    UNKNOWN_THEN_PAID = "unknown_then_paid"  # the call that asks to pay gets no answer; later it turns out paid
    UNKNOWN_THEN_FAILED = "unknown_then_failed"  # the same, but it turns out failed
    LOST_THEN_PAID = "lost_then_paid"  # the first call never reaches the node, which nobody knows; the next one is paid
    REFUSED_THEN_PAID = "refused_then_paid"  # for the first call certainly nothing is sent; the next one is paid


class SimulatedRequest(msgspec.Struct, frozen=True):
    """What a payment request says."""

    amount_sat: int
    expires_at: datetime
    nonce: str
    behaviour: Behaviour = Behaviour.PAY

    @property
    def preimage(self) -> str:
        return sha256(f"simulated preimage {self.nonce}".encode()).hexdigest()

    @property
    def payment_hash(self) -> str:
        return sha256(bytes.fromhex(self.preimage)).hexdigest()


@dataclass(frozen=True)
class SimulatedInvoice:
    """A payment request with what a withdrawal states beside it."""

    payment_request: str
    payment_hash: str
    amount_sat: int
    expires_at: datetime


def simulated_invoice(
    amount_sat: int, expires_at: datetime, *, nonce: str, behaviour: Behaviour | str = Behaviour.PAY
) -> SimulatedInvoice:
    """An invoice of somebody outside. *expires_at* has a zone; the same *nonce* gives the same payment hash."""
    request = SimulatedRequest(int(Satoshis(amount_sat)), expires_at, nonce, Behaviour(behaviour))
    return SimulatedInvoice(written(request), request.payment_hash, amount_sat, expires_at)


def written(request: SimulatedRequest) -> str:
    """The request as text."""
    content = msgspec.json.encode(request)
    text = base64.b32encode(content).decode().rstrip("=").lower()
    return f"{PREFIX}{text}{_check(content)}"


def read(payment_request: str) -> SimulatedRequest:
    """What a text says. Raises InvalidPaymentRequestError if it is none or was altered."""
    text = payment_request.removeprefix(PREFIX)
    if text == payment_request or not payment_request.isascii():
        raise InvalidPaymentRequestError(f"expected a text that starts with {PREFIX}")
    body, check = text[:-_CHECK_CHARACTERS], text[-_CHECK_CHARACTERS:]
    try:
        content = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        request = msgspec.json.decode(content, type=SimulatedRequest)
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPaymentRequestError(str(error)) from error
    if check != _check(content) or request.expires_at.tzinfo is None or not Satoshis.are(request.amount_sat):
        raise InvalidPaymentRequestError("the check characters, the expiry or the amount is wrong")
    return request


def _check(content: bytes) -> str:
    return sha256(content).hexdigest()[:_CHECK_CHARACTERS]
