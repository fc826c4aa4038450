"""The rules of campaigns and donations."""

from __future__ import annotations

from typing import Any

import pytest

from domain.accounting.messages import Purpose, RequestTransfer, TransferDebited, TransferRejected
from domain.accounting.messages import Reason as AccountingReason
from domain.crowdfunding.campaign import Campaign
from domain.crowdfunding.messages import (
    CampaignCreated,
    CampaignGoalReached,
    DonateToCampaign,
    DonationRegistered,
    DonationRejected,
    DonationRequested,
    Reason,
    RegisterDonation,
    RejectDonation,
)
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.sagas import SagaState
from tests.unit.domain.builders import create_campaign, donate, funded, transfer
from tests.unit.domain.world import NOON, World


def register(**fields: Any) -> RegisterDonation:
    return RegisterDonation(**{**vars(donate()), **fields})


def with_campaign(**fields: Any) -> World:
    return World().run(*funded("ann", 100), *funded("bob", 10), create_campaign(**fields))


def test_a_campaign_is_created_with_nothing_raised() -> None:
    world = World().run(create_campaign())
    assert world.campaign("roof") == Campaign("roof", "bob", "A new roof", "It rains in.", 100, NOON)
    assert world.events == [CampaignCreated(**vars(create_campaign()))]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"goal_sat": 0}, Reason.INVALID_AMOUNT),
        ({"goal_sat": -1}, Reason.INVALID_AMOUNT),
        ({"goal_sat": SUPPLY_SAT + 1}, Reason.INVALID_AMOUNT),
        ({"title": " "}, Reason.INVALID_TITLE),
        ({"title": "x" * 201}, Reason.INVALID_TITLE),
        ({"title": "a\0b"}, Reason.INVALID_TITLE),
        ({"description": "\0"}, Reason.INVALID_DESCRIPTION),
        ({"campaign_id": "a b"}, Reason.INVALID_ID),
        ({"account_id": "@in-transit"}, Reason.INVALID_ACCOUNT_ID),
    ],
)
def test_a_campaign_must_make_sense(fields: dict[str, Any], reason: Reason) -> None:
    world = World()
    assert world.send(create_campaign(**fields)).reason == reason
    assert not world.states
    assert not world.events


def test_creating_a_campaign_again_changes_nothing_and_another_under_its_id_is_refused() -> None:
    world = World().run(create_campaign())
    assert world.send(create_campaign()).verdict is Verdict.DONE
    assert world.send(create_campaign(goal_sat=7)).reason == Reason.DUPLICATE_CAMPAIGN
    assert world.send(create_campaign(account_id="eve")).reason == Reason.DUPLICATE_CAMPAIGN
    assert len(world.events) == len(world.said(CampaignCreated)) == 1
    assert world.campaign("roof").goal_sat == 100


def test_a_donation_moves_the_money_to_the_owner_and_counts() -> None:
    world = with_campaign().run(donate(amount_sat=40))
    assert (world.account("ann").balance_sat, world.account("bob").balance_sat) == (60, 50)
    campaign = world.campaign("roof")
    assert (campaign.raised_sat, campaign.donations, campaign.goal_reached) == (40, 1, False)
    assert world.said(DonationRegistered) == [DonationRegistered(**vars(donate()), raised_sat=40, donations=1)]
    assert world.saga("donation", "gift") == ("registered", SagaState.COMPLETED)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"campaign_id": "nowhere"}, Reason.UNKNOWN_CAMPAIGN),
        ({"account_id": "bob"}, Reason.OWN_CAMPAIGN),
        ({"amount_sat": 0}, Reason.INVALID_AMOUNT),
        ({"amount_sat": SUPPLY_SAT + 1}, Reason.INVALID_AMOUNT),
        ({"donation_id": ""}, Reason.INVALID_ID),
    ],
)
def test_a_donation_that_cannot_be_never_begins(fields: dict[str, Any], reason: Reason) -> None:
    world = with_campaign()
    assert world.send(donate(**fields)).reason == reason
    before = list(world.events)
    world.settle()
    assert world.events == before
    assert not world.said(DonationRequested)
    assert not world.sagas
    assert not world.requests


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amount_sat": 101}, AccountingReason.INSUFFICIENT_FUNDS),
        ({"account_id": "nobody"}, AccountingReason.UNKNOWN_ACCOUNT),
    ],
)
def test_a_donation_that_cannot_be_paid_ends_rejected(fields: dict[str, Any], reason: AccountingReason) -> None:
    world = with_campaign().run(donate(**fields))
    assert world.said(DonationRejected) == [DonationRejected(**vars(donate(**fields)), reason=reason)]
    assert world.saga("donation", "gift") == ("rejected", SagaState.FAILED)
    assert world.campaign("roof").raised_sat == 0


