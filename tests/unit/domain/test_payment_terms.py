"""What a payment request says is read by the rules that decide a withdrawal to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.bitcoin import bolt11
from domain.bitcoin.adapters.requests import simulated_invoice
from domain.bitcoin.messages import PaymentTerms, Reason
from domain.bitcoin.policy import Policy
from domain.bitcoin.terms import terms_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = Policy(smallest_sat=10, largest_sat=1_000_000)


def request(
    *, network: str = "bcrt", amount_msat: int | None = 1_200_000, description: str = "Rent", life: timedelta = HOUR
) -> str:
    return bolt11.written(
        network=network,
        amount_msat=amount_msat,
        payment_hash="6f" * 32,
        payment_secret="a1" * 32,
        description=description,
        created_at=NOW,
        expires_in=life,
        secret_key=7,
    )


def test_what_may_be_paid_is_told_with_the_most_that_it_costs() -> None:
    assert terms_of(request(), NOW, POLICY) == PaymentTerms(
        amount_sat=1_200, fee_reserve_sat=12, description="Rent", expires_at=NOW + HOUR, objection=""
    )


def test_a_request_of_the_simulated_network_is_read_as_any_other() -> None:
    invoice = simulated_invoice(500, NOW + HOUR, nonce="n")
    assert terms_of(invoice.payment_request, NOW, POLICY).objection == ""


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("lnbcrt1nonsense", Reason.INVALID_PAYMENT_REQUEST),
        ("", Reason.INVALID_PAYMENT_REQUEST),
        ("x" * 9_000, Reason.INVALID_PAYMENT_REQUEST),
        (request(network="bc"), Reason.WRONG_NETWORK),
        (request(amount_msat=None), Reason.NO_AMOUNT),
        (request(amount_msat=1_500), Reason.AMOUNT_NOT_WHOLE),
        (request(amount_msat=9_000), Reason.AMOUNT_TOO_SMALL),
        (request(amount_msat=1_000_001_000), Reason.AMOUNT_TOO_LARGE),
        (request(life=timedelta(seconds=59)), Reason.INVOICE_EXPIRED),
        (request(life=timedelta(days=8)), Reason.EXPIRES_TOO_LATE),
    ],
)
def test_each_objection_is_that_of_the_policy(text: str, objection: Reason) -> None:
    assert terms_of(text, NOW, POLICY).objection == objection


def test_what_cannot_be_seen_in_a_strangers_words_is_replaced() -> None:
    said = terms_of(request(description="a\x00b\u202ec\nd"), NOW, POLICY).description
    assert said == "a\ufffdb\ufffdc\nd"
