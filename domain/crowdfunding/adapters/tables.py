"""How campaigns and their donations lie in Postgres."""

from __future__ import annotations

from domain.crowdfunding.campaign import Campaign, Donation, DonationRequest, Gift, GiftRequest
from spark_actors.persistence.rules import Rule
from spark_actors.persistence.tables import AggregateTable, Book

REQUESTS, DONATIONS = "crowdfunding.donation_requests", "crowdfunding.donations"
GIFT_REQUESTS, GIFTS = "crowdfunding.gift_requests", "crowdfunding.gifts"

_DONATION = {"donation_id": "text", "campaign_id": "text", "account_id": "text", "amount_sat": "bigint"}
_GIFT = {"gift_id": "text", "campaign_id": "text", "amount_sat": "bigint"}

_RECORD_DONATIONS = """
WITH arrived AS (
    SELECT *
    FROM unnest(
        %(donation_id)s::text[], %(campaign_id)s::text[], %(account_id)s::text[], %(amount_sat)s::bigint[],
        %(registered_at)s::timestamptz[]
    ) AS row (donation_id, campaign_id, account_id, amount_sat, registered_at)
), learned AS (
    UPDATE crowdfunding.donation_requests AS request
    SET campaign_id = arrived.campaign_id, account_id = arrived.account_id, amount_sat = arrived.amount_sat
    FROM arrived
    WHERE request.donation_id = arrived.donation_id AND request.campaign_id IS NULL
)
INSERT INTO crowdfunding.donations (donation_id, campaign_id, account_id, amount_sat, registered_at)
SELECT donation_id, campaign_id, account_id, amount_sat, registered_at FROM arrived
"""
"""Just as they were requested. Of a request that an earlier release accepted only the id is known; what it was about is
learned here, from the money that has moved for it."""

CAMPAIGNS = AggregateTable(
    table="crowdfunding.campaigns",
    key="campaign_id",
    columns={
        "account_id": "text",
        "title": "text",
        "description": "text",
        "goal_sat": "bigint",
        "created_at": "timestamptz",
        "raised_sat": "bigint",
        "donations": "bigint",
        "goal_reached": "boolean",
    },
    state=lambda row: Campaign(*row),
    books=(
        Book(record=DonationRequest, table=REQUESTS, columns={**_DONATION, "requested_at": "timestamptz"}),
        Book(
            record=Donation,
            table=DONATIONS,
            columns={**_DONATION, "registered_at": "timestamptz"},
            insert=_RECORD_DONATIONS,
        ),
        Book(record=GiftRequest, table=GIFT_REQUESTS, columns={**_GIFT, "requested_at": "timestamptz"}),
        Book(record=Gift, table=GIFTS, columns={**_GIFT, "registered_at": "timestamptz"}),
    ),
    rules=(
        Rule(
            name="donation_requested_once",
            constraint="donation_requests_pkey",
            of=DonationRequest,
            table=REQUESTS,
            columns=("donation_id",),
        ),
        Rule(
            name="donation_registered_once",
            constraint="donations_pkey",
            of=Donation,
            table=DONATIONS,
            columns=("donation_id",),
        ),
        Rule(
            name="registered_as_requested",
            constraint="donations_as_requested",
            of=Donation,
            table=DONATIONS,
            columns=tuple(_DONATION),
            refers_to=tuple(_DONATION),
            referred=DonationRequest,
            referred_table=REQUESTS,
            once_unknown=("campaign_id", "account_id", "amount_sat"),
        ),
        Rule(
            name="gift_requested_once",
            constraint="gift_requests_pkey",
            of=GiftRequest,
            table=GIFT_REQUESTS,
            columns=("gift_id",),
        ),
        Rule(
            name="gift_registered_once",
            constraint="gifts_pkey",
            of=Gift,
            table=GIFTS,
            columns=("gift_id",),
        ),
        Rule(
            name="gift_was_requested",
            constraint="gifts_were_requested",
            of=Gift,
            table=GIFTS,
            columns=("gift_id", "campaign_id"),
            refers_to=("gift_id", "campaign_id"),
            referred=GiftRequest,
            referred_table=GIFT_REQUESTS,
        ),
    ),
)
