"""The crowdfunding context at a glance."""

from __future__ import annotations

from domain.crowdfunding.campaign import (
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
from domain.shared.context import BoundedContext

CONTEXT = BoundedContext(
    name="crowdfunding",
    messages=MESSAGES,
    commands={
        CreateCampaign: create_campaign,
        DonateToCampaign: donate_to_campaign,
        RegisterDonation: register_donation,
        RejectDonation: reject_donation,
    },
    refusals={
        "donation_requests_pkey": donation_requested,
        "donations_pkey": donation_registered,
        "donations_as_requested": donation_unknown,
    },
    steps=STEPS,
    sagas=SAGAS,
)
