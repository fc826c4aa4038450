"""For any sequence of commands, repeated and delivered in any order, money is conserved and every saga ends."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounting.account import IN_TRANSIT, LIGHTNING, ROUTING, Account
from domain.accounting.messages import (
    CreditTransfer,
    Deposit,
    OpenAccount,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    ReturnFeeReserve,
    Withdraw,
)
from domain.bitcoin.invoice import Invoice, InvoiceKind, InvoiceState
from domain.bitcoin.messages import RequestDeposit
from domain.crowdfunding.campaign import Campaign
from domain.crowdfunding.messages import CampaignGoalReached, DonateToCampaign, DonationRegistered
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.messages import Command
from spark_actors.kernel.sagas import SagaState
from tests.unit.domain.builders import create_campaign, register, request_withdrawal
from tests.unit.domain.world import World

NAMES = ("ann", "bob", "eve")
PEOPLE = st.sampled_from([*NAMES, *NAMES, "@lightning"])
AMOUNTS = st.integers(-2, 60) | st.sampled_from([0, SUPPLY_SAT, SUPPLY_SAT + 1, 2**63])
MODEST = st.integers(-1, 60)
RESERVES = st.integers(-1, 5) | st.sampled_from([SUPPLY_SAT, SUPPLY_SAT + 1, 2**63])


def ids(prefix: str) -> st.SearchStrategy[str]:
    """A few ids, so that they collide. A prefix for each use, though a deposit by hand may be named like an invoice."""
    return st.integers(1, 4).map(lambda number: f"{prefix}{number}")


def of(command: type[Command], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Command]:
    return st.builds(command, **fields)


def transfers(
    command: type[Command], amounts: st.SearchStrategy[int], **more: st.SearchStrategy[Any]
) -> st.SearchStrategy[Command]:
    return of(
        command,
        transfer_id=ids("t"),
        from_account_id=PEOPLE,
        to_account_id=PEOPLE,
        amount_sat=amounts,
        purpose=st.sampled_from(["rent", "donation"]),
        reference=ids("c"),
        **more,
    )


ON_THE_LEDGER = st.one_of(
    of(OpenAccount, account_id=PEOPLE),
    of(Deposit, account_id=PEOPLE, deposit_id=ids("d"), amount_sat=AMOUNTS),
    of(Withdraw, account_id=PEOPLE, withdrawal_id=ids("w"), amount_sat=AMOUNTS, fee_reserve_sat=RESERVES),
    of(
        RefundWithdrawal,
        account_id=PEOPLE,
        withdrawal_id=ids("w"),
        amount_sat=AMOUNTS,
        fee_reserve_sat=RESERVES,
        reason=st.just("why"),
    ),
    of(
        ReturnFeeReserve,
        account_id=PEOPLE,
        withdrawal_id=ids("w"),
        fee_reserve_sat=RESERVES,
        fee_sat=st.integers(-1, 6),
    ),
    transfers(RequestTransfer, AMOUNTS),
    transfers(CreditTransfer, AMOUNTS),
    transfers(RefundTransfer, AMOUNTS, reason=st.just("why")),
)

OF_PRODUCERS = st.one_of(
    st.builds(lambda name: register(account_id=name, username=name), st.sampled_from(NAMES)),
    of(Deposit, account_id=PEOPLE, deposit_id=ids("d") | ids("i"), amount_sat=MODEST),
    of(Deposit, account_id=PEOPLE, deposit_id=ids("d"), amount_sat=st.integers(50, 500)),
    of(Withdraw, account_id=PEOPLE, withdrawal_id=ids("w"), amount_sat=MODEST),
    transfers(RequestTransfer, MODEST),
    st.builds(
        lambda key, owner, goal: create_campaign(campaign_id=key, account_id=owner, goal_sat=goal),
        ids("c"),
        PEOPLE,
        MODEST,
    ),
    of(DonateToCampaign, campaign_id=ids("c"), donation_id=ids("g"), account_id=PEOPLE, amount_sat=MODEST),
    of(RequestDeposit, invoice_id=ids("i"), account_id=PEOPLE, amount_sat=MODEST),
    st.builds(
        lambda number, owner, amount, secret, most: request_withdrawal(
            secret, amount, invoice_id=f"o{number}", account_id=owner, max_fee_sat=most
        ),
        st.integers(1, 4),
        PEOPLE,
        st.integers(1, 60),
        ids("h"),
        st.sampled_from([None, None, 0, 1]),
    ),
)


SET_UP: tuple[tuple[int, Command], ...] = (
    *((9, register(account_id=name, username=name)) for name in NAMES),
    *((9, Deposit(account_id=name, deposit_id=f"d{name}", amount_sat=150)) for name in NAMES),
    (9, create_campaign(campaign_id="c1", account_id="bob", goal_sat=50)),
    (9, create_campaign(campaign_id="c2", account_id="eve", goal_sat=50)),
)
"""What makes most of the rest possible; half of the stories begin with it."""

STORIES = st.builds(
    lambda beginning, rest: [*beginning, *rest],
    st.sampled_from([SET_UP, ()]),
    st.lists(st.tuples(st.integers(0, 3), OF_PRODUCERS), max_size=20),
)


def assert_the_books_agree(world: World) -> None:
    """Every balance is the sum of its entries and never below zero, and nothing was made or lost."""
    sums = world.ledger_balances()
    assert sum(sums.values()) == 0
    accounts = world.all(Account)
    assert {account.account_id: account.balance_sat for account in accounts if account.balance_sat} == {
        key: balance for key, balance in sums.items() if balance and not key.startswith("@")
    }
    assert all(0 <= account.balance_sat < 2**63 for account in accounts)


def assert_invoices_and_ledger_agree(world: World) -> None:
    """What was paid in is credited, what was paid out is debited, what failed is refunded: each once, each exactly."""
    moved = {key: (it.debit_account, it.credit_account, it.amount_sat) for key, it in world.ledger.items()}
    for it in world.all(Invoice):
        into, out_of = (LIGHTNING, it.account_id, it.amount_sat), (it.account_id, LIGHTNING, it.amount_sat)
        is_paid = it.state == InvoiceState.PAID
        if it.kind == InvoiceKind.DEPOSIT:
            received = (LIGHTNING, it.account_id, it.received_sat)
            assert moved.get(f"invoice/{it.invoice_id}") == (received if is_paid else None)
        else:
            has_failed, key = it.state == InvoiceState.FAILED, f"withdrawal/{it.invoice_id}"
            assert moved.get(f"{key}/debit") == (out_of if is_paid or has_failed else None)
            assert moved.get(f"{key}/refund") == (into if has_failed else None)
            reserve, left = it.fee_reserve_sat or 0, (it.fee_reserve_sat or 0) - (it.fee_sat or 0)
            is_set_aside, has_change = bool(reserve) and (is_paid or has_failed), is_paid and bool(left)
            assert moved.get(f"{key}/reserve") == ((it.account_id, ROUTING, reserve) if is_set_aside else None)
            given_back = (ROUTING, it.account_id, reserve) if has_failed and reserve else None
            assert moved.get(f"{key}/reserve_refund") == given_back
            assert moved.get(f"{key}/change") == ((ROUTING, it.account_id, left) if has_change else None)
    paid = [it for it in world.all(Invoice) if it.kind == InvoiceKind.WITHDRAWAL and it.state == InvoiceState.PAID]
    assert world.ledger_balances()[ROUTING] == sum(it.fee_sat or 0 for it in paid)


def assert_campaigns_and_donations_agree(world: World) -> None:
    raised: Counter[str] = Counter()
    for donation in world.donations.values():
        raised[donation.campaign_id] += donation.amount_sat
        assert world.ledger[f"transfer/{donation.donation_id}/credit"].amount_sat == donation.amount_sat
    for campaign in world.all(Campaign):
        assert campaign.raised_sat == raised[campaign.campaign_id]
        assert campaign.goal_reached == (campaign.raised_sat >= campaign.goal_sat)
    goals = Counter(event.campaign_id for event in world.said(CampaignGoalReached))
    assert set(goals.values()) <= {1}
    registered = Counter(event.donation_id for event in world.said(DonationRegistered))
    assert registered == Counter(world.donations.keys())


def played(commands: list[tuple[int, Command]], random: Random, *, remembers: bool) -> World:
    """Send the commands in order, some of them twice, with what follows delivered in between, in any order."""
    world = World(
        random=random,
        remembers=remembers,
        pays=lambda invoice_id: invoice_id[-1] in "13",
        fee_of=lambda invoice_id: int(invoice_id[-1]) - 1,
        received_of=lambda invoice_id: 61 if invoice_id[-1] == "3" else None,
    )
    for number, command in commands:
        world.send(command, f"p{number}-{command}")
        while random.random() < 0.6 and world.step():
            assert_the_books_agree(world)
    for number, command in commands:
        if random.random() < 0.5:
            world.send(command, f"p{number}-{command}")
    return world.settle()


FUNDED: tuple[Command, ...] = tuple(
    command
    for name in NAMES
    for command in (OpenAccount(account_id=name), Deposit(account_id=name, deposit_id=f"d{name}", amount_sat=150))
)
"""Without it hardly any story comes to spend money."""


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([FUNDED, ()]), st.lists(ON_THE_LEDGER, max_size=40))
def test_the_ledger_agrees_with_every_balance_after_any_command(
    beginning: tuple[Command, ...], commands: list[Command]
) -> None:
    world = World()
    for command in [*beginning, *commands]:
        world.send(command)
        assert_the_books_agree(world)


@settings(max_examples=150, deadline=None)
@given(STORIES, st.randoms(use_true_random=False))
def test_money_is_conserved_and_every_saga_ends(commands: list[tuple[int, Command]], random: Random) -> None:
    world = played(commands, random, remembers=True)
    assert_the_books_agree(world)
    assert_invoices_and_ledger_agree(world)
    assert_campaigns_and_donations_agree(world)
    assert world.ledger_balances()[IN_TRANSIT] == 0
    assert [key for key, saga in world.sagas.items() if saga.state is SagaState.RUNNING] == []


@settings(max_examples=100, deadline=None)
@given(STORIES, st.randoms(use_true_random=False))
def test_money_is_conserved_even_when_the_inbox_has_forgotten(
    commands: list[tuple[int, Command]], random: Random
) -> None:
    world = played(commands, random, remembers=False)
    assert_the_books_agree(world)
    assert_invoices_and_ledger_agree(world)
    assert_campaigns_and_donations_agree(world)
    assert world.ledger_balances()[IN_TRANSIT] == 0
    assert [key for key, saga in world.sagas.items() if saga.state is SagaState.RUNNING] == []
