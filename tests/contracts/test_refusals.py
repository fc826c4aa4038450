"""What the store refuses by its rules is found at once, and the rest is committed, on both kinds of stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from domain.accounting.account import MovementKind
from domain.bitcoin.invoice import MAX_OPEN_DEPOSITS, MAX_OPEN_GIFTS, InvoiceState
from domain.bitcoin.messages import ExpireInvoice, IssueInvoice, RequestGiftDeposit
from domain.crowdfunding.messages import RegisterDonation
from spark_actors.kernel.messages import Command
from spark_actors.messaging.unit_of_work import Change, Effect
from tests.contracts.test_turns import NOW, Host, Wrapped, balance, events, sent
from tests.fixtures.aggregates import (
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
    commit,
    created,
    forced,
    issued,
)
from tests.fixtures.stores import PostgresStores, Stores
from tests.unit.domain.builders import create_campaign, deposit, donate, funded, register, request_deposit, withdraw


def found(stores: Stores, context: str, *effects: Effect[Any]) -> dict[int, str]:
    with stores.unit_of_work(context) as uow:
        return dict(uow.repository.offenders(effects))


def state(key: str, new: Any) -> Effect[Any]:
    return Effect(key, new, ())


def books(*records: object) -> Effect[Any]:
    return Effect("key", None, records)


def test_nothing_is_found_where_nothing_is_broken(stores: Stores) -> None:
    assert found(stores, "auth") == {}
    assert found(stores, "auth", state("a", a_user("a")), state("b", a_user("b"))) == {}
    assert found(stores, "accounting", books(a_debit("t")), books(a_credit("t")), books(a_movement("deposit/1"))) == {}


def test_a_name_that_another_has_is_found_and_ones_own_is_not(stores: Stores) -> None:
    commit(stores.unit_of_work("auth"), [created("a", a_user("a", "ann")), created("b", a_user("b", "bob"))])
    effects = (
        *(state("a", a_user("a", "ann")), state("c", a_user("c", "ann"))),
        *(state("d", a_user("d", "bob")), state("e", a_user("e", "eve"))),
    )
    assert found(stores, "auth", *effects) == {1: "username_unique", 2: "username_unique"}


def test_of_two_that_want_the_same_name_the_first_one_has_it(stores: Stores) -> None:
    effects = [state(key, a_user(key, "ann")) for key in "cab"]
    assert found(stores, "auth", *effects) == {1: "username_unique", 2: "username_unique"}


def test_what_one_gives_up_in_the_turn_another_may_have(stores: Stores) -> None:
    commit(stores.unit_of_work("auth"), [created("a", a_user("a", "ann"))])
    renamed, heir = a_user("a", "old-ann"), a_user("b", "ann")
    assert found(stores, "auth", state("a", renamed), state("b", heir)) == {}
    commit(stores.unit_of_work("auth"), [Change("a", 1, 2, renamed), created("b", heir)])


def test_only_what_an_instance_ends_with_counts_from_where_it_first_had_it(stores: Stores) -> None:
    commit(stores.unit_of_work("auth"), [created("a", a_user("a", "ann"))])
    effects = [state("b", a_user("b", name)) for name in ("ann", "bob", "ann", "ann")]
    assert found(stores, "auth", *effects) == {2: "username_unique"}
    assert found(stores, "auth", *effects[:2]) == {}


def test_movements_are_held_against_the_ledger_and_against_each_other(stores: Stores) -> None:
    commit(
        stores.unit_of_work("accounting"), records=[a_movement("deposit/1"), a_debit("t"), a_debit("s"), a_credit("s")]
    )
    assert found(
        stores,
        "accounting",
        books(a_movement("deposit/1")),
        books(a_movement("deposit/2")),
        books(a_movement("deposit/2")),
        books(a_credit("t")),
        books(a_refund("t")),
        books(a_refund("s")),
        books(a_credit("unknown")),
        books(a_credit("new")),
        books(a_debit("new")),
        books(a_movement("invoice/1", kind=MovementKind.INVOICE_DEPOSIT)),
        books(a_movement("deposit/1", kind=MovementKind.DEPOSIT)),
        books(a_credit("new", amount_sat=1_000)),
        books(a_credit("new", "eve")),
        books(a_refund("new", "bob")),
        books(a_refund("new")),
    ) == {
        0: "movement_key_unique",
        2: "movement_key_unique",
        4: "follows_once",
        5: "follows_once",
        6: "follows_known_movement",
        7: "follows_known_movement",
        10: "movement_key_unique",
        11: "takes_up_what_it_follows",
        12: "takes_up_what_it_follows",
        13: "takes_up_what_it_follows",
    }


def test_a_credit_is_held_against_a_debit_that_an_earlier_program_wrote_without_a_payee(database: str) -> None:
    with asyncio.Runner() as runner, PostgresStores(database, runner) as stores:
        commit(stores.unit_of_work("accounting"), records=[a_debit("t")])
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE accounting.ledger SET payee = NULL")
        assert found(stores, "accounting", books(a_credit("t", "anybody"))) == {}


def test_an_invoice_that_may_have_been_credited_is_not_credited_again(stores: Stores) -> None:
    old = a_movement("deposit/1", kind=MovementKind.DEPOSIT)
    commit(stores.unit_of_work("accounting"), records=[old])
    assert found(stores, "accounting", books(a_movement("invoice/1", kind=MovementKind.INVOICE_DEPOSIT))) == {
        0: "invoice_credited_once"
    }


def test_what_is_refused_gives_nothing_to_follow(stores: Stores) -> None:
    commit(stores.unit_of_work("accounting"), records=[a_movement("deposit/1")])
    broken = forced(a_debit("t"), follows="deposit/unknown")
    assert found(stores, "accounting", books(broken), books(a_credit("t"))) == {
        0: "follows_known_movement",
        1: "follows_known_movement",
    }


def test_donations_are_held_against_what_was_requested_and_what_is_registered(stores: Stores) -> None:
    begun = [a_request("one"), a_request("two"), a_donation("one")]
    commit(stores.unit_of_work("crowdfunding"), [created("campaign", a_campaign("campaign"))], records=begun)
    assert found(
        stores,
        "crowdfunding",
        books(a_donation("one")),
        books(a_donation("two", amount_sat=7)),
        books(a_donation("two", "other")),
        books(replace(a_donation("two"), account_id="bob")),
        books(a_donation("two")),
        books(a_donation("two")),
        books(a_request("two", "other")),
        books(a_donation("new")),
        books(a_request("new")),
        books(a_request("new", amount_sat=7)),
        books(a_donation("new", amount_sat=7)),
        books(a_donation("new")),
    ) == {
        0: "donation_registered_once",
        1: "registered_as_requested",
        2: "registered_as_requested",
        3: "registered_as_requested",
        5: "donation_registered_once",
        6: "donation_requested_once",
        7: "registered_as_requested",
        9: "donation_requested_once",
        10: "registered_as_requested",
    }


def test_a_donation_is_held_against_a_request_of_which_an_earlier_program_kept_the_id_alone(database: str) -> None:
    with asyncio.Runner() as runner, PostgresStores(database, runner) as stores:
        begun = [a_request("one")]
        commit(stores.unit_of_work("crowdfunding"), [created("campaign", a_campaign("campaign"))], records=begun)
        with psycopg.connect(database) as connection:
            connection.execute(
                "UPDATE crowdfunding.donation_requests SET campaign_id = NULL, account_id = NULL, amount_sat = NULL"
            )
        wanted = books(a_donation("two")), books(a_donation("one", amount_sat=7)), books(a_request("one"))
        assert found(stores, "crowdfunding", *wanted) == {0: "registered_as_requested", 2: "donation_requested_once"}


def test_payment_hashes_are_found(stores: Stores) -> None:
    commit(stores.unit_of_work("bitcoin"), [created("w", a_withdrawal("w", "hash"))])
    assert found(
        stores,
        "bitcoin",
        state("v", a_withdrawal("v", "hash")),
        state("d", issued(a_deposit("d"), "hash")),
        state("e", a_deposit("e")),
        state("f", a_deposit("f")),
    ) == {0: "payment_hash_unique", 1: "own_invoice"}


OPEN = [created(f"d{number}", a_deposit(f"d{number}")) for number in range(MAX_OPEN_DEPOSITS)]


def test_the_deposits_that_are_too_many_are_found_and_none_that_is_open_already(stores: Stores) -> None:
    commit(stores.unit_of_work("bitcoin"), OPEN[2:])
    new = [state(name, a_deposit(name)) for name in ("e", "f", "g")]
    assert found(stores, "bitcoin", *new) == {2: "open_deposits_bounded"}
    assert found(stores, "bitcoin", *new, state("d5", issued(a_deposit("d5")))) == {2: "open_deposits_bounded"}
    assert found(stores, "bitcoin", *new, state("d5", a_deposit("d5").expired())) == {}
    gone = state("e", a_deposit("e").expired())
    assert found(stores, "bitcoin", *new, gone) == {}
    assert found(stores, "bitcoin", *new, state("b", replace(a_deposit("b"), account_id="bob"))) == {
        2: "open_deposits_bounded"
    }
    gifts = [state(name, a_gift_deposit(name)) for name in ("g1", "g2")]
    assert found(stores, "bitcoin", *gifts) == {}


def test_gifts_that_are_too_many_are_found(stores: Stores) -> None:
    commit(
        stores.unit_of_work("bitcoin"),
        [created(f"g{number}", a_gift_deposit(f"g{number}")) for number in range(1, MAX_OPEN_GIFTS)],
    )
    gifts = [state(name, a_gift_deposit(name)) for name in ("h", "i")]
    others = [state("j", a_gift_deposit("j", "another")), state("d", a_deposit("d"))]
    assert found(stores, "bitcoin", *gifts, *others) == {1: "open_deposits_bounded"}


@contextmanager
def more_open_than_allowed(database: str) -> Iterator[PostgresStores]:
    """As a release that knew of no bound may have left it."""
    with asyncio.Runner() as runner, PostgresStores(database, runner) as stores:
        with psycopg.connect(database) as connection:
            connection.execute("ALTER TABLE bitcoin.invoices DISABLE TRIGGER USER")
        more = [created(name, a_deposit(name)) for name in ("more", "still more")]
        commit(stores.unit_of_work("bitcoin"), [*OPEN, *more])
        with psycopg.connect(database) as connection:
            connection.execute("ALTER TABLE bitcoin.invoices ENABLE TRIGGER USER")
        yield stores


def test_who_has_more_open_deposits_than_allowed_keeps_them_and_gets_no_other_until_enough_have_ended(
    database: str,
) -> None:
    with more_open_than_allowed(database) as stores:
        host = Host(stores)
        new = request_deposit(invoice_id="new", account_id="alice")
        refused, done = ("rejected", "too_many_open_deposits"), ("done", "")
        issues = IssueInvoice(invoice_id="d7", payment_hash="ab" * 32, payment_request="lnbc1", expires_at=NOW)
        assert host.verdicts(new, issues) == [refused, done]
        for number, verdicts in enumerate(([refused, done], [refused, done], [done, done])):
            assert host.verdicts(sent(new, f"again-{number}"), ExpireInvoice(invoice_id=f"d{number}")) == verdicts


# -- turns --


class Commits:
    """Counts how often a host commits."""

    def __init__(self) -> None:
        self.count = 0

    def wrap(self, uow: Any) -> Wrapped:
        commits = self

        class Counting(Wrapped):
            def commit(self) -> None:
                commits.count += 1
                self.inner.commit()

        return Counting(uow)


def test_many_that_are_refused_among_many_that_are_not_are_two_commits(stores: Stores) -> None:
    commits = Commits()
    host = Host(stores, wrap=commits.wrap)
    host.take(*[register(account_id=f"old-{n}", username=f"name-{n}") for n in range(20)])
    commits.count = 0
    newcomers = [register(account_id=f"new-{n}", username=f"name-{n}") for n in range(40)]
    verdicts = host.verdicts(*newcomers)
    assert verdicts == [("rejected", "username_taken")] * 20 + [("done", "")] * 20
    assert commits.count == 2
    assert events(stores, "auth") == ["auth.account-registered"] * 40


def test_two_newcomers_of_one_turn_who_want_the_same_name(stores: Stores) -> None:
    verdicts = Host(stores).verdicts(*[register(account_id=key, username="ann") for key in "ba"])
    assert verdicts == [("done", ""), ("rejected", "username_taken")]


def test_a_refusal_changes_what_later_commands_of_its_instance_do(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 10), *funded("bob", 0 + 1), sent(deposit(deposit_id="x", amount_sat=100), "first"))
    host.take(withdraw(amount_sat=110))
    again = sent(deposit(deposit_id="x", amount_sat=100), "second")
    spends = withdraw(withdrawal_id="w2", amount_sat=100)
    assert host.verdicts(again, spends, deposit(account_id="bob", deposit_id="b2", amount_sat=4)) == [
        ("rejected", "duplicate_deposit"),
        ("rejected", "insufficient_funds"),
        ("done", ""),
    ]
    assert (balance(stores, "ann"), balance(stores, "bob")) == (0, 5)


def test_refusals_that_bring_about_refusals_end_all_the_same(stores: Stores) -> None:
    """Each refused deposit makes the next thing of its instance another one: more often than a turn is decided anew."""
    host = Host(stores)
    host.take(*funded("ann", 10), *[sent(deposit(deposit_id=f"x{n}", amount_sat=1), f"first-{n}") for n in range(9)])
    commands: list[Command] = [deposit(deposit_id=f"x{n}", amount_sat=1) for n in range(9)]
    verdicts = host.verdicts(
        *[sent(command, f"again-{n}") for n, command in enumerate(commands)], deposit(deposit_id="y")
    )
    assert verdicts == [("rejected", "duplicate_deposit")] * 9 + [("done", "")]
    assert balance(stores, "ann") == 119


def test_deposits_that_are_too_many_are_refused_and_may_be_asked_for_again_under_their_ids(stores: Stores) -> None:
    commits = Commits()
    host = Host(stores, wrap=commits.wrap)
    wanted = [request_deposit(invoice_id=f"i{number}") for number in range(MAX_OPEN_DEPOSITS + 40)]
    refused, done = ("rejected", "too_many_open_deposits"), ("done", "")
    of_bob = request_deposit(invoice_id="bob's", account_id="bob")
    assert host.verdicts(*wanted, of_bob) == [done] * MAX_OPEN_DEPOSITS + [refused] * 40 + [done]
    assert commits.count == 2
    host.take(ExpireInvoice(invoice_id="i0"))
    assert host.verdicts(*[sent(each, f"{each.key} again") for each in wanted[-2:]]) == [done, refused]
    assert host.verdicts(wanted[1], wanted[-2]) == [done, refused]  # delivered again: answered as before
    assert events(stores, "bitcoin").count("bitcoin.deposit-requested") == MAX_OPEN_DEPOSITS + 2


def test_gifts_that_are_too_many_have_failed_with_that_reason(stores: Stores) -> None:
    host = Host(stores)
    wanted = [
        RequestGiftDeposit(invoice_id=f"g{number}", account_id="ann", amount_sat=5, campaign_id="roof")
        for number in range(MAX_OPEN_GIFTS + 3)
    ]
    refused, done = ("rejected", "too_many_open_deposits"), ("done", "")
    assert host.verdicts(*wanted) == [done] * MAX_OPEN_GIFTS + [refused] * 3
    assert events(stores, "bitcoin").count("bitcoin.deposit-requested") == MAX_OPEN_GIFTS
    with stores.unit_of_work("bitcoin") as uow:
        failed: Any = uow.repository.load([wanted[-1].key])[wanted[-1].key].state
    assert (failed.state, failed.reason) == (InvoiceState.FAILED, "too_many_open_deposits")
    assert host.verdicts(sent(wanted[-1], "again")) == [("rejected", "invoice_failed")]


@pytest.mark.parametrize("context", ["crowdfunding", "bitcoin"])
def test_the_other_contexts_refuse_in_the_same_way(stores: Stores, context: str) -> None:
    host = Host(stores)
    if context == "crowdfunding":
        gift = donate(campaign_id="roof", donation_id="gift", account_id="ann", amount_sat=5)
        host.take(create_campaign(campaign_id="roof"), gift)
        assert host.verdicts(gift, sent(gift, "again")) == [("done", ""), ("rejected", "already_requested")]
        registered = [sent(RegisterDonation(**vars(gift)), f"m{n}") for n in range(3)]
        wrong = sent(RegisterDonation(**vars(replace(gift, amount_sat=6))), "wrong")
        assert host.verdicts(wrong, *registered) == [
            ("rejected", "unknown_donation"),
            ("done", ""),
            *[("rejected", "already_registered")] * 2,
        ]
        return
    host.take(request_deposit(invoice_id="one"), request_deposit(invoice_id="two"))
    terms = {"payment_hash": "ab" * 32, "payment_request": "lnbc1", "expires_at": NOW}
    issues = [IssueInvoice(invoice_id=name, **terms) for name in ("one", "two")]  # type: ignore[arg-type]
    assert host.verdicts(*issues) == [("done", ""), ("rejected", "duplicate_payment_hash")]
    with stores.unit_of_work("bitcoin") as uow:
        states: list[Any] = [held.state for held in uow.repository.load(["one", "two"]).values()]
    assert [state.state for state in states] == [InvoiceState.ISSUED, InvoiceState.FAILED]
