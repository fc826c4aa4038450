"""The crowdfunding context at a glance."""

from __future__ import annotations

from domain.crowdfunding.campaign import (
    Campaign,
    create_campaign,
    donate_to_campaign,
    donation_registered,
    donation_requested,
    donation_unknown,
    register_donation,
    reject_donation,
)
from domain.crowdfunding.messages import (
    MESSAGES,
    CreateCampaign,
    DonateToCampaign,
    RegisterDonation,
    RejectDonation,
)
from domain.crowdfunding.sagas import SAGAS, STEPS
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(
    name="crowdfunding",
    messages=MESSAGES,
    aggregate=Campaign,
    commands={
        CreateCampaign: create_campaign,
        DonateToCampaign: donate_to_campaign,
        RegisterDonation: register_donation,
        RejectDonation: reject_donation,
    },
    refusals={
        "donation_requested_once": donation_requested,
        "donation_registered_once": donation_registered,
        "registered_as_requested": donation_unknown,
    },
    steps=STEPS,
    sagas=SAGAS,
)
