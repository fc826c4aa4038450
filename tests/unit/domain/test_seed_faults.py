"""What an earlier program of this domain got wrong, and this one does not."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from domain.accounting.account import Account
from domain.accounting.messages import Deposited
from domain.auth.messages import Reason as AuthReason
from domain.auth.user import User
from domain.bitcoin.invoice import Invoice
from domain.bitcoin.messages import DepositPaid
from domain.crowdfunding.campaign import Campaign
from domain.crowdfunding.messages import DonationRegistered, DonationRequested, Reason
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command
from tests.unit.domain.builders import create_campaign, deposit, donate, funded, register, request_deposit
from tests.unit.domain.world import NOON, World


@pytest.mark.parametrize("amount_sat", [-1, -40, 0])
def test_a_negative_donation_takes_nothing_from_the_owner(amount_sat: int) -> None:
    world = World().run(*funded("ann", 100), *funded("bob", 100), create_campaign(), donate(amount_sat=amount_sat))
    assert (world.account("ann").balance_sat, world.account("bob").balance_sat) == (100, 100)
    assert world.campaign("roof").raised_sat == 0
    assert world.send(donate(amount_sat=amount_sat)).reason == Reason.INVALID_AMOUNT


def test_a_paid_deposit_credits_exactly_the_account_that_asked_for_it() -> None:
    world = World().run(request_deposit(amount_sat=70))
    paid, credited = world.said(DepositPaid), world.said(Deposited)
    assert [(it.account_id, it.amount_sat) for it in paid] == [(it.account_id, it.amount_sat) for it in credited]
    assert world.account("ann").balance_sat == 70


def test_concurrent_donations_that_were_accepted_are_all_registered() -> None:
    donors = [f"donor{number}" for number in range(20)]
    world = World(random=Random(7)).run(*funded("bob", 1), create_campaign(goal_sat=1_000))
    for donor in donors:
        world.run(*funded(donor, 50))
    for donor in donors:
        for number in range(5):
            world.send(donate(donation_id=f"{donor}-{number}", account_id=donor, amount_sat=10))
    world.settle()
    assert len(world.said(DonationRequested)) == len(world.said(DonationRegistered)) == 100
    assert world.campaign("roof").raised_sat == world.account("bob").balance_sat - 1 == 1_000
    assert all(world.account(donor).balance_sat == 0 for donor in donors)


def test_a_plain_password_is_refused_by_a_rule_that_no_switch_turns_off() -> None:
    decision = User.register(register(password_hash="hunter2"), NOON)
    assert (decision.outcome.verdict, decision.outcome.reason) == (Verdict.REJECTED, AuthReason.INVALID_PASSWORD_HASH)
    assert decision.state is None


@pytest.mark.parametrize("kind", [User, Account, Campaign, Invoice])
def test_no_aggregate_holds_anything_that_grows(kind: type[User | Account | Campaign | Invoice]) -> None:
    plain = ("str", "int", "bool", "date", "datetime", "AccountStatus", "InvoiceKind", "InvoiceState")
    for field in dataclasses.fields(kind):
        assert str(field.type).removesuffix(" | None") in plain, field.name


def test_an_account_is_as_small_after_many_commands_as_before() -> None:
    commands: list[Command] = [deposit(deposit_id=f"d{number}", amount_sat=1) for number in range(500)]
    world = World()
    for command in commands:
        world.send(command)
    assert world.account("ann") == Account("ann", 500)
