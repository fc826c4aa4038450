"""The named constraints that the domain answers to, or that keep what must never be."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from domain.accounting.account import LIGHTNING, ROUTING, Movement, MovementKind
from domain.accounting.messages import CreditTransfer, Purpose, ReturnFeeReserve
from domain.bitcoin.invoice import MAX_OPEN_DEPOSITS, MAX_OPEN_GIFTS, Invoice, InvoiceState
from domain.shared.money import Satoshis
from spark_actors.kernel.errors import ConstraintError
from spark_actors.messaging.unit_of_work import Change
from tests.contracts.test_turns import Host, balance
from tests.fixtures.aggregates import (
    NOW,
    a_campaign,
    a_credit,
    a_debit,
    a_deposit,
    a_donation,
    a_gift_deposit,
    a_movement,
    a_refund,
    a_request,
    a_user,
    a_withdrawal,
    an_account,
    commit,
    created,
    forced,
    issued,
)
from tests.fixtures.stores import Stores
from tests.unit.domain.builders import deposit, funded, transfer, withdraw


def test_no_two_users_have_the_same_name(stores: Stores) -> None:
    commit(stores.unit_of_work("auth"), [created("a", a_user("a", "satoshi"))])
    with pytest.raises(ConstraintError) as refused:
        commit(stores.unit_of_work("auth"), [created("b", a_user("b", "satoshi"))])
    assert refused.value.constraint == "username_unique"
    assert pickle.loads(pickle.dumps(refused.value)).constraint == "username_unique"


def test_two_of_one_turn_do_not_get_the_same_name(stores: Stores) -> None:
    with pytest.raises(ConstraintError, match="username_unique"):
        commit(stores.unit_of_work("auth"), [created(name, a_user(name, "satoshi")) for name in "ab"])


def test_a_name_stays_with_the_one_who_has_it(stores: Stores) -> None:
    commit(stores.unit_of_work("auth"), [created("a", a_user("a", "satoshi"))])
    commit(stores.unit_of_work("auth"), [Change("a", 1, 2, a_user("a", "satoshi"))])


def test_an_idempotency_key_moves_money_once(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[a_movement("deposit/1"), a_movement("deposit/2")])
    with pytest.raises(ConstraintError, match="movement_key_unique"):
        commit(stores.unit_of_work("accounting"), records=[a_movement("deposit/3"), a_movement("deposit/2")])
    commit(stores.unit_of_work("accounting"), records=[a_movement("deposit/3")])


def test_a_refused_movement_leaves_the_balance_as_it_was(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), [created("a", an_account("a", 100))], records=[a_movement("deposit/1")])
    with pytest.raises(ConstraintError):
        commit(
            stores.unit_of_work("accounting"),
            [Change("a", 1, 2, an_account("a", 200))],
            records=[a_movement("deposit/1")],
        )
    with stores.unit_of_work("accounting") as uow:
        assert uow.repository.load(["a"])["a"].state == an_account("a", 100)


def test_a_movement_follows_one_that_happened(stores: Stores) -> None:
    with pytest.raises(ConstraintError, match="follows_known_movement"):
        commit(stores.unit_of_work("accounting"), records=[a_credit("transfer")])
    commit(stores.unit_of_work("accounting"), records=[a_debit("transfer")])
    commit(stores.unit_of_work("accounting"), records=[a_credit("transfer")])


def test_debit_and_credit_may_share_a_turn(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[a_debit("transfer"), a_credit("transfer")])


def test_a_debit_is_credited_or_refunded_and_never_both(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[a_debit("transfer"), a_credit("transfer")])
    with pytest.raises(ConstraintError, match="follows_once"):
        commit(stores.unit_of_work("accounting"), records=[a_refund("transfer")])


WITHDRAWN = Movement("withdrawal/w/debit", "alice", LIGHTNING, Satoshis(100), MovementKind.WITHDRAWAL, NOW)
GIVEN_BACK = Movement(
    *("withdrawal/w/refund", LIGHTNING, "alice", Satoshis(100), MovementKind.WITHDRAWAL_REFUND, NOW),
    follows="withdrawal/w/debit",
)


@pytest.mark.parametrize(
    "other",
    [
        a_credit("transfer", amount_sat=1_000),
        a_credit("transfer", amount_sat=99),
        a_credit("transfer", "eve"),
        a_credit("transfer", "alice"),
        a_refund("transfer", amount_sat=101),
        a_refund("transfer", "bob"),
        replace(GIVEN_BACK, amount_sat=Satoshis(101)),
        replace(GIVEN_BACK, credit_account="bob"),
        replace(GIVEN_BACK, follows="transfer/transfer/debit"),
        replace(a_credit("transfer"), follows="withdrawal/w/debit"),
        replace(a_credit("transfer"), follows="deposit/d"),
    ],
)
def test_a_movement_takes_up_what_it_follows(stores: Stores, other: Movement) -> None:
    first = [a_movement("deposit/d"), a_debit("transfer"), WITHDRAWN]
    commit(stores.unit_of_work("accounting"), records=first)
    with pytest.raises(ConstraintError) as refused:
        commit(stores.unit_of_work("accounting"), records=[other])
    assert refused.value.constraint == "takes_up_what_it_follows"
    commit(stores.unit_of_work("accounting"), records=[a_refund("transfer"), GIVEN_BACK])


def test_a_movement_takes_up_what_it_follows_in_one_turn(stores: Stores) -> None:
    with pytest.raises(ConstraintError, match="takes_up_what_it_follows"):
        commit(stores.unit_of_work("accounting"), records=[a_debit("transfer"), a_credit("transfer", amount_sat=99)])


RESERVED = Movement("withdrawal/w/reserve", "alice", ROUTING, Satoshis(5), MovementKind.FEE_RESERVE, NOW)
CHANGE = Movement(
    *("withdrawal/w/change", ROUTING, "alice", Satoshis(3), MovementKind.FEE_CHANGE, NOW, "withdrawal/w/reserve"),
    fee_sat=2,
)
RESERVE_BACK = Movement(
    *("withdrawal/w/reserve_refund", ROUTING, "alice", Satoshis(5), MovementKind.FEE_REFUND, NOW),
    follows="withdrawal/w/reserve",
)


@pytest.mark.parametrize("end", [CHANGE, replace(CHANGE, amount_sat=Satoshis(5), fee_sat=0), RESERVE_BACK])
def test_a_reserve_comes_back_less_the_fee_or_as_a_whole_and_never_both(stores: Stores, end: Movement) -> None:
    commit(stores.unit_of_work("accounting"), records=[WITHDRAWN, RESERVED, end])
    for second in (CHANGE, RESERVE_BACK):
        with pytest.raises(ConstraintError, match="movement_key_unique|follows_once"):
            commit(stores.unit_of_work("accounting"), records=[second])


@pytest.mark.parametrize(
    "other",
    [
        replace(CHANGE, amount_sat=Satoshis(6)),
        replace(CHANGE, amount_sat=Satoshis(4)),
        replace(CHANGE, fee_sat=3),
        replace(CHANGE, credit_account="bob"),
        replace(CHANGE, follows="withdrawal/w/debit"),
        replace(RESERVE_BACK, amount_sat=Satoshis(4)),
        replace(RESERVE_BACK, credit_account="bob"),
        replace(GIVEN_BACK, amount_sat=Satoshis(5), follows="withdrawal/w/reserve"),
    ],
)
def test_what_comes_back_of_a_reserve_and_the_fee_are_all_of_it(stores: Stores, other: Movement) -> None:
    commit(stores.unit_of_work("accounting"), records=[WITHDRAWN, RESERVED])
    with pytest.raises(ConstraintError, match="takes_up_what_it_follows"):
        commit(stores.unit_of_work("accounting"), records=[other])
    commit(stores.unit_of_work("accounting"), records=[CHANGE])


def test_what_does_not_fit_its_reserve_is_refused_in_its_answer_and_the_rest_is_booked(stores: Stores) -> None:
    host = Host(stores)
    reserved = [withdraw(account_id=name, withdrawal_id=name, amount_sat=90, fee_reserve_sat=5) for name in ("a", "b")]
    host.take(*funded("a", 100), *funded("b", 100), *reserved)
    too_much = ReturnFeeReserve(account_id="a", withdrawal_id="a", fee_reserve_sat=6, fee_sat=2)
    fitting = ReturnFeeReserve(account_id="b", withdrawal_id="b", fee_reserve_sat=5, fee_sat=2)
    assert host.verdicts(too_much, fitting) == [("rejected", "not_this_withdrawal"), ("done", "")]
    assert (balance(stores, "a"), balance(stores, "b")) == (5, 8)


def test_a_credit_of_more_than_was_debited_is_refused_in_its_answer(stores: Stores) -> None:
    host = Host(stores)
    debited = transfer(amount_sat=1)
    host.take(*funded("ann", 100), *funded("bob", 5), debited)
    credit = CreditTransfer(**vars(debited))
    assert host.verdicts(replace(credit, amount_sat=1_000)) == [("rejected", "not_this_transfer")]
    assert host.verdicts(credit, replace(credit, amount_sat=2)) == [("done", ""), ("rejected", "duplicate_transfer")]
    assert balance(stores, "bob") == 6


def test_an_invoice_that_an_earlier_program_may_have_credited_is_not_credited_again(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[OF_EITHER])
    again = deposit(deposit_id="d", purpose=Purpose.INVOICE)
    assert Host(stores).verdicts(deposit(deposit_id="d"), again) == [("rejected", "duplicate_deposit")] * 2


BY_HAND, OF_INVOICE = a_movement("deposit/d"), a_movement("invoice/d", kind=MovementKind.INVOICE_DEPOSIT)
OF_EITHER = a_movement("deposit/d", kind=MovementKind.DEPOSIT)


@pytest.mark.parametrize("first", [BY_HAND, OF_INVOICE])
def test_a_deposit_by_hand_and_that_of_an_invoice_are_two_and_each_is_once(stores: Stores, first: Movement) -> None:
    second = OF_INVOICE if first is BY_HAND else BY_HAND
    commit(stores.unit_of_work("accounting"), records=[first])
    commit(stores.unit_of_work("accounting"), records=[second])
    for again in (BY_HAND, OF_INVOICE):
        with pytest.raises(ConstraintError, match="movement_key_unique"):
            commit(stores.unit_of_work("accounting"), records=[again])


def test_a_deposit_of_which_nobody_knows_whence_it_came_keeps_both_from_being_credited_again(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[OF_EITHER])
    with pytest.raises(ConstraintError, match="movement_key_unique"):
        commit(stores.unit_of_work("accounting"), records=[BY_HAND])
    with pytest.raises(ConstraintError, match="invoice_credited_once"):
        commit(stores.unit_of_work("accounting"), records=[OF_INVOICE])


def test_an_earlier_program_beside_this_one_credits_no_invoice_again(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[OF_INVOICE])
    with pytest.raises(ConstraintError, match="invoice_credited_once"):
        commit(stores.unit_of_work("accounting"), records=[OF_EITHER])


def test_movements_that_follow_nothing_do_not_meet(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[a_movement(f"deposit/{number}") for number in range(5)])


def test_a_balance_is_never_below_zero(stores: Stores) -> None:
    with pytest.raises(ConstraintError, match="accounts_balance_not_negative"):
        commit(stores.unit_of_work("accounting"), [created("a", forced(an_account("a"), balance_sat=-1))])


def test_a_donation_counts_once_for_ever(stores: Stores) -> None:
    begun = [a_request("one"), a_request("two"), a_donation("one")]
    commit(stores.unit_of_work("crowdfunding"), [created("campaign", a_campaign("campaign"))], records=begun)
    with pytest.raises(ConstraintError, match="donation_registered_once"):
        commit(stores.unit_of_work("crowdfunding"), records=[a_donation("two"), a_donation("one")])


def test_a_donation_is_requested_once_for_ever(stores: Stores) -> None:
    campaigns = [created(name, a_campaign(name)) for name in ("campaign", "other")]
    commit(stores.unit_of_work("crowdfunding"), campaigns, records=[a_request("one")])
    for again in (a_request("one"), a_request("one", "other"), a_request("one", amount_sat=7)):
        with pytest.raises(ConstraintError, match="donation_requested_once"):
            commit(stores.unit_of_work("crowdfunding"), records=[a_request("two"), again])
    with pytest.raises(ConstraintError, match="donation_requested_once"):
        commit(stores.unit_of_work("crowdfunding"), records=[a_request("two"), a_request("two", "other")])


def test_what_is_registered_is_what_was_requested(stores: Stores) -> None:
    campaigns = [created(name, a_campaign(name)) for name in ("campaign", "other")]
    commit(stores.unit_of_work("crowdfunding"), campaigns, records=[a_request("one")])
    for wrong in (
        a_donation("two"),
        a_donation("one", "other"),
        a_donation("one", amount_sat=7),
        replace(a_donation("one"), account_id="bob"),
    ):
        with pytest.raises(ConstraintError, match="registered_as_requested"):
            commit(stores.unit_of_work("crowdfunding"), records=[wrong])
    commit(stores.unit_of_work("crowdfunding"), records=[a_donation("one")])


def test_a_payment_hash_is_paid_out_once(stores: Stores) -> None:
    commit(stores.unit_of_work("bitcoin"), [created("w1", a_withdrawal("w1", "hash"))])
    with pytest.raises(ConstraintError, match="payment_hash_unique"):
        commit(stores.unit_of_work("bitcoin"), [created("w2", a_withdrawal("w2", "hash"))])


@pytest.mark.parametrize("state", [InvoiceState.REJECTED, InvoiceState.FAILED])
def test_what_was_not_paid_keeps_nobody_from_paying_it(stores: Stores, state: InvoiceState) -> None:
    first = a_withdrawal("w1", "hash")
    commit(stores.unit_of_work("bitcoin"), [created("w1", first)])
    commit(stores.unit_of_work("bitcoin"), [Change("w1", 1, 2, replace(first, state=state))])
    commit(stores.unit_of_work("bitcoin"), [created("w2", a_withdrawal("w2", "hash"))])
    with pytest.raises(ConstraintError, match="payment_hash_unique"):
        commit(stores.unit_of_work("bitcoin"), [created("w3", a_withdrawal("w3", "hash"))])


def test_what_is_paid_is_never_paid_again(stores: Stores) -> None:
    first = a_withdrawal("w1", "hash")
    commit(stores.unit_of_work("bitcoin"), [created("w1", first)])
    paid = replace(first, state=InvoiceState.PAID, preimage="proof", settled_at=NOW)
    commit(stores.unit_of_work("bitcoin"), [Change("w1", 1, 2, paid)])
    with pytest.raises(ConstraintError, match="payment_hash_unique"):
        commit(stores.unit_of_work("bitcoin"), [created("w2", a_withdrawal("w2", "hash"))])


def test_no_two_deposits_wait_for_the_same_payment(stores: Stores) -> None:
    deposits = [created(name, a_deposit(name)) for name in ("d1", "d2")]
    commit(stores.unit_of_work("bitcoin"), deposits)
    commit(stores.unit_of_work("bitcoin"), [Change("d1", 1, 2, issued(a_deposit("d1"), "hash"))])
    with pytest.raises(ConstraintError, match="payment_hash_unique"):
        commit(stores.unit_of_work("bitcoin"), [Change("d2", 1, 2, issued(a_deposit("d2"), "hash"))])


def test_no_withdrawal_pays_the_invoice_of_a_deposit(stores: Stores) -> None:
    commit(stores.unit_of_work("bitcoin"), [created("d", issued(a_deposit("d"), "hash"))])
    with pytest.raises(ConstraintError, match="own_invoice"):
        commit(stores.unit_of_work("bitcoin"), [created("w", a_withdrawal("w", "hash"))])
    commit(stores.unit_of_work("bitcoin"), [created("w", a_withdrawal("w", "another"))])


def test_no_deposit_gets_the_hash_of_a_withdrawal_that_may_be_paid(stores: Stores) -> None:
    failed = replace(a_withdrawal("w2", "free"), state=InvoiceState.FAILED)
    commit(stores.unit_of_work("bitcoin"), [created("w1", a_withdrawal("w1", "hash")), created("w2", failed)])
    with pytest.raises(ConstraintError, match="own_invoice"):
        commit(stores.unit_of_work("bitcoin"), [created("d", issued(a_deposit("d"), "hash"))])
    commit(stores.unit_of_work("bitcoin"), [created("d", issued(a_deposit("d"), "free"))])


def test_a_withdrawal_of_before_that_pays_a_deposit_comes_to_its_end(stores: Stores) -> None:
    of_before = replace(a_withdrawal("w", "hash"), fee_reserve_sat=None)
    commit(stores.unit_of_work("bitcoin"), [created("d", issued(a_deposit("d"), "hash")), created("w", of_before)])
    paid = replace(of_before, state=InvoiceState.PAID, preimage="proof", settled_at=NOW)
    commit(stores.unit_of_work("bitcoin"), [Change("w", 1, 2, paid)])


def test_what_an_account_has_withdrawn_on_a_day_is_kept(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    asked = withdraw(amount_sat=60, fee_reserve_sat=5, purpose=Purpose.INVOICE)
    assert host.verdicts(asked) == [("done", "")]
    with stores.unit_of_work("accounting") as uow:
        account = uow.repository.load(["ann"])["ann"].state
    assert account is not None
    assert (account.balance_sat, account.drawn_on, account.drawn_sat) == (35, NOW.date(), 60)


def open_deposits(stores: Stores, count: int = MAX_OPEN_DEPOSITS) -> None:
    commit(stores.unit_of_work("bitcoin"), [created(f"d{number}", a_deposit(f"d{number}")) for number in range(count)])


ENDS = (
    [a_deposit("d1").expired()],
    [a_deposit("d1").never_made("no_route")],
    [issued(a_deposit("d1")), issued(a_deposit("d1")).expired()],
    [issued(a_deposit("d1")), issued(a_deposit("d1")).received(700, NOW)],
)


@pytest.mark.parametrize("ways", ENDS, ids=["expired", "failed", "issued and expired", "issued and paid"])
def test_an_account_has_so_many_open_deposits_and_one_more_when_one_has_ended(
    stores: Stores, ways: list[Invoice]
) -> None:
    open_deposits(stores)
    one_more = [created("more", a_deposit("more"))]
    for version, state in enumerate(ways, 1):
        with pytest.raises(ConstraintError, match="open_deposits_bounded"):
            commit(stores.unit_of_work("bitcoin"), one_more)
        commit(stores.unit_of_work("bitcoin"), [Change("d1", version, version + 1, state)])
    commit(stores.unit_of_work("bitcoin"), one_more)
    with pytest.raises(ConstraintError, match="open_deposits_bounded"):
        commit(stores.unit_of_work("bitcoin"), [created("another", a_deposit("another"))])


def test_one_turn_opens_no_more_than_another(stores: Stores) -> None:
    with pytest.raises(ConstraintError, match="open_deposits_bounded"):
        open_deposits(stores, MAX_OPEN_DEPOSITS + 1)


def test_room_that_one_turn_makes_it_may_use(stores: Stores) -> None:
    open_deposits(stores)
    heir = created("heir", a_deposit("heir"))
    commit(stores.unit_of_work("bitcoin"), [Change("d1", 1, 2, a_deposit("d1").expired()), heir])


def test_open_deposits_of_an_account_leave_others_and_withdrawals_and_gifts_their_room(stores: Stores) -> None:
    open_deposits(stores)
    others = [replace(a_deposit("b"), account_id="bob"), a_withdrawal("w", "hash"), a_gift_deposit("g")]
    commit(stores.unit_of_work("bitcoin"), [created(each.invoice_id, each) for each in others])


def test_gifts_to_a_campaign_are_bounded_by_themselves(stores: Stores) -> None:
    gifts = [created(f"g{number}", a_gift_deposit(f"g{number}")) for number in range(MAX_OPEN_GIFTS)]
    commit(stores.unit_of_work("bitcoin"), gifts)
    with pytest.raises(ConstraintError, match="open_deposits_bounded"):
        commit(stores.unit_of_work("bitcoin"), [created("more", a_gift_deposit("more"))])
    commit(
        stores.unit_of_work("bitcoin"),
        [created("d", a_deposit("d")), created("other", a_gift_deposit("other", "campaign of another"))],
    )
    commit(stores.unit_of_work("bitcoin"), [Change("g1", 1, 2, a_gift_deposit("g1").expired())])
    commit(stores.unit_of_work("bitcoin"), [created("more", a_gift_deposit("more"))])
