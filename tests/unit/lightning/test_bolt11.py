"""Payment requests of Lightning: what a text says, or that it says nothing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bitcoin import bech32, bolt11
from domain.bitcoin.bolt11 import read, signed, written
from domain.bitcoin.messages import MAX_PAYMENT_REQUEST_LENGTH
from domain.bitcoin.ports import InvalidPaymentRequestError, UnsupportedFeaturesError
from domain.bitcoin.secp256k1 import N, Signature, is_signed, public_key, sign, signer
from domain.bitcoin.secp256k1 import P as P_OF_CURVE
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.errors import BrokenRuleError
from tests.fuzz.payment_requests import EXAMPLES, Reader, examples, texts

VALID = examples()
KEY = 0xE126F68F7EAFCC8B74F54D269FE206BE715000F94DAC067D1C04A8CA3B2DB734
"""With which they are signed."""
SIGNATURE_WORDS = 104
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HASH, SECRET = "ab" * 32, "11" * 32
P, ROUTE, FEATURES, X, F, D, S, N_FIELD, H, M = 1, 3, 5, 6, 9, 13, 16, 19, 23, 27
UNKNOWN = 2


def field(kind: int, words: bytes) -> bytes:
    return bytes([kind, *divmod(len(words), 32)]) + words


def octets(kind: int, content: bytes) -> bytes:
    return field(kind, bech32.words_of_octets(content))


PAYMENT_HASH, PAYMENT_SECRET = octets(P, bytes.fromhex(HASH)), octets(S, bytes.fromhex(SECRET))
DESCRIPTION = octets(D, b"tea")
USUAL = PAYMENT_HASH + PAYMENT_SECRET + DESCRIPTION


def request(fields: bytes = USUAL, prefix: str = "lnbc10u", *, key: int = KEY) -> str:
    """Any fields in any order, signed."""
    return signed(prefix, bech32.words_of(int(NOW.timestamp()), 7) + fields, key)


def an_invoice(**changed: Any) -> str:
    usual: dict[str, Any] = {
        "network": "bc",
        "amount_msat": 1_000_000,
        "payment_hash": HASH,
        "payment_secret": SECRET,
        "description": "tea",
        "created_at": NOW,
        "expires_in": timedelta(hours=1),
        "secret_key": KEY,
    }
    return written(**{**usual, **changed})


def refusal(text: str) -> InvalidPaymentRequestError:
    with pytest.raises(InvalidPaymentRequestError) as caught:
        read(text)
    return caught.value


def about(example: dict[str, Any]) -> str:
    return str(example["about"])


@pytest.mark.parametrize("example", EXAMPLES["valid"], ids=about)
def test_a_valid_example_says_what_the_specification_says_of_it(example: dict[str, Any]) -> None:
    said = read(example["text"])
    assert said.text == example["text"].lower()
    for name in ("network", "amount_msat", "payment_hash", "payee", "description", "description_hash"):
        assert getattr(said, name) == example[name], name
    assert said.created_at == datetime.fromtimestamp(example["created_at"], UTC)
    assert said.expires_at - said.created_at == timedelta(seconds=example["lives_seconds"])
    assert said.payment_secret == SECRET
    assert said.feature_bits == set(example["feature_bits"])
    assert said.metadata.hex() == example["metadata"]


@pytest.mark.parametrize("example", EXAMPLES["invalid"], ids=about)
def test_an_invalid_example_is_refused_with_its_reason(example: dict[str, Any]) -> None:
    assert refusal(example["text"]).reason == example["reason"]


@pytest.mark.parametrize("example", [each for each in EXAMPLES["valid"] if "high s" not in about(each)], ids=about)
def test_an_example_that_is_signed_again_is_the_same_to_the_letter(example: dict[str, Any]) -> None:
    parts = bech32.split(example["text"].lower())
    assert parts
    assert signed(parts[0], parts[1][:-SIGNATURE_WORDS], KEY) == example["text"].lower()


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(bolt11.NETWORKS),
    st.none() | st.integers(1, SUPPLY_SAT * 1_000),
    st.text(max_size=150) | st.binary(min_size=32, max_size=32),
    st.datetimes(datetime(1970, 1, 1), datetime(3000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(seconds=1), timedelta(days=365_000)),
    st.binary(max_size=100),
    st.integers(1, N - 1),
)
def test_what_was_written_is_read(
    network: str,
    amount_msat: int | None,
    purpose: str | bytes,
    created_at: datetime,
    expires_in: timedelta,
    metadata: bytes,
    key: int,
) -> None:
    description = purpose if isinstance(purpose, str) else None
    description_hash = purpose.hex() if isinstance(purpose, bytes) else None
    text = an_invoice(
        network=network,
        amount_msat=amount_msat,
        description=description,
        description_hash=description_hash,
        created_at=created_at,
        expires_in=expires_in,
        metadata=metadata,
        secret_key=key,
    )
    created_at, expires_in = created_at.replace(microsecond=0), timedelta(expires_in.days, expires_in.seconds)
    assert read(text) == bolt11.PaymentRequest(
        text=text,
        network=network,
        amount_msat=amount_msat,
        payment_hash=HASH,
        payee=public_key(key).hex(),
        created_at=created_at,
        expires_at=created_at + expires_in,
        description=description,
        description_hash=description_hash,
        payment_secret=SECRET,
        metadata=metadata,
        feature_bits=frozenset({8, 14, 48} if metadata else {8, 14}),
    )


@pytest.mark.parametrize(
    "form",
    [str.upper, " {}\n".format, "lightning:{}".format, "LIGHTNING:{}".format, lambda t: f" LightNing:{t.upper()}"],
)
def test_the_forms_in_which_wallets_hand_it_over_are_the_same_request(form: Callable[[str], str]) -> None:
    assert read(form(an_invoice())) == read(an_invoice())


@pytest.mark.parametrize(
    ("amount", "msat"),
    [("", None), ("1", 10**11), ("25m", 25 * 10**8), ("7u", 7 * 10**5), ("7n", 700), ("70p", 7), ("10p", 1)],
)
def test_amounts_are_told_in_millisatoshis(amount: str, msat: int | None) -> None:
    assert read(request(prefix=f"lnbc{amount}")).amount_msat == msat
    assert f"lnbc{amount}1" == an_invoice(amount_msat=msat)[: len(f"lnbc{amount}1")]


@pytest.mark.parametrize(
    ("msat", "sat", "is_whole"), [(None, None, False), (1_000, 1, True), (1_999, 1, False), (999, 0, False)]
)
def test_an_amount_in_satoshis_is_rounded_down_and_told_apart(
    msat: int | None, sat: int | None, is_whole: bool
) -> None:
    said = read(an_invoice(amount_msat=msat))
    assert (said.amount_sat, said.is_whole) == (sat, is_whole)


@pytest.mark.parametrize(
    "prefix",
    [
        *(
            "lnbc1p",
            "lnbc15p",
            "lnbc0",
            "lnbc0m",
            "lnbc01m",
            "lnbc-1m",
            "lnbc1.5m",
            "lnbc+1m",
            "lnbc1_0m",
            "lnbc1x",
            "lnbcm",
        ),
        *(
            "lnbc21000001",
            f"lnbc{10**20}p",
            "lnbc" + "9" * 5_000,
            "lnbc٣m",
            "lnxx1m",
            "lnbcc",
            "ln",
            "bc1m",
            "xlnbc1m",
            "lnsb1m",
        ),
    ],
)
def test_a_prefix_that_is_no_network_and_amount_is_refused(prefix: str) -> None:
    refusal(request(prefix=prefix))


def test_the_whole_supply_of_bitcoin_can_be_asked_for() -> None:
    assert read(request(prefix="lnbc21000000")).amount_sat == SUPPLY_SAT


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(PAYMENT_SECRET + DESCRIPTION, id="no payment hash"),
        pytest.param(USUAL + PAYMENT_HASH, id="the payment hash twice"),
        pytest.param(USUAL + octets(P, b"\1" * 32), id="two payment hashes"),
        pytest.param(USUAL + octets(P, b"\1" * 31), id="another payment hash of the wrong length"),
        pytest.param(PAYMENT_HASH + DESCRIPTION, id="no payment secret"),
        pytest.param(USUAL + PAYMENT_SECRET, id="two payment secrets"),
        pytest.param(PAYMENT_HASH + PAYMENT_SECRET, id="neither description nor hash"),
        pytest.param(USUAL + octets(H, b"\1" * 32), id="both description and hash"),
        pytest.param(USUAL + DESCRIPTION, id="two descriptions"),
        pytest.param(PAYMENT_HASH + PAYMENT_SECRET + octets(D, b"\xff"), id="a description that is not UTF-8"),
        pytest.param(PAYMENT_HASH + PAYMENT_SECRET + octets(D, b"\xed\xa0\x80"), id="a description with a surrogate"),
        pytest.param(PAYMENT_HASH + PAYMENT_SECRET + field(D, b"\1"), id="a description of five bits"),
        pytest.param(PAYMENT_HASH + PAYMENT_SECRET + octets(H, b"\1" * 31), id="a hash of 31 bytes"),
        pytest.param(PAYMENT_SECRET + DESCRIPTION + field(P, b"\1" * 52), id="bits behind the payment hash"),
        pytest.param(USUAL + field(X, b"\1\0") * 2, id="two expiries"),
        pytest.param(USUAL + field(X, b"\x1f" * 1_023), id="an expiry after the last date"),
        pytest.param(USUAL + field(X, bech32.words_of(253_402_300_799, 8)), id="an expiry just after the last date"),
        pytest.param(USUAL + field(FEATURES, b"\x10\x08\0") * 2, id="features twice"),
        pytest.param(USUAL + octets(M, b"m") * 2, id="two metadata"),
        pytest.param(USUAL + bytes([D]), id="a type alone at the end"),
        pytest.param(USUAL + bytes([D, 0]), id="half a length at the end"),
        pytest.param(USUAL + bytes([D, 0, 1]), id="a field that is longer than the text"),
        pytest.param(USUAL + bytes([UNKNOWN, 31, 31]), id="an unknown field that is longer than the text"),
        pytest.param(USUAL + octets(N_FIELD, public_key(KEY)[:32]), id="a payee of the wrong length"),
        pytest.param(USUAL + octets(N_FIELD, public_key(7)), id="a payee who has not signed"),
        pytest.param(USUAL + octets(N_FIELD, b"\4" + public_key(KEY)[1:]), id="a payee who is no key"),
        pytest.param(USUAL + octets(N_FIELD, b"\2" + b"\xff" * 32), id="a payee who is no point"),
    ],
)
def test_fields_that_the_format_forbids_are_refused(fields: bytes) -> None:
    assert refusal(request(fields)).reason == "invalid_payment_request"


def test_fields_that_are_for_the_node_or_for_the_future_are_passed_over() -> None:
    others = field(ROUTE, b"\1" * 82) * 2 + field(F, b"\x1f\1") + field(UNKNOWN, b"") * 3
    said = read(request(others + USUAL + others))
    assert (said.payment_hash, said.description) == (HASH, "tea")


def test_the_last_date_that_there_is_can_be_told() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    lives = int((last - NOW).total_seconds())
    assert read(request(USUAL + field(X, bech32.words_of(lives, 8)))).expires_at == last


def test_without_an_expiry_it_lives_an_hour_and_with_one_of_nothing_no_time() -> None:
    assert read(request()).expires_at == NOW + timedelta(hours=1)
    assert read(request(USUAL + field(X, b""))).expires_at == NOW


@pytest.mark.parametrize("bit", [0, 2, 30, 50, 100, 5_114])
def test_a_feature_that_is_demanded_and_not_known_is_unsupported(bit: int) -> None:
    features = bech32.words_of(1 << bit | 1 << 14, 0)
    error = refusal(request(USUAL + field(FEATURES, features)))
    assert isinstance(error, UnsupportedFeaturesError)
    assert error.reason == "unsupported_features"
    assert f"bit {bit}," in str(error)


@pytest.mark.parametrize("bit", [*bolt11.KNOWN_FEATURES, 1, 9, 31, 101])
def test_a_feature_that_is_known_or_merely_offered_is_told(bit: int) -> None:
    assert read(request(USUAL + field(FEATURES, bech32.words_of(1 << bit, 0)))).feature_bits == {bit}


def test_a_payee_who_is_named_has_signed() -> None:
    assert read(request(USUAL + octets(N_FIELD, public_key(KEY)))).payee == public_key(KEY).hex()


def with_high_s(text: str) -> str:
    """The same with the other of the two signatures that are valid."""
    prefix, words = bech32.split(text) or ("", b"")
    content = bech32.octets(words[-SIGNATURE_WORDS:]) or b""
    s = N - int.from_bytes(content[32:64])
    turned = content[:32] + s.to_bytes(32) + bytes([content[64] ^ 1])
    return bech32.joined(prefix, words[:-SIGNATURE_WORDS] + bech32.words_of_octets(turned))


def test_a_high_s_is_refused_only_if_the_payee_is_named() -> None:
    assert read(with_high_s(request())).payee == public_key(KEY).hex()
    refusal(with_high_s(request(USUAL + octets(N_FIELD, public_key(KEY)))))


def test_a_request_that_was_changed_behind_its_signature_has_another_payee() -> None:
    prefix, words = bech32.split(an_invoice()) or ("", b"")
    dearer = bech32.joined(prefix.replace("10u", "20u"), words)
    said = read(dearer)
    assert said.amount_sat == 2_000
    assert said.payee != public_key(KEY).hex()


@pytest.mark.parametrize("recovery_id", [2, 3, 4, 31, 255])
def test_a_recovery_id_that_no_signature_has_is_refused(recovery_id: int) -> None:
    prefix, words = bech32.split(request()) or ("", b"")
    content = (bech32.octets(words[-SIGNATURE_WORDS:]) or b"")[:64] + bytes([recovery_id])
    refusal(bech32.joined(prefix, words[:-SIGNATURE_WORDS] + bech32.words_of_octets(content)))


@pytest.mark.parametrize(
    ("r", "s"),
    [(0, 1), (1, 0), (N, 1), (1, N), (2**256 - 1, 1), (5, 1)],
    ids=["r 0", "s 0", "r N", "s N", "r", "no point"],
)
def test_numbers_that_are_no_signature_are_refused(r: int, s: int) -> None:
    prefix, words = bech32.split(request()) or ("", b"")
    content = r.to_bytes(32) + s.to_bytes(32) + b"\0"
    refusal(bech32.joined(prefix, words[:-SIGNATURE_WORDS] + bech32.words_of_octets(content)))
    digest = sha256(b"").digest()
    assert not is_signed(digest, Signature(r, s), public_key(KEY))
    assert signer(digest, Signature(r, s)) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "1",
            "lnbc",
            "lnbc1",
            "lightning:",
            "lightning:lightning:" + VALID[0],
            "lightning://" + VALID[0],
            "\ud800",
        ),
        *(
            VALID[0][:-1],
            VALID[0] + "q",
            VALID[0][:30] + " " + VALID[0][30:],
            VALID[0] + "\0",
            "bitcoin:x?lightning=" + VALID[0],
        ),
        *(
            VALID[0].upper().replace("K", "\u212a", 1),
            VALID[0].upper().replace("S", "ſ", 1),
            VALID[0].replace("l", "L", 1),
        ),
        *("1" * MAX_PAYMENT_REQUEST_LENGTH, "lnbc1" + "q" * 8_000, "lnbc" + "9" * 8_000 + "1" + "q" * 150, "ſ" * 8_000),
    ],
    ids=ascii,
)
def test_texts_that_are_no_payment_requests_are_refused(text: str) -> None:
    refusal(text)


def test_a_text_that_is_longer_than_any_request_is_not_looked_at() -> None:
    assert read(VALID[0].ljust(MAX_PAYMENT_REQUEST_LENGTH)) == read(VALID[0])
    for longer in (VALID[0].ljust(MAX_PAYMENT_REQUEST_LENGTH + 1), "q" * 10_000_000):
        assert f"{MAX_PAYMENT_REQUEST_LENGTH}" in str(refusal(longer))


@pytest.mark.parametrize("place", range(0, len(VALID[0]), 7))
def test_a_slip_of_one_letter_is_noticed(place: int) -> None:
    text = VALID[0]
    for letter in {"q", "7", "1"} - {text[place]}:
        refusal(text[:place] + letter + text[place + 1 :])


@settings(deadline=None)
@given(st.text() | st.text().map("lnbc1".__add__) | st.binary().map(lambda b: b.decode("latin-1")))
def test_any_text_is_refused_or_read_and_nothing_else(text: str) -> None:
    Reader().check(text)


def test_changed_requests_are_refused_or_read_and_nothing_else() -> None:
    reader = Reader()
    for text in texts(VALID, 2_000):
        reader.check(text)
    assert reader.fates["read"] > 50
    assert len(reader.fates) > 15


def test_refusals_survive_the_way_between_processes() -> None:
    for error in (InvalidPaymentRequestError("why"), UnsupportedFeaturesError("bit")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.args, again.reason) == (type(error), error.args, error.reason)


@pytest.mark.parametrize(
    "changed",
    [
        {"network": "btc"},
        {"amount_msat": 0},
        {"amount_msat": SUPPLY_SAT * 1_000 + 1},
        {"payment_hash": "AB" * 32},
        {"payment_hash": "ab" * 31},
        {"payment_secret": ""},
        {"description": "é" * 320},
        {"description": None},
        {"description_hash": HASH},
        {"description": None, "description_hash": "x"},
        {"created_at": datetime(1969, 12, 31, tzinfo=UTC)},
        {"created_at": datetime(3100, 1, 1, tzinfo=UTC)},
        {"expires_in": timedelta(0)},
        {"expires_in": timedelta(days=3_000_000)},
        {"metadata": b"m" * 640},
        {"secret_key": 0},
        {"secret_key": N},
    ],
    ids=str,
)
def test_what_a_request_cannot_say_is_not_written(changed: dict[str, Any]) -> None:
    with pytest.raises(BrokenRuleError):
        an_invoice(**changed)


def test_a_secret_key_is_not_told_when_it_is_refused() -> None:
    with pytest.raises(BrokenRuleError) as caught:
        public_key(N + 12_345)
    assert "12345" not in str(caught.value)
    assert str(N + 12_345) not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "message", "r", "s"),
    [
        (
            1,
            b"Satoshi Nakamoto",
            0x934B1EA10A4B3C1757E2B0C017D0B6143CE3C9A7E6A4A49860D7A6AB210EE3D8,
            0x2442CE9D2B916064108014783E923EC36B49743E2FFA1C4496F01A512AAFD9E5,
        ),
        (
            N - 1,
            b"Satoshi Nakamoto",
            0xFD567D121DB66E382991534ADA77A6BD3106F0A1098C231E47993447CD6AF2D0,
            0x6B39CD0EB1BC8603E159EF5C20A5C8AD685A45B06CE9BEBED3F153D10D93BED5,
        ),
    ],
    ids=["the smallest key", "the largest"],
)
def test_signatures_are_those_of_rfc_6979(key: int, message: bytes, r: int, s: int) -> None:
    digest = sha256(message).digest()
    signature = sign(digest, key)
    assert (signature.r, signature.s) == (r, s)
    assert signature.is_low
    assert signer(digest, signature) == public_key(key)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, N - 1), st.binary().map(lambda content: sha256(content).digest()))
def test_who_has_signed_is_found_and_nobody_else_verifies(key: int, digest: bytes) -> None:
    signature, owner = sign(digest, key), public_key(key)
    assert signer(digest, signature) == owner
    assert is_signed(digest, signature, owner)
    assert not is_signed(digest, signature, bytes([owner[0] ^ 1]) + owner[1:])
    assert not is_signed(sha256(digest).digest(), signature, owner)


def test_a_key_has_one_form_alone() -> None:
    """With a digest of zeros the point of x = 1 has signed 1 and 1, whoever owns it."""
    zeros = bytes(32)
    assert is_signed(zeros, Signature(1, 1), b"\2" + (1).to_bytes(32))
    assert not is_signed(zeros, Signature(1, 1), b"\2" + (P_OF_CURVE + 1).to_bytes(32))


def test_numbers_that_lead_to_no_point_are_no_signature() -> None:
    """As whoever knows a secret key can choose them, if the digest can be chosen, too."""
    parity, r = public_key(KEY)[0] - 2, int.from_bytes(public_key(KEY)[1:])
    assert not is_signed((-r * KEY % N).to_bytes(32), Signature(r, 7), public_key(KEY))
    assert signer((7 * KEY % N).to_bytes(32), Signature(r, 7, parity)) is None


def test_the_library_bolt11_reads_the_same() -> None:
    """Where it is installed: it is not needed here, and not there for every Python."""
    library = pytest.importorskip("bolt11", exc_type=ImportError)
    own = [an_invoice(), an_invoice(network="bcrt", amount_msat=1_999, metadata=b"m"), an_invoice(amount_msat=None)]
    for text in [*VALID, *own]:
        said, other = read(text), library.decode(text.lower())
        assert (said.network, said.amount_msat) == (other.currency, other.amount_msat)
        assert (said.payment_hash, said.payment_secret) == (other.payment_hash, other.payment_secret)
        assert (said.description, said.description_hash) == (other.description, other.description_hash)
        assert (said.payee, said.metadata.hex()) == (other.payee, other.metadata or "")
        assert (said.created_at.timestamp(), said.expires_at.timestamp()) == (other.date, other.expiry_time)
