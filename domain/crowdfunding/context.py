"""The crowdfunding context at a glance."""

from __future__ import annotations

from domain.crowdfunding.campaign import (
    create_campaign,
    donate_to_campaign,
    donation_known,
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
    refusals={"donations_pkey": donation_known},
    steps=STEPS,
    sagas=SAGAS,
)
