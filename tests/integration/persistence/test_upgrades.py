"""What an earlier release has left in a database is carried over: stories, donations, what people are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import psycopg
import pytest

from domain.application import APPLICATION
from domain.crowdfunding.campaign import Donation
from domain.shared.money import Satoshis
from spark_actors.kernel.errors import ConstraintError
from spark_actors.messaging.unit_of_work import Change
from spark_actors.persistence.migrations import migrate_schema, migrations_of
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from tests.fixtures.aggregates import a_campaign, a_request, commit
from tests.fixtures.application import TABLES

NOW = datetime(2026, 3, 4, tzinfo=UTC)
CAMPAIGN = (
    "INSERT INTO crowdfunding.campaigns VALUES ('campaign', 1, 'bob', 'Wells', 'Water', 500, now(), 100, 1, false)"
)
SAGA = """
INSERT INTO crowdfunding.sagas
    (kind, saga_id, step, rank, state, last_event, correlation_id, started_at, deadline_at, updated_at)
VALUES ('donation', %s, 'requested', %s, %s, 'an-event', %s, now(), now(), now())
"""
REQUESTED = """
INSERT INTO crowdfunding.outbox
    (message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at)
VALUES ('m1', 'crowdfunding.donation-requested', 1, 'campaign', 1, '{"donation_id": "sent"}', 'm0', 'm0', now())
"""
PARKED_KEY = """
INSERT INTO crowdfunding.parked_keys VALUES ('accounting', 'campaign', 'parked', 'poison', now(), 'daemon')
"""
PARKED = """
INSERT INTO crowdfunding.parked_messages
    (subscriber, key, message_id, name, version, data, correlation_id, causation_id, occurred_at, sequence)
VALUES ('accounting', 'campaign', 'm2', 'crowdfunding.donation-requested', 1, '{"donation_id": "parked"}', 'm', 'm',
        now(), 2)
"""


def upgraded(dsn: str, context: str, since: Iterable[str], *statements: str) -> None:
    """Have *statements* run on the schema as it was before the migrations *since*, and then apply these."""
    later = [each for each in migrations_of(APPLICATION, context) if re.sub(r"/\d+_", "/", each.name) in set(since)]
    assert later
    earlier = [migration for migration in migrations_of(APPLICATION, context) if migration not in later]
    with psycopg.connect(dsn) as connection:
        migrate_schema(connection, context, earlier)
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute("SET LOCAL search_path TO DEFAULT")
    with psycopg.connect(dsn) as connection:
        assert migrate_schema(connection, context, migrations_of(APPLICATION, context)) == later


def saga(saga_id: str, story: str, state: str = "running", rank: int = 0) -> str:
    return SAGA.replace("%s", "{!r}").format(saga_id, rank, state, story)


@pytest.fixture
def campaigns(empty_database: str) -> str:
    """A database of an earlier release with a donation that is registered and others that are under way."""
    upgraded(
        empty_database,
        "crowdfunding",
        ["messaging/sagas_by_story.sql", "crowdfunding/donation_requests.sql"],
        CAMPAIGN,
        "INSERT INTO crowdfunding.donations VALUES ('registered', 'campaign', 'alice', 100, now())",
        saga("registered", "s1", "completed", 2),
        saga("under-way", "s2"),
        saga("said-to-have-failed", "s3", "failed", 1),
        saga("sent", "s4"),
        REQUESTED,
        PARKED_KEY,
        PARKED,
    )
    return empty_database


def donation(donation_id: str, amount_sat: int = 70) -> Donation:
    return Donation(donation_id, "campaign", "alice", Satoshis(amount_sat), NOW)


UNDER_WAY = ("under-way", "said-to-have-failed", "sent", "parked")


@pytest.mark.parametrize("donation_id", UNDER_WAY)
def test_a_donation_that_was_under_way_is_registered(campaigns: str, donation_id: str) -> None:
    units = PostgresUnitOfWorkFactory(campaigns, "crowdfunding", TABLES["crowdfunding"])
    commit(units(), [Change("campaign", 1, 2, a_campaign("campaign", 170, 2))], records=[donation(donation_id)])
    with pytest.raises(ConstraintError, match="donation_registered_once"):
        commit(units(), records=[donation(donation_id)])
    units.close()


@pytest.mark.parametrize("donation_id", ["registered", *UNDER_WAY])
def test_an_id_that_was_used_before_is_used_up(campaigns: str, donation_id: str) -> None:
    units = PostgresUnitOfWorkFactory(campaigns, "crowdfunding", TABLES["crowdfunding"])
    with pytest.raises(ConstraintError, match="donation_requested_once"):
        commit(units(), records=[a_request(donation_id)])
    units.close()


def test_what_nobody_requested_before_is_not_registered_after(campaigns: str) -> None:
    units = PostgresUnitOfWorkFactory(campaigns, "crowdfunding", TABLES["crowdfunding"])
    with pytest.raises(ConstraintError, match="registered_as_requested"):
        commit(units(), records=[donation("never")])
    units.close()


def test_stories_keep_their_rows_and_others_of_the_same_id_get_theirs(campaigns: str) -> None:
    with psycopg.connect(campaigns) as connection:
        connection.execute(saga("under-way", "another", "failed", 1).encode())
        rows = connection.execute(
            "SELECT correlation_id, state FROM crowdfunding.sagas WHERE saga_id = 'under-way' ORDER BY 1"
        ).fetchall()
    assert rows == [("another", "failed"), ("s2", "running")]


SHOWN = (
    """INSERT INTO dashboard.donations VALUES
        ('gift', 'wells', 'alice', 60, now(), 'registered', 3, true, '', now()),
        ('poor', 'wells', 'alice', 60, now(), 'rejected', 2, true, 'insufficient_funds', now()),
        ('spam', 'wells', 'eve', -1000000000000000000, now(), 'rejected', 2, true, 'invalid_amount', now())""",
    """INSERT INTO dashboard.invoices VALUES
        ('in', 'alice', 'deposit', 60, now(), 'issued', 2, false, '', now()),
        ('spam', 'eve', 'withdrawal', -5, now(), 'rejected', 0, true, 'invalid_amount', now())""",
    """INSERT INTO dashboard.activity
        (occurred_at, message_id, event, event_key, account_id, correlation_id, causation_id, data) VALUES
        (now(), 'm1', 'auth.registration-rejected', 'alice', 'alice', 's', 's', '{"username": "a chosen text"}'),
        (now(), 'm2', 'crowdfunding.donation-rejected', 'wells', 'eve', 's', 's', '{"reason": "own_campaign"}'),
        (now(), 'm3', 'crowdfunding.donation-rejected', 'wells', 'alice', 's', 's', '{"reason": "insufficient_funds"}'),
        (now(), 'm4', 'auth.account-registered', 'alice', 'alice', 's', 's', '{}')""",
)


def test_what_was_refused_at_once_is_shown_to_nobody_any_more(empty_database: str) -> None:
    upgraded(empty_database, "dashboard", ["dashboard/nothing_of_the_refused.sql"], *SHOWN)
    with psycopg.connect(empty_database) as connection:
        donations = connection.execute("SELECT donation_id FROM dashboard.donations ORDER BY 1").fetchall()
        invoices = connection.execute("SELECT invoice_id FROM dashboard.invoices").fetchall()
        activity = connection.execute("SELECT message_id FROM dashboard.activity ORDER BY 1").fetchall()
    assert donations == [("gift",), ("poor",)]
    assert invoices == [("in",)]
    assert activity == [("m3",), ("m4",)]
