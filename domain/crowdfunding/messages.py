"""The published language of the crowdfunding context. Amounts are satoshis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from domain.shared.bounds import Characters
from domain.shared.messages import Command, Event, OwnerOf, Sender, command, event

MAX_DESCRIPTION_LENGTH = 10_000  # characters
Description = Annotated[str, Characters(MAX_DESCRIPTION_LENGTH, has_lines=True)]
"""Of a campaign, in the words of its owner."""


class Reason(StrEnum):
    """Why crowdfunding refuses."""

    INVALID_ID = "invalid_id"
    INVALID_ACCOUNT_ID = "invalid_account_id"
    INVALID_TITLE = "invalid_title"
    INVALID_DESCRIPTION = "invalid_description"
    INVALID_AMOUNT = "invalid_amount"
    DUPLICATE_CAMPAIGN = "duplicate_campaign"
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    OWN_CAMPAIGN = "own_campaign"
    UNKNOWN_DONATION = "unknown_donation"  # money has, or has not, moved for a donation that no campaign here began
    ALREADY_REGISTERED = "already_registered"


@command("crowdfunding.create-campaign", key="campaign_id", sent_by=OwnerOf("account_id"))
@dataclass(frozen=True, kw_only=True)
class CreateCampaign(Command):
    """Open a campaign whose donations go to *account_id*."""

    campaign_id: str
    account_id: str
    title: str
    description: Description
    goal_sat: int


@command("crowdfunding.donate-to-campaign", key="campaign_id", sent_by=OwnerOf("account_id"))
@dataclass(frozen=True, kw_only=True)
class DonateToCampaign(Command):
    """Begin a donation from *account_id*, under an id that the producer chooses."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int


@command("crowdfunding.register-donation", key="campaign_id", sent_by=Sender.OPERATOR)
@dataclass(frozen=True, kw_only=True)
class RegisterDonation(Command):
    """Add a donation whose money has arrived to the campaign's total."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int


@command("crowdfunding.reject-donation", key="campaign_id", sent_by=Sender.OPERATOR)
@dataclass(frozen=True, kw_only=True)
class RejectDonation(Command):
    """End a donation whose money did not move."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int
    reason: str


@event("crowdfunding.campaign-created", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class CampaignCreated(Event):
    """The campaign may be donated to."""

    campaign_id: str
    account_id: str
    title: str
    description: Description
    goal_sat: int


@event("crowdfunding.campaign-rejected", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class CampaignRejected(Event):
    """A campaign was refused."""

    campaign_id: str
    account_id: str
    reason: str


@event("crowdfunding.donation-requested", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class DonationRequested(Event):
    """The campaign takes the donation; now the money has to move to *owner_account_id*."""

    campaign_id: str
    donation_id: str
    account_id: str
    owner_account_id: str
    amount_sat: int


@event("crowdfunding.donation-registered", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class DonationRegistered(Event):
    """The money has moved and counts. *raised_sat* and *donations* are the campaign's totals afterwards."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int
    raised_sat: int
    donations: int


@event("crowdfunding.donation-rejected", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class DonationRejected(Event):
    """A donation was refused, or has ended without moving money.

    Under an id that was used before it says so of the repeat only: a registered donation stays registered.
    """

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int
    reason: str


@event("crowdfunding.campaign-goal-reached", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class CampaignGoalReached(Event):
    """The total has passed the goal, for the first time."""

    campaign_id: str
    account_id: str
    goal_sat: int
    raised_sat: int


MESSAGES = (
    CreateCampaign,
    DonateToCampaign,
    RegisterDonation,
    RejectDonation,
    CampaignCreated,
    CampaignRejected,
    DonationRequested,
    DonationRegistered,
    DonationRejected,
    CampaignGoalReached,
)
