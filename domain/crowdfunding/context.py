"""The crowdfunding context at a glance."""

from __future__ import annotations

from domain.crowdfunding.campaign import Campaign
from domain.crowdfunding.messages import (
    MESSAGES,
    CreateCampaign,
    DonateToCampaign,
    Reason,
    RegisterDonation,
    RegisterGift,
    RejectDonation,
    RequestGift,
)
from domain.crowdfunding.sagas import SAGAS, STEPS
from spark_actors.kernel.aggregates import changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(
    name="crowdfunding",
    messages=MESSAGES,
    aggregate=Campaign,
    commands=handlers(
        creates(CreateCampaign, Campaign.create, again=Campaign.created_again),
        changes(DonateToCampaign, Campaign.donate, missing=Reason.UNKNOWN_CAMPAIGN),
        changes(RegisterDonation, Campaign.register_donation, missing=Reason.UNKNOWN_DONATION),
        changes(RejectDonation, Campaign.reject_donation, missing=Reason.UNKNOWN_DONATION),
        changes(RequestGift, Campaign.request_gift, missing=Reason.UNKNOWN_CAMPAIGN),
        changes(RegisterGift, Campaign.register_gift, missing=Reason.UNKNOWN_GIFT),
    ),
    # Who asks is told so, and nobody else of anything: what stands is what the first one's events have said.
    refusals={
        "donation_requested_once": refuses(Reason.ALREADY_REQUESTED),
        "donation_registered_once": refuses(Reason.ALREADY_REGISTERED),
        "registered_as_requested": refuses(Reason.UNKNOWN_DONATION),
        "gift_requested_once": refuses(Reason.ALREADY_REQUESTED),
        "gift_registered_once": refuses(Reason.ALREADY_REGISTERED),
        "gift_was_requested": refuses(Reason.UNKNOWN_GIFT),
    },
    steps=STEPS,
    sagas=SAGAS,
)
