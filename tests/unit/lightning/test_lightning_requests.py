"""Payment requests of the simulated network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bitcoin import bolt11
from domain.bitcoin.adapters.requests import Behaviour, SimulatedRequest, read, simulated_invoice
from domain.bitcoin.ports import InvalidPaymentRequestError
from domain.shared.money import SUPPLY_SAT, InvalidAmountError
from spark_actors.kernel.errors import BrokenRuleError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIMULATED_KEY = int.from_bytes(sha256(b"the simulated network").digest())
FORMER = (
    "lnsim1pmrgc3lpovxhix3tmf2ceorsgewcezlyobuxezltl5qxiir2eizdamrwfuydcljqgfkdamj2gazdumbtfy2dknrxha4vuirmejxg63tdmurdu"
    "itxfuys7q54eiwceytfnbqxm2lpovzceorconwg65zcpu236d0536"
)
"""As a former release has written it: 21 sat, slow."""


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, SUPPLY_SAT),
    st.datetimes(datetime(1970, 1, 2), datetime(2999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.text(max_size=20),
    st.sampled_from(Behaviour),
)
def test_a_request_says_what_was_written(
    amount_sat: int, expires_at: datetime, nonce: str, behaviour: Behaviour
) -> None:
    invoice = simulated_invoice(amount_sat, expires_at, nonce=nonce, behaviour=behaviour)
    request = read(invoice.payment_request)
    assert request == SimulatedRequest(amount_sat, expires_at, nonce, behaviour)
    assert (request.payment_hash, request.expires_at) == (invoice.payment_hash, invoice.expires_at)
    assert timedelta(0) <= expires_at - invoice.expires_at < timedelta(seconds=1)


def test_everybody_reads_the_same_in_it_as_in_a_request_of_a_real_network() -> None:
    invoice = simulated_invoice(1_000, NOW, nonce="n", behaviour=Behaviour.FAIL)
    said = bolt11.read(invoice.payment_request.upper())
    assert (said.network, said.amount_sat, said.is_whole) == ("bcrt", 1_000, True)
    assert (said.payment_hash, said.expires_at) == (invoice.payment_hash, invoice.expires_at)


def test_the_payment_hash_is_that_of_the_preimage_and_the_same_for_the_same_nonce() -> None:
    request = read(simulated_invoice(1_000, NOW, nonce="n").payment_request)
    again = read(simulated_invoice(2_000, NOW, nonce="n", behaviour=Behaviour.SLOW).payment_request)
    assert sha256(bytes.fromhex(request.preimage)).hexdigest() == request.payment_hash == again.payment_hash
    assert request.payment_hash != simulated_invoice(1_000, NOW, nonce="m").payment_hash


@settings(deadline=None)
@given(st.text() | st.text().map("lnsim1".__add__) | st.text().map("lnbcrt1".__add__))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidPaymentRequestError):
        read(text)


@settings(deadline=None)
@given(st.data())
def test_an_altered_request_is_refused(data: st.DataObject) -> None:
    text = simulated_invoice(1_000, NOW, nonce="n").payment_request
    place = data.draw(st.integers(0, len(text) - 1))
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    other = data.draw(st.sampled_from(letters).filter(lambda letter: letter != text[place]))
    with pytest.raises(InvalidPaymentRequestError):
        read(text[:place] + other + text[place + 1 :])


def signed(network: str = "bcrt", amount_msat: int | None = 1_000, metadata: bytes = b"pay/n", key: int = 0) -> str:
    """A request as anybody could write it."""
    return bolt11.written(
        network=network,
        amount_msat=amount_msat,
        payment_hash=simulated_invoice(1, NOW, nonce="n").payment_hash,
        payment_secret="11" * 32,
        description="",
        created_at=NOW,
        expires_in=timedelta(hours=1),
        secret_key=key or SIMULATED_KEY,
        metadata=metadata,
    )


@pytest.mark.parametrize(
    "text",
    [
        signed(network="bc"),
        signed(key=7),
        signed(amount_msat=None),
        signed(amount_msat=1_001),
        signed(metadata=b"dance/n"),
        signed(metadata=b"\xff"),
        signed(metadata=b""),
        signed(metadata=b"pay/another"),
    ],
    ids=["mainnet", "signed by another", "no amount", "a fraction", "no behaviour", "no text", "nothing", "hash"],
)
def test_a_good_request_that_is_not_of_the_simulated_network_is_refused(text: str) -> None:
    assert read(signed()).nonce == "n"
    bolt11.read(text)
    with pytest.raises(InvalidPaymentRequestError):
        read(text)


def test_what_former_releases_have_written_is_read_by_the_simulated_node_alone() -> None:
    request = read(FORMER)
    expected = SimulatedRequest(21, datetime(2026, 1, 1, 1, 2, 3, tzinfo=UTC), "w-1/ü", Behaviour.SLOW)
    assert request == expected
    assert request.payment_hash == "a3a24b8b2288a2fd4f13c4c6c759334199220765bcc41e47719823038a43ac98"
    with pytest.raises(InvalidPaymentRequestError):
        bolt11.read(FORMER)
    with pytest.raises(InvalidPaymentRequestError):
        read(FORMER[:30] + "a" + FORMER[31:])


def test_nobody_can_ask_for_no_money() -> None:
    with pytest.raises(InvalidAmountError):
        simulated_invoice(0, NOW, nonce="n")


@pytest.mark.parametrize("year", [1969, 3001])
def test_no_request_expires_when_the_format_has_no_time(year: int) -> None:
    with pytest.raises(BrokenRuleError, match="expiry"):
        simulated_invoice(1, NOW.replace(year=year), nonce="n")
