"""The published language of the crowdfunding context. Amounts are satoshis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from spark_actors.kernel.bounds import Characters
from spark_actors.kernel.messages import Command, Event, OwnerOf, Sender, command, event

MAX_DESCRIPTION_LENGTH = 10_000  # characters
Description = Annotated[str, Characters(MAX_DESCRIPTION_LENGTH, has_lines=True)]
"""Of a campaign, in the words of its owner."""
MAX_NAME_LENGTH = 60  # characters
GiverName = Annotated[str, Characters(MAX_NAME_LENGTH)]
"""How somebody without an account wants to be called; empty: not at all."""
MAX_MESSAGE_LENGTH = 280  # characters
GiftMessage = Annotated[str, Characters(MAX_MESSAGE_LENGTH)]
"""What they say with their gift; it may be empty."""
MAX_GIFT_ID_LENGTH = 190  # characters, so that there is room for what makes it the id of an invoice
_INVOICE_OF_GIFT = "gift "
"""Begins the ids of their invoices: nobody can choose an id with a space, so none of theirs is ever taken."""


def invoice_of_gift(gift_id: str) -> str:
    """The id of the invoice by which a gift is paid."""
    return f"{_INVOICE_OF_GIFT}{gift_id}"


def gift_of_invoice(invoice_id: str) -> str:
    """The id of the gift that is paid by the invoice of this id, which is that of a gift."""
    return invoice_id.removeprefix(_INVOICE_OF_GIFT)


class Reason(StrEnum):
    """Why crowdfunding refuses."""

    INVALID_ID = "invalid_id"
    INVALID_ACCOUNT_ID = "invalid_account_id"
    INVALID_TITLE = "invalid_title"
    INVALID_DESCRIPTION = "invalid_description"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_NAME = "invalid_name"
    INVALID_MESSAGE = "invalid_message"
    DUPLICATE_CAMPAIGN = "duplicate_campaign"
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    OWN_CAMPAIGN = "own_campaign"
    ALREADY_REQUESTED = "already_requested"  # the donation's id has been used, by whomever
    UNKNOWN_DONATION = "unknown_donation"  # no campaign here has accepted a request for this donation
    UNKNOWN_GIFT = "unknown_gift"  # no campaign here has accepted a request for this gift
    ALREADY_REGISTERED = "already_registered"


@command(
    "crowdfunding.create-campaign",
    key="campaign_id",
    sent_by=OwnerOf("account_id"),
    reasons=(
        Reason.INVALID_ID,
        Reason.INVALID_ACCOUNT_ID,
        Reason.INVALID_TITLE,
        Reason.INVALID_DESCRIPTION,
        Reason.INVALID_AMOUNT,
        Reason.DUPLICATE_CAMPAIGN,
    ),
)
@dataclass(frozen=True, kw_only=True)
class CreateCampaign(Command):
    """Open a campaign whose donations go to *account_id*."""

    campaign_id: str
    account_id: str
    title: str
    description: Description
    goal_sat: int


@command(
    "crowdfunding.donate-to-campaign",
    key="campaign_id",
    sent_by=OwnerOf("account_id"),
    reasons=(
        Reason.UNKNOWN_CAMPAIGN,
        Reason.INVALID_ID,
        Reason.INVALID_AMOUNT,
        Reason.OWN_CAMPAIGN,
        Reason.ALREADY_REQUESTED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class DonateToCampaign(Command):
    """Begin a donation from *account_id*, under an id that the producer chooses and nobody has used before.

    Delivered again, the command answers as before. Whatever else uses the id is refused: `already_requested`.
    """

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int


@command(
    "crowdfunding.register-donation",
    key="campaign_id",
    sent_by=Sender.OPERATOR,
    reasons=(Reason.UNKNOWN_DONATION, Reason.INVALID_ID, Reason.INVALID_AMOUNT, Reason.ALREADY_REGISTERED),
)
@dataclass(frozen=True, kw_only=True)
class RegisterDonation(Command):
    """Add a donation whose money has arrived to the campaign's total."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int


