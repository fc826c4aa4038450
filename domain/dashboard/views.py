"""The read models: what can be asked of the dashboard and what it answers. Amounts are satoshis.

Views lag behind the write side by the time an event takes (eventual consistency). Activity is kept for a time that the
settings say, all else for good. An answer that says `truncated` has fewer lines than were asked for: all that the
broker takes in one piece. The next page begins behind the last line, as after any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from domain.bitcoin.messages import MAX_PAYMENT_REQUEST_LENGTH, PaymentRequest
from domain.crowdfunding.messages import Description, GiftMessage, GiverName
from spark_actors.kernel.bounds import Between, Characters
from spark_actors.kernel.messages import OwnerOf, Query, Sender, query

MOST_LINES = 200
"""The most lines of a kind that one answer holds."""
PaymentUri = Annotated[str, Characters(MAX_PAYMENT_REQUEST_LENGTH + len("lightning:"))]
"""What a wallet opens: `lightning:`, then the payment request in upper case, so that its QR code is small (BOLT 11)."""
Limit = Annotated[int, Between(1, MOST_LINES)]
"""How many lines of a kind are asked for."""


@dataclass(frozen=True, kw_only=True)
class CampaignSummary:
    """A campaign as everybody may see it: without account ids."""

    campaign_id: str
    title: str
    goal_sat: int
    raised_sat: int
    donations: int
    goal_reached: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class GiftLine:
    """A registered donation as everybody may see it: not whose it is.

    Of a gift without an account what the giver wanted to be called and to say; both may be empty.
    """

    amount_sat: int
    registered_at: datetime
    name: GiverName = ""
    message: GiftMessage = ""


@dataclass(frozen=True, kw_only=True)
class DonationLine:
    """A donation as its donor sees it."""

    donation_id: str
    campaign_id: str
    account_id: str
    amount_sat: int
    state: str
    """requested, registered or rejected"""
    reason: str
    requested_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    """A deposit or a withdrawal over the Lightning network."""

    invoice_id: str
    account_id: str
    kind: str
    """deposit or withdrawal"""
    amount_sat: int
    state: str
    """A deposit: requested, issued, paid, credited, expired or failed; one that has expired may still have been paid.
    A withdrawal: requested, authorized, paid, rejected, failed or refunded."""
    reason: str
    payment_request: PaymentRequest
    payment_hash: str
    expires_at: datetime | None
    requested_at: datetime
    ended_at: datetime | None
    received_sat: int | None = None
    """Of a deposit: what arrived, which may be more than was asked for. None as long as nothing has."""
    fee_reserve_sat: int | None = None
    """Of a withdrawal: what is debited beside the amount, and given back as far as the route does not cost it."""
    fee_sat: int | None = None
    """Of a withdrawal that was paid: what the route has cost its payer."""


@dataclass(frozen=True, kw_only=True)
class InvoiceDetail(InvoiceLine):
    """A deposit or a withdrawal as its owner sees it who asks for that one."""

    preimage: str
    """Of a withdrawal that was paid: the proof. Whoever knows it can claim to have paid. Else empty."""
    uri: PaymentUri
    """Of a deposit that was issued: what a wallet opens, in upper case, so that its QR code is small. Else empty."""


@dataclass(frozen=True, kw_only=True)
class GiftView:
    """A gift of somebody without an account, with the invoice by which it is paid.

    Once registered it is a receipt: who shows a preimage whose SHA-256 is the payment hash, which only the payer's
    wallet was given, proves to have paid this invoice, which names gift and campaign.
    """

    gift_id: str
    campaign_id: str
    campaign_title: str
    amount_sat: int
    """What was asked for; once it was paid, what arrived."""
    state: str
    """requested, issued, paid, registered, expired or failed; one that has expired may still have been paid."""
    reason: str
    name: GiverName
    message: GiftMessage
    payment_request: PaymentRequest
    payment_hash: str
    uri: PaymentUri
    """Empty until the invoice was made."""
    expires_at: datetime | None
    requested_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class AccountOverview:
    account_id: str
    username: str
    balance_sat: int
    is_open: bool
    """Whether the owner may spend yet."""
    campaigns: tuple[CampaignSummary, ...]
    donations: tuple[DonationLine, ...]
    deposits: tuple[InvoiceLine, ...]
    withdrawals: tuple[InvoiceLine, ...]
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class CampaignDetail:
    campaign: CampaignSummary
    description: Description
    recent_donations: tuple[GiftLine, ...]
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class ActivityLine:
    """One event as people read it."""

    at: datetime
    event: str
    key: str
    account_id: str = ""
    """Empty where it is about none."""
    message_id: str
    correlation_id: str
    causation_id: str
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CampaignList:
    campaigns: tuple[CampaignSummary, ...]
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Activity:
    lines: tuple[ActivityLine, ...]
    truncated: bool = False


@query("dashboard.account-overview", result=AccountOverview, sent_by=OwnerOf("account_id"))
@dataclass(frozen=True, kw_only=True)
class ViewAccountOverview(Query):
    """The account with its newest campaigns, donations, deposits and withdrawals (at most *limit* of each)."""

    account_id: str
    limit: Limit = 20


@query("dashboard.campaigns", result=CampaignList, sent_by=Sender.ANYBODY)
@dataclass(frozen=True, kw_only=True)
class ViewCampaigns(Query):
    """The newest campaigns; `created_at` and id of the last one seen, as *before* and *before_id*, turn the page."""

    limit: Limit = 20
    before: datetime | None = None
    before_id: str = ""


@query("dashboard.campaign", result=CampaignDetail, sent_by=Sender.ANYBODY)
@dataclass(frozen=True, kw_only=True)
class ViewCampaign(Query):
    """One campaign with the donations that were registered last."""

    campaign_id: str
    limit: Limit = 20


@query("dashboard.invoice", result=InvoiceDetail, sent_by=OwnerOf("account_id", of_result=True))
@dataclass(frozen=True, kw_only=True)
class ViewInvoice(Query):
    """One deposit (with its payment request, once issued) or withdrawal (with its proof, once paid)."""

    invoice_id: str


@query("dashboard.gift", result=GiftView, sent_by=Sender.ANYBODY)
@dataclass(frozen=True, kw_only=True)
class ViewGift(Query):
    """One gift of somebody without an account, by the id that its giver's program chose: whoever knows it may look."""

    gift_id: str


@query("dashboard.donation", result=DonationLine, sent_by=OwnerOf("account_id", of_result=True))
@dataclass(frozen=True, kw_only=True)
class ViewDonation(Query):
    """One donation."""

    donation_id: str


@query("dashboard.activity", result=Activity, sent_by=OwnerOf("account_id"))
@dataclass(frozen=True, kw_only=True)
class ViewActivity(Query):
    """What happened, newest first: of one account, or of everybody when *account_id* is empty.

    The `at` and `message_id` of the last line seen, as *before* and *before_id*, turn the page.
    """

    account_id: str = ""
    limit: Limit = 50
    before: datetime | None = None
    before_id: str = ""


@query("dashboard.timeline", result=Activity, sent_by=Sender.OPERATOR)
@dataclass(frozen=True, kw_only=True)
class ViewTimeline(Query):
    """The events of one story, in the order in which they happened; the `message_id` of the last line seen, as
    *after_id*, turns the page."""

    correlation_id: str
    limit: Limit = 200
    after_id: str = ""


QUERIES = (
    ViewAccountOverview,
    ViewCampaigns,
    ViewCampaign,
    ViewInvoice,
    ViewGift,
    ViewDonation,
    ViewActivity,
    ViewTimeline,
)
