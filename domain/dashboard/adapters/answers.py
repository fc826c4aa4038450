"""Answers of the dashboard from Postgres: each query is one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

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
    ViewTimeline,
)
from spark_actors.messaging.ports import QueryHandlers
from spark_actors.persistence import statements
from spark_actors.persistence.errors import translated


@dataclass(frozen=True)
class _Ask:
    """One statement of an answer; its rows come as *shape* is called."""

    statement: str
    shape: type[Any]
    values: Mapping[str, object]


class PostgresViews:
    """Answers the dashboard's queries over a pool of connections to its database."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._statements = statements.load(__package__, "dashboard.sql")
        self.answers: QueryHandlers = {
            ViewAccountOverview: self._account_overview,
            ViewCampaigns: self._campaigns,
            ViewCampaign: self._campaign,
            ViewInvoice: self._invoice,
            ViewGift: self._gift,
            ViewDonation: self._donation,
            ViewActivity: self._activity,
            ViewTimeline: self._timeline,
        }

    async def _account_overview(self, query: ViewAccountOverview) -> AccountOverview | None:
        values = {"account_id": query.account_id, "limit": query.limit}
        accounts, campaigns, donations, deposits, withdrawals = await self._fetch(
            _Ask("view_account", dict, values),
            _Ask("view_campaigns_of_account", CampaignSummary, values),
            _Ask("view_donations_of_account", DonationLine, values),
            _Ask("view_invoices_of_account", InvoiceLine, {**values, "kind": "deposit"}),
            _Ask("view_invoices_of_account", InvoiceLine, {**values, "kind": "withdrawal"}),
        )
        if not accounts:
            return None
        return AccountOverview(
            **accounts[0],
            campaigns=campaigns,
            donations=donations,
            deposits=deposits,
            withdrawals=withdrawals,
        )

    async def _campaigns(self, query: ViewCampaigns) -> CampaignList:
        (campaigns,) = await self._fetch(_Ask("view_campaigns", CampaignSummary, _page(query)))
        return CampaignList(campaigns=campaigns)

    async def _campaign(self, query: ViewCampaign) -> CampaignDetail | None:
        values = {"campaign_id": query.campaign_id, "limit": query.limit}
        campaigns, donations = await self._fetch(
            _Ask("view_campaign", dict, values),
            _Ask("view_gifts_to_campaign", GiftLine, values),
        )
        if not campaigns:
            return None
        description = campaigns[0].pop("description")
        return CampaignDetail(
            campaign=CampaignSummary(**campaigns[0]), description=description, recent_donations=donations
        )

    async def _invoice(self, query: ViewInvoice) -> InvoiceDetail | None:
        (found,) = await self._fetch(_Ask("view_invoice", InvoiceDetail, {"invoice_id": query.invoice_id}))
        return found[0] if found else None

    async def _gift(self, query: ViewGift) -> GiftView | None:
        (found,) = await self._fetch(_Ask("view_gift", GiftView, {"gift_id": query.gift_id}))
        return found[0] if found else None

    async def _donation(self, query: ViewDonation) -> DonationLine | None:
        (found,) = await self._fetch(_Ask("view_donation", DonationLine, {"donation_id": query.donation_id}))
        return found[0] if found else None

    async def _activity(self, query: ViewActivity) -> Activity:
        statement = "view_activity_of_account" if query.account_id else "view_activity"
        (lines,) = await self._fetch(_Ask(statement, ActivityLine, {**_page(query), "account_id": query.account_id}))
        return Activity(lines=lines)

    async def _timeline(self, query: ViewTimeline) -> Activity:
        values = {"correlation_id": query.correlation_id, "limit": query.limit, "after_id": query.after_id}
        (lines,) = await self._fetch(_Ask("view_timeline", ActivityLine, values))
        return Activity(lines=lines)

    async def _fetch(self, *asks: _Ask) -> Sequence[tuple[Any, ...]]:
        with translated():
            async with self._pool.connection() as connection:
                async with connection.pipeline():
                    cursors = [connection.cursor(row_factory=class_row(ask.shape)) for ask in asks]
                    for cursor, ask in zip(cursors, asks, strict=True):
                        await cursor.execute(self._statements[ask.statement], ask.values)
                return [tuple(await cursor.fetchall()) for cursor in cursors]


def _page(query: ViewCampaigns | ViewActivity) -> Mapping[str, object]:
    return {"limit": query.limit, "before": query.before, "before_id": query.before_id}