def test_a_donation_to_an_owner_without_an_account_is_given_back() -> None:
    world = with_campaign(account_id="ghost").run(donate())
    assert world.account("ann").balance_sat == 100
    assert world.saga("donation", "gift") == ("rejected", SagaState.FAILED)


def test_a_donation_is_registered_once_for_ever() -> None:
    world = with_campaign().run(donate())
    before = list(world.events)
    assert world.send(register()).reason == Reason.ALREADY_REGISTERED
    assert world.events == before
    assert world.campaign("roof").donations == 1


@pytest.mark.parametrize(
    "again", [donate(), donate(amount_sat=1), donate(account_id="eve"), donate(campaign_id="tower")]
)
@pytest.mark.parametrize("is_settled", [True, False])
def test_an_id_is_requested_once_by_whomever_and_nothing_is_said_of_a_second_use(
    again: DonateToCampaign, is_settled: bool
) -> None:
    world = with_campaign().run(*funded("eve", 100), create_campaign(campaign_id="tower"))
    world.send(donate())
    if is_settled:
        world.settle()
    before = list(world.events)
    assert world.send(again).reason == Reason.ALREADY_REQUESTED
    assert world.events == before
    world.settle()
    assert world.account("ann").balance_sat == 60
    assert world.campaign("roof").raised_sat == 40
    assert not world.said(DonationRejected)
    assert world.saga("donation", "gift") == ("registered", SagaState.COMPLETED)


def test_the_id_of_a_donation_that_was_rejected_is_used_up() -> None:
    world = with_campaign().run(donate(amount_sat=101))
    assert world.send(donate(amount_sat=1)).reason == Reason.ALREADY_REQUESTED
    assert world.saga("donation", "gift") == ("rejected", SagaState.FAILED)


@pytest.mark.parametrize(
    "fields", [{"donation_id": "other"}, {"account_id": "eve"}, {"amount_sat": 41}, {"campaign_id": "tower"}]
)
def test_what_was_not_requested_so_is_not_counted(fields: dict[str, Any]) -> None:
    world = with_campaign().run(create_campaign(campaign_id="tower"))
    world.send(donate())
    assert world.send(register(**fields)).reason == Reason.UNKNOWN_DONATION
    assert not world.donations
    assert not world.said(DonationRegistered)


def test_the_goal_is_reached_once() -> None:
    gifts = [donate(donation_id=f"gift{n}", amount_sat=n) for n in (9, 1, 5)]
    world = with_campaign(goal_sat=10).run(*gifts)
    assert world.said(CampaignGoalReached) == [
        CampaignGoalReached(campaign_id="roof", account_id="bob", goal_sat=10, raised_sat=10)
    ]
    assert world.campaign("roof").goal_reached
    assert world.campaign("roof").raised_sat == 15


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"campaign_id": "nowhere"}, Reason.UNKNOWN_DONATION),
        ({"amount_sat": -1}, Reason.INVALID_AMOUNT),
        ({"donation_id": ""}, Reason.INVALID_ID),
    ],
)
def test_what_is_no_donation_is_not_counted(fields: dict[str, Any], reason: Reason) -> None:
    world = with_campaign()
    assert world.send(register(**fields)).reason == reason
    assert world.campaign("roof").donations == 0


def test_the_end_of_a_donation_to_an_unknown_campaign_is_told_as_such() -> None:
    world = World()
    command = RejectDonation(**vars(donate()), reason="insufficient_funds")
    assert world.send(command).reason == Reason.UNKNOWN_DONATION
    assert not world.events


def test_a_transfer_for_anything_else_is_no_donation() -> None:
    world = with_campaign().run(transfer(reference="roof"), transfer(transfer_id="t2", amount_sat=1_000))
    assert world.said(TransferDebited)
    assert world.said(TransferRejected)
    assert not world.sagas
    assert not world.said(DonationRegistered) + world.said(DonationRejected)


@pytest.mark.parametrize("campaign_id", ["roof", "nowhere"])
def test_a_transfer_that_pretends_to_be_a_donation_is_none(campaign_id: str) -> None:
    pretended: RequestTransfer = transfer(purpose=Purpose.DONATION, reference=campaign_id)
    world = with_campaign().run(pretended)
    assert world.account("bob").balance_sat == 50
    assert world.campaign("roof").raised_sat == 0
    assert not world.sagas


def test_a_donation_whose_id_a_transfer_has_used_up_ends_and_leaves_the_transfer_alone() -> None:
    world = with_campaign().run(transfer(transfer_id="gift", amount_sat=1), donate())
    assert [event.reason for event in world.said(DonationRejected)] == [AccountingReason.DUPLICATE_TRANSFER]
    assert world.saga("donation", "gift") == ("rejected", SagaState.FAILED)
    assert world.account("bob").balance_sat == 11
