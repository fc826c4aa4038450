"""Payment requests of the simulated Lightning network: of BOLT #11 on regtest, with what is simulated as metadata."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

import msgspec

from domain.bitcoin import bolt11
from domain.bitcoin.ports import InvalidPaymentRequestError
from domain.bitcoin.secp256k1 import public_key
from domain.shared.money import Satoshis
from spark_actors.kernel.errors import BrokenRuleError

NETWORK = "bcrt"
FORMER_PREFIX = "lnsim1"
_FORMER_CHECK_CHARACTERS = 8
_SECRET_KEY = int.from_bytes(sha256(b"the simulated network").digest())
"""With which everybody's requests are signed. It guards nothing: it tells these requests from others on regtest."""
_PAYEE = public_key(_SECRET_KEY).hex()
_LIFE = timedelta(hours=1)
_FIRST, _LAST = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""What the format's 35 bits for a time hold, and a little less."""


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
    """Fractions of a second are left out: the format has none."""
    nonce: str
    behaviour: Behaviour = Behaviour.PAY

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "expires_at", self.expires_at.replace(microsecond=0))

    @property
    def preimage(self) -> str:
        return sha256(f"simulated preimage {self.nonce}".encode()).hexdigest()

    @property
    def payment_hash(self) -> str:
        return sha256(bytes.fromhex(self.preimage)).hexdigest()


@dataclass(frozen=True)
class SimulatedInvoice:
    """A payment request with what it says."""

    payment_request: str
    payment_hash: str
    amount_sat: int
    expires_at: datetime


def simulated_invoice(
    amount_sat: int, expires_at: datetime, *, nonce: str, behaviour: Behaviour | str = Behaviour.PAY
) -> SimulatedInvoice:
    """An invoice of somebody outside. The same *nonce*, of 600 bytes at most, gives the same payment hash.

    *expires_at* has a zone, and may be past; fractions of a second are left out. Raises BrokenRuleError if it is
    before 1970 or after 3000.
    """
    request = SimulatedRequest(int(Satoshis(amount_sat)), expires_at, nonce, Behaviour(behaviour))
    return SimulatedInvoice(written(request), request.payment_hash, amount_sat, request.expires_at)


def written(request: SimulatedRequest) -> str:
    """The request as text. It is dated an hour before it expires, whenever that is."""
    if not _FIRST <= request.expires_at <= _LAST:
        raise BrokenRuleError("the expiry of a payment request", request.expires_at, f"{_FIRST} to {_LAST}")
    created_at = max(request.expires_at - _LIFE, _FIRST - timedelta(seconds=1))
    return bolt11.written(
        network=NETWORK,
        amount_msat=request.amount_sat * 1_000,
        payment_hash=request.payment_hash,
        payment_secret=sha256(f"simulated secret {request.nonce}".encode()).hexdigest(),
        description="simulated",
        created_at=created_at,
        expires_in=request.expires_at - created_at,
        secret_key=_SECRET_KEY,
        metadata=f"{request.behaviour}/{request.nonce}".encode(),
    )


def read(payment_request: str) -> SimulatedRequest:
    """What a text says. Raises InvalidPaymentRequestError if it is none of this network or was altered.

    Texts of former releases are read, too: rows and tasks of theirs hold them.
    """
    if payment_request.startswith(FORMER_PREFIX):
        return _former(payment_request)
    said = bolt11.read(payment_request)
    if (said.network, said.payee) != (NETWORK, _PAYEE) or said.amount_sat is None or not said.is_whole:
        raise InvalidPaymentRequestError("it is not of the simulated network, or without an amount in whole satoshis")
    try:
        behaviour, _, nonce = said.metadata.decode().partition("/")
        request = SimulatedRequest(said.amount_sat, said.expires_at, nonce, Behaviour(behaviour))
    except ValueError as error:
        raise InvalidPaymentRequestError(f"its metadata do not say what is simulated: {error}") from error
    if request.payment_hash != said.payment_hash:
        raise InvalidPaymentRequestError("its payment hash is not that of its nonce")
    return request


def _former(payment_request: str) -> SimulatedRequest:
    """JSON in base 32 with some digits of its SHA-256."""
    text = payment_request.removeprefix(FORMER_PREFIX)
    if not text.isascii():
        raise InvalidPaymentRequestError("it holds characters beyond ASCII")
    body, check = text[:-_FORMER_CHECK_CHARACTERS], text[-_FORMER_CHECK_CHARACTERS:]
    try:
        content = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        request = msgspec.json.decode(content, type=SimulatedRequest)
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPaymentRequestError(str(error)) from error
    is_whole = check == sha256(content).hexdigest()[:_FORMER_CHECK_CHARACTERS]
    if not is_whole or request.expires_at.tzinfo is None or not Satoshis.are(request.amount_sat):
        raise InvalidPaymentRequestError("the check characters, the expiry or the amount is wrong")
    return request
