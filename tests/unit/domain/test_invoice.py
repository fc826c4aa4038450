"""The rules of invoices: deposits that come in and withdrawals that go out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.bitcoin.invoice import TRANSITIONS, InvoiceKind, InvoiceState
from domain.bitcoin.messages import (
    MAX_PAYMENT_REQUEST_LENGTH,
    AuthorizeWithdrawal,
    ConfirmDeposit,
    DepositFailed,
    DepositPaid,
    DepositRequested,
    ExpireInvoice,
    FailDeposit,
    FailWithdrawal,
    InvoiceChangeRejected,
    InvoiceExpired,
    InvoiceIssued,
    InvoiceRejected,
    Reason,
    RejectWithdrawal,
    SettleWithdrawal,
    WithdrawalAuthorized,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRequested,
)
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command
from tests.unit.domain.builders import request_deposit, request_withdrawal
from tests.unit.domain.world import NOON, World, an_issued, hash_of, preimage_of

ISSUE = an_issued("in", payment_hash=hash_of("in").upper())
CONFIRM, EXPIRE = ConfirmDeposit(invoice_id="in"), ExpireInvoice(invoice_id="in")
AUTHORIZE = AuthorizeWithdrawal(invoice_id="out", account_id="ann", amount_sat=70)
REJECT = RejectWithdrawal(invoice_id="out", account_id="ann", amount_sat=70, reason="insufficient_funds")
SETTLE = SettleWithdrawal(invoice_id="out", preimage=preimage_of("out"))
NEVER_MADE = FailDeposit(invoice_id="in", reason="amount_too_large")
FAIL = FailWithdrawal(invoice_id="out", reason="no_route")

DEPOSITS: dict[InvoiceState, tuple[Command, ...]] = {
    InvoiceState.REQUESTED: (request_deposit(),),
    InvoiceState.ISSUED: (request_deposit(), ISSUE),
    InvoiceState.EXPIRED: (request_deposit(), ISSUE, EXPIRE),
    InvoiceState.PAID: (request_deposit(), ISSUE, CONFIRM),
    InvoiceState.FAILED: (request_deposit(), NEVER_MADE),
}
WITHDRAWALS: dict[InvoiceState, tuple[Command, ...]] = {
    InvoiceState.REQUESTED: (request_withdrawal(),),
    InvoiceState.AUTHORIZED: (request_withdrawal(), AUTHORIZE),
    InvoiceState.REJECTED: (request_withdrawal(), REJECT),
    InvoiceState.FAILED: (request_withdrawal(), AUTHORIZE, FAIL),
    InvoiceState.PAID: (request_withdrawal(), AUTHORIZE, SETTLE),
}


def sent(*commands: Command) -> World:
    """The commands handled, and nothing that would follow from them."""
    world = World()
    for command in commands:
        world.send(command)
    return world


def deposit_in(state: InvoiceState) -> World:
    return sent(*DEPOSITS[state])


def withdrawal_in(state: InvoiceState) -> World:
    return sent(*WITHDRAWALS[state])


def test_a_deposit_says_what_happens_to_it() -> None:
    facts: dict[str, Any] = {"invoice_id": "in", "account_id": "ann", "amount_sat": 70}
    assert deposit_in(InvoiceState.PAID).events == [
        DepositRequested(**facts),
        InvoiceIssued(
            **facts, payment_hash=hash_of("in"), payment_request=ISSUE.payment_request, expires_at=ISSUE.expires_at
        ),
        DepositPaid(**facts),
    ]
    assert deposit_in(InvoiceState.EXPIRED).events[2:] == [InvoiceExpired(**facts)]
    assert deposit_in(InvoiceState.FAILED).events[1:] == [DepositFailed(**facts, reason="amount_too_large")]


def test_a_withdrawal_says_what_happens_to_it() -> None:
    facts: dict[str, Any] = {"invoice_id": "out", "account_id": "ann", "amount_sat": 70}
    assert withdrawal_in(InvoiceState.PAID).events == [
        WithdrawalRequested(**facts),
        WithdrawalAuthorized(**facts, payment_hash=hash_of("out"), payment_request="lnbc-out"),
        WithdrawalPaid(**facts, preimage=preimage_of("out")),
    ]
    assert withdrawal_in(InvoiceState.FAILED).events[2:] == [WithdrawalFailed(**facts, reason="no_route")]
    assert withdrawal_in(InvoiceState.REJECTED).events[1:] == [InvoiceRejected(**facts, reason="insufficient_funds")]


@pytest.mark.parametrize("state", DEPOSITS)
def test_a_deposit_takes_only_the_states_that_may_follow(state: InvoiceState) -> None:
    reached = {sent(*DEPOSITS[state], step).invoice("in").state for step in (ISSUE, CONFIRM, EXPIRE, NEVER_MADE)}
    assert reached - {state} == set(TRANSITIONS[InvoiceKind.DEPOSIT].get(state, ()))


@pytest.mark.parametrize("state", WITHDRAWALS)
def test_a_withdrawal_takes_only_the_states_that_may_follow(state: InvoiceState) -> None:
    reached = {sent(*WITHDRAWALS[state], step).invoice("out").state for step in (AUTHORIZE, REJECT, SETTLE, FAIL)}
    assert reached - {state} == set(TRANSITIONS[InvoiceKind.WITHDRAWAL].get(state, ()))


@pytest.mark.parametrize(
    ("life", "step", "reason"),
    [
        (DEPOSITS[InvoiceState.REQUESTED], CONFIRM, Reason.NOT_ISSUED),
        (DEPOSITS[InvoiceState.EXPIRED], ISSUE, Reason.INVOICE_EXPIRED),
        (DEPOSITS[InvoiceState.PAID], EXPIRE, Reason.INVOICE_PAID),
        (DEPOSITS[InvoiceState.ISSUED], NEVER_MADE, Reason.ALREADY_ISSUED),
        (DEPOSITS[InvoiceState.EXPIRED], NEVER_MADE, Reason.INVOICE_EXPIRED),
        (DEPOSITS[InvoiceState.FAILED], ISSUE, Reason.INVOICE_FAILED),
        (DEPOSITS[InvoiceState.FAILED], CONFIRM, Reason.NOT_ISSUED),
        (WITHDRAWALS[InvoiceState.REQUESTED], SETTLE, Reason.NOT_AUTHORIZED),
        (WITHDRAWALS[InvoiceState.REQUESTED], FAIL, Reason.NOT_AUTHORIZED),
        (WITHDRAWALS[InvoiceState.AUTHORIZED], REJECT, Reason.ALREADY_AUTHORIZED),
        (WITHDRAWALS[InvoiceState.REJECTED], SETTLE, Reason.INVOICE_REJECTED),
        (WITHDRAWALS[InvoiceState.REJECTED], FAIL, Reason.INVOICE_REJECTED),
        (WITHDRAWALS[InvoiceState.FAILED], SETTLE, Reason.INVOICE_FAILED),
        (WITHDRAWALS[InvoiceState.PAID], FAIL, Reason.INVOICE_PAID),
        (WITHDRAWALS[InvoiceState.PAID], REJECT, Reason.INVOICE_PAID),
    ],
)
def test_a_step_that_contradicts_what_is_known_is_refused(
    life: tuple[Command, ...], step: Command, reason: Reason
) -> None:
    world = sent(*life)
    before = dict(world.states)
    assert world.send(step).reason == reason
    assert world.states == before
    assert world.events[-1] == InvoiceChangeRejected(invoice_id=step.key, command=step.TYPE.name, reason=reason)


@pytest.mark.parametrize(
    ("life", "steps"),
    [
        (DEPOSITS[InvoiceState.ISSUED], (ISSUE, an_issued("in", payment_hash=hash_of("other")))),
        (DEPOSITS[InvoiceState.EXPIRED], (EXPIRE,)),
        (DEPOSITS[InvoiceState.FAILED], (NEVER_MADE,)),
        (DEPOSITS[InvoiceState.PAID], (CONFIRM, ISSUE, request_deposit())),
        (WITHDRAWALS[InvoiceState.REJECTED], (REJECT,)),
        (WITHDRAWALS[InvoiceState.FAILED], (FAIL, AUTHORIZE)),
        (WITHDRAWALS[InvoiceState.PAID], (SETTLE, AUTHORIZE, request_withdrawal(payment_hash=hash_of("out").upper()))),
    ],
)
def test_a_step_taken_before_answers_done_and_changes_nothing(
    life: tuple[Command, ...], steps: tuple[Command, ...]
) -> None:
    world = sent(*life)
    before, said = dict(world.states), list(world.events)
    for step in steps:
        assert world.send(step).verdict is Verdict.DONE
    assert world.states == before
    assert world.events == said


@pytest.mark.parametrize("step", [ISSUE, CONFIRM, EXPIRE, NEVER_MADE, AUTHORIZE, REJECT, SETTLE, FAIL])
def test_a_step_of_an_invoice_that_is_not_known_is_harmlessly_refused(step: Command) -> None:
    world = sent(step)
    assert not world.states
    assert world.events == [
        InvoiceChangeRejected(invoice_id=step.key, command=step.TYPE.name, reason=Reason.UNKNOWN_INVOICE)
    ]


def test_a_deposit_takes_no_step_of_a_withdrawal() -> None:
    world = sent(request_withdrawal(invoice_id="in"))
    assert world.send(CONFIRM).reason == Reason.UNKNOWN_INVOICE
    assert world.send(request_deposit()).reason == Reason.DUPLICATE_INVOICE


def test_money_that_arrives_after_the_invoice_expired_is_still_credited() -> None:
    world = sent(request_deposit(), ISSUE, EXPIRE, CONFIRM)
    assert world.invoice("in").state == InvoiceState.PAID
    assert world.said(DepositPaid)
    assert world.send(EXPIRE).reason == Reason.INVOICE_PAID


@pytest.mark.parametrize("changes", [{"account_id": "eve"}, {"amount_sat": 1}])
@pytest.mark.parametrize("step", [AUTHORIZE, REJECT])
def test_what_accounting_says_of_another_debit_is_not_taken_for_this_withdrawal(
    step: AuthorizeWithdrawal | RejectWithdrawal, changes: dict[str, Any]
) -> None:
    world = withdrawal_in(InvoiceState.REQUESTED)
    assert world.send(type(step)(**{**vars(step), **changes})).reason == Reason.NOT_THIS_WITHDRAWAL
    assert world.invoice("out").state == InvoiceState.REQUESTED


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amount_sat": 0}, Reason.INVALID_AMOUNT),
        ({"amount_sat": SUPPLY_SAT + 1}, Reason.INVALID_AMOUNT),
        ({"account_id": "@lightning"}, Reason.INVALID_ACCOUNT_ID),
        ({"invoice_id": "a b"}, Reason.INVALID_ID),
    ],
)
def test_a_request_must_make_sense(fields: dict[str, Any], reason: Reason) -> None:
    world = World()
    assert world.send(request_deposit(**fields)).reason == reason
    assert world.send(request_withdrawal(**fields)).reason == reason
    assert not world.states
    assert not world.events


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"expires_at": NOON}, Reason.INVOICE_EXPIRED),
        ({"expires_at": NOON - timedelta(days=1)}, Reason.INVOICE_EXPIRED),
        ({"payment_request": ""}, Reason.INVALID_PAYMENT_REQUEST),
        ({"payment_hash": ""}, Reason.INVALID_PAYMENT_REQUEST),
        ({"payment_hash": hash_of("out")[1:]}, Reason.INVALID_PAYMENT_REQUEST),
        ({"payment_hash": "g" * 64}, Reason.INVALID_PAYMENT_REQUEST),
    ],
)
def test_a_withdrawal_needs_an_invoice_that_can_be_paid(fields: dict[str, Any], reason: Reason) -> None:
    world = World()
    assert world.send(request_withdrawal(**fields)).reason == reason
    assert not world.states


@pytest.mark.parametrize(
    "fields",
    [
        {"payment_hash": ""},
        {"payment_request": "x" * (MAX_PAYMENT_REQUEST_LENGTH + 1)},
        {"expires_at": NOON.replace(tzinfo=None)},
    ],
)
def test_an_invoice_of_the_node_must_have_the_right_form(fields: dict[str, Any]) -> None:
    """It passes no door: a node may answer anything."""
    world = deposit_in(InvoiceState.REQUESTED)
    assert world.send(replace(an_issued("in", payment_hash="ab1"), **fields)).reason == Reason.INVALID_PAYMENT_REQUEST
    assert world.invoice("in").state == InvoiceState.REQUESTED


@pytest.mark.parametrize("payment_hash", [hash_of("out"), hash_of("out").upper()])
def test_no_payment_hash_is_used_twice(payment_hash: str) -> None:
    world = sent(request_withdrawal())
    second = request_withdrawal(invoice_id="out2", payment_hash=payment_hash)
    assert world.send(second).reason == Reason.DUPLICATE_PAYMENT_HASH
    assert ("bitcoin", "out2") not in world.states
    assert {event.key for event in world.events} == {"out"}


def test_a_deposit_whose_hash_is_known_already_has_failed() -> None:
    world = sent(request_deposit(invoice_id="in2"), an_issued("in2", payment_hash=hash_of("in")), request_deposit())
    assert world.send(ISSUE).reason == Reason.DUPLICATE_PAYMENT_HASH
    assert world.invoice("in").state == InvoiceState.FAILED
    assert world.invoice("in").payment_hash is None
    assert [event.reason for event in world.said(DepositFailed)] == [Reason.DUPLICATE_PAYMENT_HASH]


def test_a_withdrawal_may_pay_the_invoice_of_a_deposit() -> None:
    world = deposit_in(InvoiceState.ISSUED)
    assert world.send(request_withdrawal(payment_hash=hash_of("in"))).verdict is Verdict.DONE


def test_a_deposit_that_has_no_invoice_cannot_have_been_paid() -> None:
    world = sent(request_deposit(), EXPIRE)
    assert world.send(CONFIRM).reason == Reason.NOT_ISSUED


def test_a_debit_for_a_withdrawal_that_was_rejected_is_given_back() -> None:
    world = withdrawal_in(InvoiceState.REJECTED)
    assert world.send(AUTHORIZE).reason == Reason.INVOICE_REJECTED
    assert world.invoice("out").state == InvoiceState.FAILED
    assert [event.reason for event in world.said(WithdrawalFailed)] == [Reason.INVOICE_REJECTED]
    assert not world.said(WithdrawalAuthorized)


def test_another_request_under_a_used_id_is_refused() -> None:
    world = sent(request_deposit(), request_withdrawal())
    before = list(world.events)
    for command in (
        request_deposit(amount_sat=1),
        request_deposit(account_id="bob"),
        request_deposit(invoice_id="out"),
        request_withdrawal(payment_hash=hash_of("beef")),
        request_withdrawal(account_id="bob"),
        request_withdrawal(invoice_id="in"),
    ):
        assert world.send(command).reason == Reason.DUPLICATE_INVOICE
    assert world.events == before


def test_the_repeat_of_a_request_is_told_how_the_first_one_stands() -> None:
    assert withdrawal_in(InvoiceState.AUTHORIZED).send(request_withdrawal()).data == {"invoice_state": "authorized"}
    assert deposit_in(InvoiceState.ISSUED).send(request_deposit()).data == {"invoice_state": "issued"}


@pytest.mark.parametrize(
    ("life", "reason", "why"),
    [
        (WITHDRAWALS[InvoiceState.REJECTED], Reason.INVOICE_REJECTED, "insufficient_funds"),
        (WITHDRAWALS[InvoiceState.FAILED], Reason.INVOICE_FAILED, "no_route"),
        ((*WITHDRAWALS[InvoiceState.REJECTED], AUTHORIZE), Reason.INVOICE_FAILED, "insufficient_funds"),
        (DEPOSITS[InvoiceState.EXPIRED], Reason.INVOICE_EXPIRED, None),
        (DEPOSITS[InvoiceState.FAILED], Reason.INVOICE_FAILED, "amount_too_large"),
    ],
)
def test_the_repeat_of_a_request_that_came_to_nothing_is_told_so_and_why(
    life: tuple[Command, ...], reason: Reason, why: str | None
) -> None:
    world = sent(*life)
    before, said = world.states, list(world.events)
    outcome = world.send(life[0])
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, reason)
    assert outcome.data["invoice_state"] == str(world.invoice(life[0].key).state)
    assert outcome.data.get("invoice_reason") == why
    assert (world.states, world.events) == (before, said)
