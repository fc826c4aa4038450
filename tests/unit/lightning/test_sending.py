"""What follows from what the node says of a payment: each row of the table, and what must hold for all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bitcoin.ports import Payment, PaymentStatus
from domain.bitcoin.sending import (
    CLOCK_SKEW,
    TRIED_BEFORE,
    Distrust,
    Fail,
    LookAgain,
    Send,
    Settle,
    Step,
    Withhold,
    next_step,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PREIMAGE = "ab" * 32
HASH = sha256(bytes.fromhex(PREIMAGE)).hexdigest()
PAID = Payment(PaymentStatus.PAID, PREIMAGE, fee_sat=2)
PENDING, NOT_FOUND = Payment(PaymentStatus.PENDING), Payment(PaymentStatus.NOT_FOUND)
FAILED = Payment(PaymentStatus.FAILED, reason="no_route")
SECOND = timedelta(seconds=1)
NOBODY, MINE, ANOTHER = "", "w-2", "w-1"


def step(payment: Payment, *, holder: str, now: datetime = NOON - SECOND) -> Step:
    """At a time at which the request, which expires at noon, can still be paid, if nothing else is said."""
    return next_step(payment, invoice_id=MINE, payment_hash=HASH, expires_at=NOON, holder=holder, now=now)


@pytest.mark.parametrize("holder", [NOBODY, MINE, ANOTHER])
def test_what_was_paid_is_settled_whoever_has_sent_it(holder: str) -> None:
    assert step(PAID, holder=holder) == Settle(PREIMAGE, 2)
    assert step(PAID, holder=holder, now=NOON + timedelta(days=30)) == Settle(PREIMAGE, 2)


@pytest.mark.parametrize("preimage", ["", "ab", "cd" * 32, HASH, "no digits"])
@pytest.mark.parametrize("holder", [NOBODY, MINE, ANOTHER])
def test_what_proves_nothing_settles_nothing(preimage: str, holder: str) -> None:
    assert step(Payment(PaymentStatus.PAID, preimage), holder=holder) == Distrust()


@pytest.mark.parametrize("holder", [NOBODY, MINE, ANOTHER])
def test_what_is_under_way_is_looked_at_again_for_weeks_if_need_be(holder: str) -> None:
    assert step(PENDING, holder=holder, now=NOON + timedelta(days=30)) == LookAgain()


def test_what_has_failed_and_nobody_can_send_again_is_failed() -> None:
    assert step(FAILED, holder=MINE) == Fail("no_route")
    assert step(Payment(PaymentStatus.FAILED), holder=MINE) == Fail("payment_failed")


def test_what_has_failed_for_another_withdrawal_fails_for_this_one_in_its_own_words() -> None:
    assert step(FAILED, holder=ANOTHER) == Fail(TRIED_BEFORE)


def test_what_has_failed_without_a_permit_is_failed_only_by_who_gets_it_now() -> None:
    assert step(FAILED, holder=NOBODY) == Withhold("no_route")


def test_what_nobody_has_sent_is_sent() -> None:
    assert step(NOT_FOUND, holder=NOBODY) == Send()


def test_what_nobody_has_sent_in_time_is_failed_only_by_who_gets_the_permit_now() -> None:
    assert step(NOT_FOUND, holder=NOBODY, now=NOON) == Withhold("invoice_expired")


def test_what_somebody_may_have_sent_is_waited_for_until_it_has_expired_by_any_clock() -> None:
    for holder in (MINE, ANOTHER):
        assert step(NOT_FOUND, holder=holder) == LookAgain()
        assert step(NOT_FOUND, holder=holder, now=NOON + CLOCK_SKEW - SECOND) == LookAgain()
        assert step(NOT_FOUND, holder=holder, now=NOON + CLOCK_SKEW) == Fail("never_sent")


@given(
    st.sampled_from(PaymentStatus),
    st.sampled_from([NOBODY, MINE, ANOTHER]),
    st.timedeltas(timedelta(days=-9), timedelta(days=9)),
)
def test_nothing_is_ever_sent_that_was_or_may_have_been(status: PaymentStatus, holder: str, since: timedelta) -> None:
    said = step(Payment(status, PREIMAGE), holder=holder, now=NOON + since)
    if isinstance(said, (Send, Withhold)):
        assert not holder
    if isinstance(said, Send):
        assert status is PaymentStatus.NOT_FOUND
    if isinstance(said, Fail):
        assert holder
