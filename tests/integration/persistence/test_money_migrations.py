"""Books that an earlier program has kept are taken over as they are, and stay safe."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from domain.accounting.account import MovementKind
from domain.application import APPLICATION
from domain.bitcoin.invoice import InvoiceState
from spark_actors.kernel.errors import ConstraintError
from spark_actors.messaging.unit_of_work import Change
from spark_actors.persistence.migrations import migrate, migrate_schema, migrations_of
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from tests.fixtures.aggregates import NOW, a_credit, a_movement, a_refund, a_withdrawal, commit, created
from tests.fixtures.application import TABLES

FIRST_OF_NOW = {"accounting": "accounting/0003", "bitcoin": "bitcoin/0003"}
ROWS = {
    "accounting": """
        INSERT INTO accounting.ledger VALUES
            ('deposit/d', '@lightning', 'alice', 100, 'deposit', NULL, now()),
            ('transfer/open/debit', 'alice', '@in-transit', 100, 'transfer_debit', NULL, now()),
            ('transfer/ended/debit', 'alice', '@in-transit', 100, 'transfer_debit', NULL, now()),
            ('transfer/ended/credit', '@in-transit', 'bob', 100, 'transfer_credit', 'transfer/ended/debit', now())
    """,
    "bitcoin": """
        INSERT INTO bitcoin.invoices VALUES
            ('rejected', 2, 'withdrawal', 'rejected', 'alice', 700, now(), 'h1', 'lnbc2', now(), NULL),
            ('failed', 3, 'withdrawal', 'failed', 'alice', 700, now(), 'h2', 'lnbc2', now(), NULL),
            ('paid', 3, 'withdrawal', 'paid', 'alice', 700, now(), 'h3', 'lnbc2', now(), '')
    """,
}


@pytest.fixture
def earlier(empty_database: str) -> str:
    """DSN of a database with rows as an earlier program wrote them, brought up to date since."""
    for context, rows in ROWS.items():
        migrations = [
            migration
            for migration in migrations_of(APPLICATION, context)
            if not (migration.name.startswith(f"{context}/") and migration.name >= FIRST_OF_NOW[context])
        ]
        with psycopg.connect(empty_database) as connection:
            migrate_schema(connection, context, migrations)
            connection.execute(rows.encode())
    assert {migration.context for migration in migrate(APPLICATION, dict.fromkeys(ROWS, empty_database))} == set(ROWS)
    return empty_database


def test_a_deposit_of_before_is_credited_once_whatever_it_was(earlier: str) -> None:
    factory = PostgresUnitOfWorkFactory(earlier, "accounting", TABLES["accounting"])
    with pytest.raises(ConstraintError, match="movement_key_unique"):
        commit(factory(), records=[a_movement("deposit/d")])
    of_invoice = a_movement("invoice/d", kind=MovementKind.INVOICE_DEPOSIT)
    with pytest.raises(ConstraintError, match="invoice_credited_once"):
        commit(factory(), records=[of_invoice])
    with psycopg.connect(earlier, autocommit=True) as connection:  # somebody knows that it was made by hand
        connection.execute("UPDATE accounting.ledger SET kind = 'manual_deposit' WHERE idempotency_key = 'deposit/d'")
    commit(factory(), records=[of_invoice])
    factory.close()


def test_what_was_in_transit_before_arrives_and_no_more_than_that(earlier: str) -> None:
    factory = PostgresUnitOfWorkFactory(earlier, "accounting", TABLES["accounting"])
    for other in (a_credit("open", amount_sat=1_000), a_refund("open", "bob"), a_refund("open", amount_sat=1)):
        with pytest.raises(ConstraintError, match="takes_up_what_it_follows"):
            commit(factory(), records=[other])
    commit(factory(), records=[a_credit("open")])
    with pytest.raises(ConstraintError, match="follows_once"):
        commit(factory(), records=[a_refund("ended")])
    factory.close()


def test_an_invoice_that_came_to_nothing_before_may_be_paid_now(earlier: str) -> None:
    factory = PostgresUnitOfWorkFactory(earlier, "bitcoin", TABLES["bitcoin"])
    loaded = factory().repository.load(["rejected", "failed", "paid"])
    held: dict[str, Any] = {name: found.state for name, found in loaded.items()}
    for name, state in held.items():
        assert (state.state, state.reason, state.settled_at) == (InvoiceState(name), None, None)
    commit(factory(), [created("w1", a_withdrawal("w1", "h1")), created("w2", a_withdrawal("w2", "h2"))])
    with pytest.raises(ConstraintError, match="payment_hash_unique"):
        commit(factory(), [created("w3", a_withdrawal("w3", "h3"))])
    ended = held["rejected"].failed("late", NOW + timedelta(days=1))
    commit(factory(), [Change("rejected", 2, 3, ended)])
    assert factory().repository.load(["rejected"])["rejected"].state == ended
    factory.close()
