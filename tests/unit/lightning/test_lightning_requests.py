"""Payment requests of the simulated network."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bitcoin.adapters.requests import Behaviour, read, simulated_invoice
from domain.bitcoin.ports import InvalidPaymentRequestError
from domain.shared.money import SUPPLY_SAT, InvalidAmountError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@settings(deadline=None)
@given(
    st.integers(1, SUPPLY_SAT), st.datetimes(timezones=st.just(UTC)), st.text(max_size=20), st.sampled_from(Behaviour)
)
def test_a_request_says_what_was_written(
    amount_sat: int, expires_at: datetime, nonce: str, behaviour: Behaviour
) -> None:
    try:
        invoice = simulated_invoice(amount_sat, expires_at, nonce=nonce, behaviour=behaviour)
    except UnicodeEncodeError:
        return  # half of a surrogate pair
    request = read(invoice.payment_request)
    assert (request.amount_sat, request.expires_at, request.behaviour) == (amount_sat, expires_at, behaviour)
    assert request.payment_hash == invoice.payment_hash
    assert invoice.payment_request.isalnum()


@settings(deadline=None)
@given(st.text() | st.text().map("lnsim1".__add__))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidPaymentRequestError):
        read(text)


@settings(deadline=None)
@given(st.data())
def test_an_altered_request_is_refused(data: st.DataObject) -> None:
    text = simulated_invoice(1_000, NOW, nonce="n").payment_request
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda letter: letter != text[place]))
    with pytest.raises(InvalidPaymentRequestError):
        read(text[:place] + other + text[place + 1 :])


def test_nobody_can_ask_for_no_money() -> None:
    with pytest.raises(InvalidAmountError):
        simulated_invoice(0, NOW, nonce="n")
