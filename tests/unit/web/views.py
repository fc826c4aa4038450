"""What the daemon might answer, with a text of a stranger wherever a stranger's text may stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.auth.messages import LogIn
from domain.bitcoin.messages import NodeTerms, PaymentTerms, ReadPaymentRequest, ViewNode
from domain.dashboard.views import (
    AccountOverview,
    Activity,
    ActivityLine,
    CampaignDetail,
    CampaignList,
    CampaignSummary,
    DonationLine,
    GiftLine,
    GiftView,
    InvoiceDetail,
    InvoiceLine,
    ViewAccountOverview,
    ViewActivity,
    ViewCampaign,
    ViewCampaigns,
    ViewDonation,
    ViewGift,
    ViewInvoice,
)
from spark_actors.kernel.messages import Query
from spark_actors.web.pages import NotAllowedError

NOW = datetime(2026, 12, 1, 6, 30, tzinfo=UTC)
REQUEST = "lnbcrt210u1p" + "q" * 280
PLAIN = "A well"


def campaign(text: str = PLAIN, **changes: Any) -> CampaignSummary:
    values = {
        "campaign_id": "well",
        "title": text,
        "goal_sat": 21_000,
        "raised_sat": 7_000,
        "donations": 3,
        "goal_reached": False,
        "created_at": NOW,
    }
    return CampaignSummary(**{**values, **changes})


def detail(text: str = PLAIN, **changes: Any) -> CampaignDetail:
    line = GiftLine(amount_sat=2_000, registered_at=NOW, name=text, message=text)
    return CampaignDetail(
        campaign=campaign(text, **changes), description=f"{text}\n\n{text}", recent_donations=(line,) * 20
    )


def gift(state: str = "issued", text: str = PLAIN) -> GiftView:
    return GiftView(
        gift_id="g1",
        campaign_id="well",
        campaign_title=text,
        amount_sat=2_000,
        state=state,
        reason=text if state == "failed" else "",
        name=text,
        message=text,
        payment_request=REQUEST,
        payment_hash="6f" * 32,
        uri=f"lightning:{REQUEST.upper()}",
        expires_at=datetime.now(UTC) + timedelta(minutes=10),
        requested_at=NOW,
        ended_at=NOW if state in ("registered", "expired", "failed") else None,
    )


def donation(state: str = "registered", text: str = PLAIN) -> DonationLine:
    return DonationLine(
        donation_id="d1",
        campaign_id="well",
        account_id="ada",
        amount_sat=1_000,
        state=state,
        reason=text if state == "rejected" else "",
        requested_at=NOW,
        ended_at=None if state == "requested" else NOW,
    )


def invoice(kind: str, state: str, text: str = PLAIN) -> InvoiceDetail:
    is_deposit = kind == "deposit"
    return InvoiceDetail(
        invoice_id=f"{kind}-{state}",
        account_id="ada",
        kind=kind,
        amount_sat=5_000,
        state=state,
        reason=text if state in ("failed", "rejected", "refunded") else "",
        payment_request=REQUEST,
        payment_hash="6f" * 32,
        expires_at=datetime.now(UTC) + timedelta(minutes=10),
        requested_at=NOW,
        ended_at=NOW if state in ("credited", "expired", "paid", "rejected", "refunded") else None,
        received_sat=5_001 if state == "credited" else None,
        fee_reserve_sat=None if is_deposit else 50,
        fee_sat=3 if (kind, state) == ("withdrawal", "paid") else None,
        preimage="a1" * 32 if (kind, state) == ("withdrawal", "paid") else "",
        uri=f"lightning:{REQUEST.upper()}" if is_deposit else "",
    )


def line(kind: str, state: str) -> InvoiceLine:
    whole = invoice(kind, state)
    return InvoiceLine(**{name: getattr(whole, name) for name in InvoiceLine.__dataclass_fields__})


def overview(text: str = PLAIN, **changes: Any) -> AccountOverview:
    values = {
        "account_id": "ada",
        "username": "ada",
        "balance_sat": 4_000,
        "is_open": True,
        "campaigns": (),
        "donations": (donation(), donation("rejected", text), donation("requested")),
        "deposits": (line("deposit", "credited"), line("deposit", "issued")),
        "withdrawals": (line("withdrawal", "paid"), line("withdrawal", "refunded")),
    }
    return AccountOverview(**{**values, **changes})


def feed(text: str = PLAIN) -> Activity:
    def happened(event: str, **data: Any) -> ActivityLine:
        return ActivityLine(
            at=NOW,
            event=event,
            key="k",
            account_id="ada",
            message_id="m",
            correlation_id="c",
            causation_id="",
            data={"amount_sat": 700, "note": text, **data},
        )

    return Activity(
        lines=(
            happened("accounting.transfer-succeeded", purpose="donation", reference="well"),
            happened("accounting.transfer-succeeded", purpose="rent", reference="flat"),
            happened("accounting.gift-credited", campaign_id="well"),
            happened("accounting.account-opened", balance_sat=0),
        )
    )


def everything(text: str = PLAIN) -> dict[type[Query], Any]:
    """Answers to every question that the pages ask."""
    return {
        LogIn: NotAllowedError("wrong_credentials", "no user has this name and password"),
        ViewNode: NodeTerms(
            network="bcrt", is_simulated=True, smallest_withdrawal_sat=1, largest_withdrawal_sat=10_000_000
        ),
        ViewCampaigns: CampaignList(campaigns=(campaign(text),) * 20),
        ViewCampaign: detail(text),
        ViewGift: gift("issued", text),
        ViewDonation: donation("registered", text),
        ViewInvoice: lambda query: invoice(
            query.invoice_id.partition("-")[0], query.invoice_id.partition("-")[2], text
        ),
        ViewAccountOverview: overview(text),
        ViewActivity: feed(text),
        ReadPaymentRequest: PaymentTerms(
            amount_sat=1_200, fee_reserve_sat=12, description=text, expires_at=NOW, objection=""
        ),
    }
