"""Gifts of people without an account: asked for by anybody, paid over Lightning, credited to the owner, registered."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from domain.accounting.messages import Deposited, GiftCredited, Purpose
from domain.bitcoin.messages import ConfirmDeposit, DepositPaid
from domain.bitcoin.messages import Reason as BitcoinReason
from domain.bitcoin.tasks import MakeInvoice
from domain.crowdfunding.messages import (
    CampaignGoalReached,
    GiftRegistered,
    GiftRequested,
    Reason,
    RegisterGift,
    RequestGift,
    invoice_of_gift,
)
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.sagas import SagaState
from tests.unit.domain.builders import create_campaign, funded, request_deposit
from tests.unit.domain.world import World

INVOICE = invoice_of_gift("g1")


def request_gift(**fields: Any) -> RequestGift:
    return RequestGift(**{"campaign_id": "roof", "gift_id": "g1", "amount_sat": 40, "name": "Zoë", **fields})


def with_campaign(**world: Any) -> World:
    return World(**world).run(*funded("bob", 10), create_campaign(goal_sat=100))


@pytest.mark.parametrize("seed", range(20))
def test_a_gift_that_is_paid_is_the_owners_and_counts_once_in_whatever_order_things_happen(seed: int) -> None:
    world = with_campaign(random=Random(seed)).run(request_gift(message="Keep dry"))
    assert world.account("bob").balance_sat == 50
    assert (world.campaign("roof").raised_sat, world.campaign("roof").donations) == (40, 1)
    [asked] = world.said(GiftRequested)
    assert (asked.owner_account_id, asked.name, asked.message) == ("bob", "Zoë", "Keep dry")
    registered = GiftRegistered(campaign_id="roof", gift_id="g1", amount_sat=40, raised_sat=40, donations=1)
    assert world.said(GiftRegistered) == [registered]
    assert world.saga("gift", "g1") == ("registered", SagaState.COMPLETED)


def test_a_gift_is_told_to_be_one_and_its_deposit_has_an_end_too() -> None:
    world = with_campaign().run(request_gift())
    assert world.saga("deposit", INVOICE) == ("credited", SagaState.COMPLETED)
    [credited] = [event for event in world.said(Deposited) if event.purpose == Purpose.GIFT]
    assert (credited.account_id, credited.deposit_id) == ("bob", INVOICE)
    assert [event.campaign_id for event in world.said(GiftCredited)] == ["roof"]


def test_a_gift_that_nobody_pays_moves_nothing_and_one_that_is_paid_late_counts_all_the_same() -> None:
    world = with_campaign(pays=lambda invoice_id: False).run(request_gift())
    assert world.saga("gift", "g1") == ("expired", SagaState.FAILED)
    assert world.account("bob").balance_sat == 10
    assert world.campaign("roof").donations == 0
    world.run(ConfirmDeposit(invoice_id=INVOICE))
    assert world.saga("gift", "g1") == ("registered", SagaState.COMPLETED)
    assert world.campaign("roof").raised_sat == 40


def test_what_arrives_counts_were_it_more_than_was_asked_for() -> None:
    world = with_campaign(pays=lambda invoice_id: False).run(request_gift())
    world.run(ConfirmDeposit(invoice_id=INVOICE, received_sat=45))
    assert world.said(DepositPaid)[-1].amount_sat == 45
    assert (world.campaign("roof").raised_sat, world.account("bob").balance_sat) == (45, 55)


def test_gifts_and_donations_reach_the_goal_together_and_that_is_told_once() -> None:
    world = with_campaign().run(request_gift(amount_sat=60), request_gift(gift_id="g2"), request_gift(gift_id="g3"))
    assert [event.raised_sat for event in world.said(CampaignGoalReached)] == [100]


def test_the_id_of_a_gift_is_requested_once_by_whomever() -> None:
    world = with_campaign().run(request_gift())
    assert world.send(request_gift(amount_sat=41)).reason == Reason.ALREADY_REQUESTED
    assert len(world.said(GiftRequested)) == 1


def test_nobody_can_take_the_id_under_which_a_gift_is_paid() -> None:
    assert with_campaign().send(request_deposit(invoice_id=INVOICE)).reason == BitcoinReason.INVALID_ID


def test_only_a_gift_that_was_requested_of_the_campaign_is_registered_and_once() -> None:
    world = with_campaign().run(create_campaign(campaign_id="well"), request_gift())
    registers = RegisterGift(campaign_id="roof", gift_id="g1", amount_sat=40)
    assert world.send(registers).reason == Reason.ALREADY_REGISTERED
    for wrong in ({"gift_id": "g9"}, {"campaign_id": "nowhere"}, {"gift_id": "g1", "campaign_id": "well"}):
        refused = world.send(RegisterGift(**{**vars(registers), **wrong}))
        assert (refused.verdict, refused.reason) in {
            (Verdict.REJECTED, Reason.UNKNOWN_GIFT),
            (Verdict.REJECTED, Reason.ALREADY_REGISTERED),
        }
    assert world.campaign("well").donations == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"campaign_id": "nowhere"}, Reason.UNKNOWN_CAMPAIGN),
        ({"gift_id": "a b"}, Reason.INVALID_ID),
        ({"gift_id": "g" * 191}, Reason.INVALID_ID),
        ({"amount_sat": 0}, Reason.INVALID_AMOUNT),
        ({"name": "a\nb"}, Reason.INVALID_NAME),
        ({"name": "x" * 61}, Reason.INVALID_NAME),
        ({"message": "x" * 281}, Reason.INVALID_MESSAGE),
        ({"message": "a\0b"}, Reason.INVALID_MESSAGE),
    ],
)
def test_a_gift_must_make_sense(fields: dict[str, Any], reason: Reason) -> None:
    world = with_campaign()
    assert world.send(request_gift(**fields)).reason == reason
    assert world.said(GiftRequested) == []


def test_its_invoice_says_what_it_is_for() -> None:
    task = MakeInvoice(invoice_id=INVOICE, amount_sat=40, campaign_id="roof")
    assert task.memo == "gift g1 to roof"
    assert MakeInvoice(invoice_id="d1", amount_sat=40).memo == "Deposit d1"