@command(
    "crowdfunding.reject-donation",
    key="campaign_id",
    sent_by=Sender.OPERATOR,
    reasons=(Reason.UNKNOWN_DONATION, Reason.INVALID_ID, Reason.INVALID_AMOUNT),
)
@dataclass(frozen=True, kw_only=True)
class RejectDonation(Command):
    """End a donation whose money did not move."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int
    reason: str


@command(
    "crowdfunding.request-gift",
    key="campaign_id",
    sent_by=Sender.ANYBODY,
    reasons=(
        Reason.UNKNOWN_CAMPAIGN,
        Reason.INVALID_ID,
        Reason.INVALID_AMOUNT,
        Reason.INVALID_NAME,
        Reason.INVALID_MESSAGE,
        Reason.ALREADY_REQUESTED,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RequestGift(Command):
    """Ask for a Lightning invoice of a campaign: whoever pays it gives, without an account.

    The id is chosen by the producer and used by nobody before; the view `dashboard.gift` shows the invoice under it.
    Name and message are shown to everybody, once the gift was paid.
    """

    campaign_id: str
    gift_id: str
    amount_sat: int
    name: GiverName = ""
    message: GiftMessage = ""


@command(
    "crowdfunding.register-gift",
    key="campaign_id",
    sent_by=Sender.OPERATOR,
    reasons=(Reason.UNKNOWN_GIFT, Reason.INVALID_ID, Reason.INVALID_AMOUNT, Reason.ALREADY_REGISTERED),
)
@dataclass(frozen=True, kw_only=True)
class RegisterGift(Command):
    """Add a gift that the owner was credited with to the total: what arrived, even if it is more than was asked for."""

    campaign_id: str
    gift_id: str
    amount_sat: int


@event("crowdfunding.campaign-created", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class CampaignCreated(Event):
    """The campaign may be donated to."""

    campaign_id: str
    account_id: str
    title: str
    description: Description
    goal_sat: int


@event("crowdfunding.campaign-rejected", key="campaign_id", is_former=True)
@dataclass(frozen=True, kw_only=True)
class CampaignRejected(Event):
    """A campaign was refused. Who asked for it is told so in the answer, and nobody else."""

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


@event("crowdfunding.donation-rejected", key="campaign_id", version=2)
@dataclass(frozen=True, kw_only=True)
class DonationRejected(Event):
    """A donation that was requested has ended without moving money. What is refused at once has no event."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int
    reason: str


@event("crowdfunding.donation-rejected", key="campaign_id", is_former=True)
@dataclass(frozen=True, kw_only=True)
class DonationRejectedV1(Event):
    """A donation was refused at once, perhaps under an id used before, or it has ended without moving money."""

    campaign_id: str
    donation_id: str
    account_id: str
    amount_sat: int
    reason: str

    @property
    def has_begun(self) -> bool:
        """Whether it was requested before and ends with this; its reasons are those of accounting then."""
        return self.reason not in _REFUSED_AT_ONCE


_REFUSED_AT_ONCE = frozenset(
    {Reason.UNKNOWN_CAMPAIGN, Reason.INVALID_ID, Reason.INVALID_AMOUNT, Reason.OWN_CAMPAIGN, Reason.UNKNOWN_DONATION}
)


@event("crowdfunding.gift-requested", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class GiftRequested(Event):
    """The campaign takes the gift; now its invoice has to be made, and paid."""

    campaign_id: str
    gift_id: str
    owner_account_id: str
    amount_sat: int
    name: GiverName
    message: GiftMessage


@event("crowdfunding.gift-registered", key="campaign_id")
@dataclass(frozen=True, kw_only=True)
class GiftRegistered(Event):
    """The gift was paid and counts. *raised_sat* and *donations* are the campaign's totals afterwards."""

    campaign_id: str
    gift_id: str
    amount_sat: int
    raised_sat: int
    donations: int


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
    RequestGift,
    RegisterGift,
    CampaignCreated,
    CampaignRejected,
    DonationRequested,
    DonationRegistered,
    DonationRejected,
    DonationRejectedV1,
    GiftRequested,
    GiftRegistered,
    CampaignGoalReached,
)
