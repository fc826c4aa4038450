"""Payment requests of Lightning, BOLT #11: read as strictly as a node reads them, and written.

The signature binds what a request says to *some* key: a changed request has another payee, so it does not prove who
has written it. Whether a request may be paid (network, amount, expiry) is for the caller to decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from domain.bitcoin import bech32
from domain.bitcoin.messages import MAX_PAYMENT_REQUEST_LENGTH
from domain.bitcoin.ports import InvalidPaymentRequestError, UnsupportedFeaturesError
from domain.bitcoin.secp256k1 import Signature, is_signed, sign, signer
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.errors import BrokenRuleError

NETWORKS = ("bc", "tb", "tbs", "bcrt")
"""Mainnet, testnet, signet, regtest."""
KNOWN_FEATURES = frozenset({8, 14, 16, 48})
"""What a request may demand, by even bits of BOLT #9: variable onion, payment secret, many parts, payment metadata."""
DEFAULT_EXPIRY = timedelta(hours=1)

_SCHEME = "lightning:"
_PREFIX = re.compile(r"ln(bcrt|bc|tbs|tb)(?:([1-9][0-9]{0,19})([munp]?))?", re.ASCII)
_MSAT = {"": 10**11, "m": 10**8, "u": 10**5, "n": 10**2}
"""Of one bitcoin, and of its parts; of a `p` there are ten to a millisatoshi."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_TIME_WORDS, _SIGNATURE_WORDS, _HASH_WORDS, _KEY_WORDS, _MOST_WORDS = 7, 104, 52, 53, 1_023
_PAYMENT_HASH, _FEATURES, _EXPIRY, _DESCRIPTION, _SECRET, _PAYEE, _DESCRIPTION_HASH, _METADATA = (
    *(1, 5, 6, 13),  # p 9 x d
    *(16, 19, 23, 27),  # s n h m
)
_LENGTHS = {_PAYMENT_HASH: _HASH_WORDS, _SECRET: _HASH_WORDS, _DESCRIPTION_HASH: _HASH_WORDS, _PAYEE: _KEY_WORDS}
_READ = {*_LENGTHS, _FEATURES, _EXPIRY, _DESCRIPTION, _METADATA}
"""The other fields (fallback addresses, routing hints, the last hop's delta, unknown ones) are for the node."""


@dataclass(frozen=True)
class PaymentRequest:
    """What a payment request says. Nothing is promised of who says it."""

    text: str
    """In its normal form: lower case, without `lightning:`."""
    network: str
    """One of NETWORKS."""
    amount_msat: int | None
    """At most the supply of bitcoin; None: whoever pays chooses."""
    payment_hash: str
    """64 hexadecimal digits in lower case, as `description_hash` and `payment_secret` have them."""
    payee: str
    """The node's compressed public key: 66 hexadecimal digits in lower case."""
    created_at: datetime
    """Whole seconds, UTC, as `expires_at` is; it may lie in the future."""
    expires_at: datetime
    description: str | None
    """Either this or its hash is there. Up to 639 bytes of any characters, as a stranger has written them."""
    description_hash: str | None
    payment_secret: str
    metadata: bytes = b""
    feature_bits: frozenset[int] = frozenset()

    @property
    def amount_sat(self) -> int | None:
        """Rounded down; None if there is no amount."""
        return None if self.amount_msat is None else self.amount_msat // 1_000

    @property
    def is_whole(self) -> bool:
        """Whether there is an amount, and it is one of whole satoshis."""
        return self.amount_msat is not None and self.amount_msat % 1_000 == 0


def read(text: str) -> PaymentRequest:
    """What a payment request says.

    White space around it, upper case and a `lightning:` before it are accepted. Raises InvalidPaymentRequestError for
    whatever the format forbids, and UnsupportedFeaturesError if it demands a feature that is not known here.
    """
    if len(text) > MAX_PAYMENT_REQUEST_LENGTH:
        raise InvalidPaymentRequestError(
            f"it has {len(text)} characters: expected {MAX_PAYMENT_REQUEST_LENGTH} at most"
        )
    return _read(text)


@lru_cache(maxsize=256)
def _read(text: str) -> PaymentRequest:
    """One request is read several times on its way; two milliseconds each."""
    plain = text.strip()
    if plain[: len(_SCHEME)].lower() == _SCHEME:
        plain = plain[len(_SCHEME) :]
    if not plain.isascii() or plain not in (plain.lower(), plain.upper()):
        raise InvalidPaymentRequestError("it mixes upper and lower case, or holds characters beyond ASCII")
    plain = plain.lower()
    parts = bech32.split(plain)
    if parts is None:
        raise InvalidPaymentRequestError("it is no bech32 text, or its checksum is wrong")
    prefix, words = parts
    network, amount_msat = _network_and_amount(prefix)
    if len(words) < _TIME_WORDS + _SIGNATURE_WORDS:
        raise InvalidPaymentRequestError("it is too short for a time and a signature")
    fields = _fields(words[_TIME_WORDS:-_SIGNATURE_WORDS])
    created = bech32.number(words[:_TIME_WORDS])
    expires = created + _expiry(fields)
    if expires > _LONGEST:
        raise InvalidPaymentRequestError("it expires later than any date")
    return PaymentRequest(
        text=plain,
        network=network,
        amount_msat=amount_msat,
        payment_hash=_octets(fields, _PAYMENT_HASH, "payment hash").hex(),
        payee=_payee(prefix, words, fields).hex(),
        created_at=_EPOCH + timedelta(seconds=created),
        expires_at=_EPOCH + timedelta(seconds=expires),
        description=_description(fields),
        description_hash=_octets(fields, _DESCRIPTION_HASH, "hash").hex() if _DESCRIPTION_HASH in fields else None,
        payment_secret=_octets(fields, _SECRET, "payment secret").hex(),
        metadata=_octets(fields, _METADATA, "metadata") if _METADATA in fields else b"",
        feature_bits=_feature_bits(fields),
    )


def _network_and_amount(prefix: str) -> tuple[str, int | None]:
    match = _PREFIX.fullmatch(prefix)
    if match is None:
        raise InvalidPaymentRequestError(f"its prefix {prefix[:40]!r} is not `ln`, a network and an amount")
    network, digits, unit = match.groups()
    if digits is None:
        return network, None
    amount, fraction = divmod(int(digits), 10) if unit == "p" else (int(digits) * _MSAT[unit], 0)
    if fraction or amount > SUPPLY_SAT * 1_000:
        raise InvalidPaymentRequestError(f"its amount {digits}{unit} has a part of a millisatoshi, or is too large")
    return network, amount


def _fields(words: bytes) -> Mapping[int, bytes]:
    """Of the tagged fields those that are read here: the words of each, by its type."""
    fields: dict[int, bytes] = {}
    place = 0
    while place < len(words):
        kind, length = words[place], bech32.number(words[place + 1 : place + 3])
        place += 3
        content = words[place : place + length]
        place += length
        if place > len(words):
            raise InvalidPaymentRequestError("a field is longer than the text")
        if kind not in _READ:
            continue
        if kind in fields or length != _LENGTHS.get(kind, length):
            raise InvalidPaymentRequestError(f"the field of type {kind} has the wrong length, or is there twice")
        fields[kind] = content
    return fields


def _octets(fields: Mapping[int, bytes], kind: int, name: str) -> bytes:
    content = bech32.octets(fields[kind]) if kind in fields else None
    if content is None:
        raise InvalidPaymentRequestError(f"the {name} is missing, or not filled up with zeros")
    return content


def _expiry(fields: Mapping[int, bytes]) -> int:
    return bech32.number(fields[_EXPIRY]) if _EXPIRY in fields else DEFAULT_EXPIRY // timedelta(seconds=1)


def _description(fields: Mapping[int, bytes]) -> str | None:
    if (_DESCRIPTION in fields) == (_DESCRIPTION_HASH in fields):
        raise InvalidPaymentRequestError("expected either a description or its hash")
    if _DESCRIPTION not in fields:
        return None
    try:
        return _octets(fields, _DESCRIPTION, "description").decode()
    except UnicodeDecodeError as error:
        raise InvalidPaymentRequestError("the description is not UTF-8") from error


def _feature_bits(fields: Mapping[int, bytes]) -> frozenset[int]:
    value = bech32.number(fields.get(_FEATURES, b""))
    bits = frozenset(bit for bit in range(value.bit_length()) if value >> bit & 1)
    unknown = sorted(bit for bit in bits - KNOWN_FEATURES if bit % 2 == 0)
    if unknown:
        raise UnsupportedFeaturesError(f"it demands the feature of bit {unknown[0]}, which is not known here")
    return bits


def _payee(prefix: str, words: bytes, fields: Mapping[int, bytes]) -> bytes:
    """Who has signed: the key that is named, or else the one that the signature tells."""
    content = bech32.number(words[-_SIGNATURE_WORDS:])
    signature = Signature(content >> 264, content >> 8 & 2**256 - 1, content & 255)
    digest = _digest(prefix, words[:-_SIGNATURE_WORDS])
    if _PAYEE not in fields:
        payee = signer(digest, signature)
    else:
        named = _octets(fields, _PAYEE, "payee")
        payee = named if signature.is_low and is_signed(digest, signature, named) else None
    if payee is None:
        raise InvalidPaymentRequestError("the signature is none, or not the payee's")
    return payee


def _digest(prefix: str, words: bytes) -> bytes:
    length = -(-5 * len(words) // 8)
    content = (bech32.number(words) << 8 * length - 5 * len(words)).to_bytes(length)
    return sha256(prefix.encode() + content).digest()


def written(
    *,
    network: str,
    amount_msat: int | None,
    payment_hash: str,
    payment_secret: str,
    description: str | None,
    created_at: datetime,
    expires_in: timedelta,
    secret_key: int,
    metadata: bytes = b"",
    description_hash: str | None = None,
) -> str:
    """A payment request in lower case. Fractions of a second of *created_at* and *expires_in* are left out.

    Exactly one of *description* (639 bytes of UTF-8 at most) and *description_hash* is given. Raises BrokenRuleError
    for what a request cannot say.
    """
    created = (created_at - _EPOCH) // timedelta(seconds=1)
    seconds = expires_in // timedelta(seconds=1)
    if network not in NETWORKS:
        raise BrokenRuleError("a network", network, f"one of {', '.join(NETWORKS)}")
    if not 0 <= created < 2 ** (5 * _TIME_WORDS):
        raise BrokenRuleError("the time of a payment request", created_at, "seconds since 1970 that fit in 35 bits")
    if not 0 < seconds <= _LONGEST - created:
        raise BrokenRuleError("the life of a payment request", expires_in, "a second, and no end after the last date")
    if (description is None) == (description_hash is None):
        raise BrokenRuleError("a payment request", description, "either a description or its hash")
    features = {8, 14, *([48] if metadata else [])}
    words = b"".join(
        (
            bech32.words_of(created, _TIME_WORDS),
            _hash_field(_PAYMENT_HASH, payment_hash),
            _hash_field(_SECRET, payment_secret),
            _field(_DESCRIPTION, bech32.words_of_octets(description.encode())) if description is not None else b"",
            _hash_field(_DESCRIPTION_HASH, description_hash) if description_hash is not None else b"",
            _field(_METADATA, bech32.words_of_octets(metadata)) if metadata else b"",
            _field(_EXPIRY, bech32.words_of(seconds, 0)),
            _field(_FEATURES, bech32.words_of(sum(1 << bit for bit in features), 0)),
        )
    )
    prefix = f"ln{network}{_amount(amount_msat)}"
    return signed(prefix, words, secret_key)


def signed(prefix: str, words: bytes, secret_key: int) -> str:
    """The text of any prefix and words with a signature of the key, whether that makes a payment request or not."""
    signature = sign(_digest(prefix, words), secret_key)
    content = signature.r.to_bytes(32) + signature.s.to_bytes(32) + bytes([signature.recovery_id])
    return bech32.joined(prefix, words + bech32.words_of_octets(content))


def _amount(amount_msat: int | None) -> str:
    if amount_msat is None:
        return ""
    if not 0 < amount_msat <= SUPPLY_SAT * 1_000:
        raise BrokenRuleError("an amount in millisatoshis", amount_msat, "a positive one within the supply of bitcoin")
    for unit, msat in _MSAT.items():
        if amount_msat % msat == 0:
            return f"{amount_msat // msat}{unit}"
    return f"{amount_msat * 10}p"


def _hash_field(kind: int, digits: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise BrokenRuleError("a hash or secret of a payment request", digits, "64 hexadecimal digits in lower case")
    return _field(kind, bech32.words_of_octets(bytes.fromhex(digits)))


def _field(kind: int, words: bytes) -> bytes:
    if len(words) > _MOST_WORDS:
        raise BrokenRuleError("a field of a payment request", f"{len(words)} words", f"{_MOST_WORDS} at most")
    return bytes([kind]) + bech32.words_of(len(words), 2) + words
