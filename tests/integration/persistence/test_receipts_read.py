"""How far the node's receipts were read, and which deposits they may concern, in Postgres."""

from __future__ import annotations

import asyncio

import psycopg

from domain.bitcoin.adapters.receipts import PostgresReceiptsRead, Unconfirmed
from spark_actors.persistence.connections import make_pool

ROWS = """
    INSERT INTO bitcoin.invoices
        (invoice_id, version, kind, state, account_id, amount_sat, requested_at, payment_hash, payment_request,
         expires_at, preimage)
    VALUES ('open', 1, 'deposit', 'issued', 'ada', 7, now(), 'h-open', 'r', now(), NULL),
           ('late', 1, 'deposit', 'expired', 'ada', 7, now(), 'h-late', 'r', now(), NULL),
           ('paid', 1, 'deposit', 'paid', 'ada', 7, now(), 'h-paid', 'r', now(), NULL),
           ('out', 1, 'withdrawal', 'authorized', 'ada', 7, now(), 'h-late', 'r', now(), NULL);
    INSERT INTO bitcoin.sagas
        (kind, saga_id, step, rank, state, last_event, correlation_id, started_at, deadline_at, updated_at)
    VALUES ('deposit', 'late', 'expired', 1, 'failed', 'e', 'story', now(), now(), now())
"""


def test_the_deposits_that_are_not_paid_come_with_their_stories(emptied_database: str) -> None:
    with psycopg.connect(emptied_database) as connection:
        connection.execute(ROWS)

    async def scene() -> None:
        async with make_pool(emptied_database) as pool:
            found = await PostgresReceiptsRead(pool).unconfirmed(["h-open", "h-late", "h-paid", "h-unknown"])
            assert sorted(found, key=lambda each: each.invoice_id) == [
                Unconfirmed("late", "h-late", "story"),
                Unconfirmed("open", "h-open", ""),
            ]

    asyncio.run(scene())


def test_the_place_is_remembered(emptied_database: str) -> None:
    async def scene() -> None:
        async with make_pool(emptied_database) as pool:
            read = PostgresReceiptsRead(pool)
            assert await read.cursor() == ""
            for place in ("first", "second"):
                await read.go_on_at(place)
                assert await read.cursor() == place

    asyncio.run(scene())
