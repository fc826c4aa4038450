"""The rules of invoices: deposits that come in and withdrawals that go out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.bitcoin import bech32
from domain.bitcoin.bolt11 import signed
from domain.bitcoin.context import CONTEXT, context
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
    RequestWithdrawal,
    SettleWithdrawal,
    WithdrawalAuthorized,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRequested,
)
from domain.bitcoin.policy import Policy
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.messaging.envelope import Envelope, decode_data
from tests.unit.domain.builders import a_payment_request, funded, request_deposit, request_withdrawal
from tests.unit.domain.world import NOON, World, an_issued, hash_of, preimage_of

ISSUE = an_issued("in", payment_hash=hash_of("in").upper())
CONFIRM, EXPIRE = ConfirmDeposit(invoice_id="in"), ExpireInvoice(invoice_id="in")
AUTHORIZE = AuthorizeWithdrawal(invoice_id="out", account_id="ann", amount_sat=70, fee_reserve_sat=2)
REJECT = RejectWithdrawal(
    invoice_id="out", account_id="ann", amount_sat=70, fee_reserve_sat=2, reason="insufficient_funds"
)
SETTLE = SettleWithdrawal(invoice_id="out", preimage=preimage_of("out"), fee_sat=1)
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
    asked: dict[str, Any] = {"invoice_id": "out", "account_id": "ann", "amount_sat": 70}
    facts = {**asked, "fee_reserve_sat": 2}
    assert withdrawal_in(InvoiceState.PAID).events == [
        WithdrawalRequested(**facts),
        WithdrawalAuthorized(
            **facts,
            payment_hash=hash_of("out"),
            payment_request=a_payment_request(),
        ),
        WithdrawalPaid(**facts, fee_sat=1, preimage=preimage_of("out")),
    ]
    assert withdrawal_in(InvoiceState.FAILED).events[2:] == [WithdrawalFailed(**facts, reason="no_route")]
    assert withdrawal_in(InvoiceState.REJECTED).events[1:] == [InvoiceRejected(**asked, reason="insufficient_funds")]


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
        (WITHDRAWALS[InvoiceState.PAID], (SETTLE, AUTHORIZE, request_withdrawal())),
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


def test_a_deposit_is_credited_with_what_arrived() -> None:
    world = sent(request_deposit(), ISSUE, replace(CONFIRM, received_sat=75))
    assert world.said(DepositPaid) == [DepositPaid(invoice_id="in", account_id="ann", amount_sat=75)]
    assert (world.invoice("in").amount_sat, world.invoice("in").received_sat) == (70, 75)


@pytest.mark.parametrize("received_sat", [0, -1, SUPPLY_SAT + 1])
def test_what_arrived_must_be_an_amount(received_sat: int) -> None:
    world = sent(request_deposit(), ISSUE)
    assert world.send(replace(CONFIRM, received_sat=received_sat)).reason == Reason.INVALID_AMOUNT
    assert world.invoice("in").state == InvoiceState.ISSUED


@pytest.mark.parametrize(("fee_sat", "charged_sat"), [(0, 0), (2, 2), (3, 2), (-1, 0)])
def test_a_payer_pays_at_most_the_reserve_for_the_route(fee_sat: int, charged_sat: int) -> None:
    world = sent(request_withdrawal(), AUTHORIZE, replace(SETTLE, fee_sat=fee_sat))
    assert [event.fee_sat for event in world.said(WithdrawalPaid)] == [charged_sat]
    assert world.invoice("out").fee_sat == charged_sat


@pytest.mark.parametrize("changes", [{"account_id": "eve"}, {"amount_sat": 1}, {"fee_reserve_sat": 0}])
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
    if "amount_sat" not in fields:
        assert world.send(request_withdrawal(**fields)).reason == reason
    assert not world.states
    assert not world.events


def _with_feature_100() -> bytes:
    """The words of a request that may be paid, with the even bit of a feature that nobody knows."""
    parts = bech32.split(a_payment_request())
    assert parts is not None
    unsigned = parts[1][:-104]
    feature = bech32.words_of(1 << 8 | 1 << 14 | 1 << 100, 0)
    place = unsigned.rindex(bytes([5, 0, 3]))
    return unsigned[:place] + bytes([5]) + bech32.words_of(len(feature), 2) + feature


SPOILT = a_payment_request()[:-1] + ("q" if a_payment_request()[-1] != "q" else "p")
DEMANDING = signed("lnbcrt700n", _with_feature_100(), secret_key=7)


@pytest.mark.parametrize(
    ("payment_request", "reason"),
    [
        ("", Reason.INVALID_PAYMENT_REQUEST),
        ("lnbcrt", Reason.INVALID_PAYMENT_REQUEST),
        (SPOILT, Reason.INVALID_PAYMENT_REQUEST),
        ("lnsim1abc", Reason.INVALID_PAYMENT_REQUEST),
        (DEMANDING, Reason.UNSUPPORTED_FEATURES),
        (a_payment_request(network="bc"), Reason.WRONG_NETWORK),
        (a_payment_request(network="tbs"), Reason.WRONG_NETWORK),
        (a_payment_request(amount_msat=None), Reason.NO_AMOUNT),
        (a_payment_request(amount_msat=70_001), Reason.AMOUNT_NOT_WHOLE),
        (a_payment_request(expires_at=NOON + timedelta(seconds=59)), Reason.INVOICE_EXPIRED),
        (a_payment_request(expires_at=NOON - timedelta(days=1)), Reason.INVOICE_EXPIRED),
        (a_payment_request(expires_at=NOON + timedelta(days=7, seconds=1)), Reason.EXPIRES_TOO_LATE),
        (a_payment_request(amount_msat=10_000_001_000), Reason.AMOUNT_TOO_LARGE),
    ],
)
def test_each_objection_to_a_payment_request_is_told_before_anything_moves(
    payment_request: str, reason: Reason
) -> None:
    world = World().run(*funded("ann", 100))
    said = list(world.events)
    assert world.send(request_withdrawal(payment_request=payment_request)).reason == reason
    assert ("bitcoin", "out") not in world.states
    assert world.events == said


@pytest.mark.parametrize("amount_sat", [69, 71, 0, -70])
def test_another_amount_than_the_request_asks_for_is_refused(amount_sat: int) -> None:
    world = World()
    assert world.send(request_withdrawal(amount_sat=amount_sat)).reason == Reason.AMOUNT_MISMATCH
    assert not world.states
    assert world.send(request_withdrawal(amount_sat=70)).verdict is Verdict.DONE


@pytest.mark.parametrize("expires_in", [timedelta(seconds=60), timedelta(days=7)])
def test_a_request_may_be_payable_for_a_minute_or_a_week(expires_in: timedelta) -> None:
    request = a_payment_request(expires_at=NOON + expires_in)
    assert World().send(request_withdrawal(payment_request=request)).verdict is Verdict.DONE


def test_a_request_is_kept_in_its_normal_form_however_it_is_written() -> None:
    typed = f"  LIGHTNING:{a_payment_request().upper()}\n"
    world = sent(request_withdrawal(payment_request=typed))
    assert world.invoice("out").payment_request == a_payment_request()
    for same in (typed, a_payment_request(), f"lightning:{a_payment_request()}"):
        assert world.send(request_withdrawal(payment_request=same)).verdict is Verdict.DONE


def test_who_pays_may_say_what_the_route_may_cost() -> None:
    for max_fee_sat, reserve_sat in ((None, 2), (9, 2), (1, 1), (0, 0)):
        world = sent(request_withdrawal(max_fee_sat=max_fee_sat))
        assert [event.fee_reserve_sat for event in world.said(WithdrawalRequested)] == [reserve_sat]
    assert World().send(request_withdrawal(max_fee_sat=-1)).reason == Reason.INVALID_AMOUNT


def test_a_repeat_that_allows_less_for_the_route_is_another_request() -> None:
    world = sent(request_withdrawal())
    assert world.send(request_withdrawal(max_fee_sat=1)).reason == Reason.DUPLICATE_INVOICE
    assert world.send(request_withdrawal(max_fee_sat=2)).verdict is Verdict.DONE


@pytest.mark.parametrize(
    ("amount_sat", "reserve_sat"), [(1, 2), (200, 2), (201, 3), (1_000, 10), (1_001, 11), (10_000_000, 100_000)]
)
def test_the_reserve_is_a_share_of_the_amount_rounded_up_and_at_least_so_much(
    amount_sat: int, reserve_sat: int
) -> None:
    assert Policy().fee_reserve_sat(amount_sat, None) == reserve_sat


def test_what_a_withdrawal_may_be_is_as_the_settings_say() -> None:
    strict = Policy(network="bc", smallest_sat=50, largest_sat=80, longest_life=timedelta(hours=2), least_reserve_sat=5)
    decide = context(strict).commands[RequestWithdrawal].missing

    def answer(**terms: Any) -> str:
        request = a_payment_request(**{"network": "bc", **terms})
        return str(decide(request_withdrawal(payment_request=request), NOON).outcome.reason)

    assert answer() == ""
    assert answer(network="bcrt") == Reason.WRONG_NETWORK
    assert answer(amount_msat=49_000) == Reason.AMOUNT_TOO_SMALL
    assert answer(amount_msat=81_000) == Reason.AMOUNT_TOO_LARGE
    assert answer(expires_at=NOON + timedelta(hours=3)) == Reason.EXPIRES_TOO_LATE


def test_what_earlier_releases_asked_for_is_read_by_what_the_request_says() -> None:
    registry = MessageRegistry(CONTEXT.messages, CONTEXT.upcasters)
    fields = {
        "invoice_id": "out",
        "account_id": "ann",
        "amount_sat": 70,
        "payment_request": a_payment_request(),
        "payment_hash": hash_of("another"),
        "expires_at": "2020-01-01T00:00:00Z",
    }
    kind = RequestWithdrawal.TYPE
    envelope = Envelope("m", kind.name, 1, "out", json.dumps(fields).encode(), "", "", NOON)
    command = decode_data(registry, envelope)
    assert command == request_withdrawal(amount_sat=70)
    assert sent(command).invoice("out").payment_hash == hash_of("out")


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


@pytest.mark.parametrize("asks_sat", [70, 50])
def test_no_payment_hash_is_used_twice(asks_sat: int) -> None:
    world = sent(request_withdrawal())
    second = request_withdrawal("out", asks_sat, invoice_id="out2")
    assert world.send(second).reason == Reason.DUPLICATE_PAYMENT_HASH
    assert ("bitcoin", "out2") not in world.states
    assert {event.key for event in world.events} == {"out"}


def test_a_deposit_whose_hash_is_known_already_has_failed() -> None:
    world = sent(request_deposit(invoice_id="in2"), an_issued("in2", payment_hash=hash_of("in")), request_deposit())
    assert world.send(ISSUE).reason == Reason.DUPLICATE_PAYMENT_HASH
    assert world.invoice("in").state == InvoiceState.FAILED
    assert world.invoice("in").payment_hash is None
    assert [event.reason for event in world.said(DepositFailed)] == [Reason.DUPLICATE_PAYMENT_HASH]


@pytest.mark.parametrize("state", [InvoiceState.ISSUED, InvoiceState.EXPIRED, InvoiceState.PAID])
def test_a_withdrawal_never_pays_the_invoice_of_a_deposit_here(state: InvoiceState) -> None:
    world = deposit_in(state)
    before = list(world.events)
    assert world.send(request_withdrawal("in")).reason == Reason.OWN_INVOICE
    assert ("bitcoin", "out") not in world.states
    assert world.events == before


def test_a_deposit_whose_hash_is_that_of_a_withdrawal_has_failed() -> None:
    world = sent(request_withdrawal("in"), request_deposit())
    assert world.send(ISSUE).reason == Reason.DUPLICATE_PAYMENT_HASH
    assert world.invoice("in").state == InvoiceState.FAILED


def test_nobody_uses_up_an_invoice_that_he_cannot_pay() -> None:
    world = World().run(*funded("bob", 100), request_withdrawal(account_id="ann", invoice_id="poor"))
    assert world.invoice("poor").state == InvoiceState.REJECTED
    world.run(request_withdrawal(account_id="bob"))
    assert world.invoice("out").state == InvoiceState.PAID


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
        request_withdrawal("beef"),
        request_withdrawal(amount_sat=71),
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
