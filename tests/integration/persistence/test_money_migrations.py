"""Books that an earlier program has kept are taken over as they are, and stay safe."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from domain.accounting.account import LIGHTNING, Movement, MovementKind
from domain.application import APPLICATION
from domain.bitcoin.invoice import InvoiceState
from domain.shared.money import Satoshis
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


FEES = {"accounting": "accounting/0005", "bitcoin": "bitcoin/0008"}
BEFORE_FEES = {
    "accounting": """
        INSERT INTO accounting.accounts VALUES ('alice', 3, 'open', 30);
        INSERT INTO accounting.ledger VALUES
            ('deposit/d', '@lightning', 'alice', 100, 'manual_deposit', NULL, now()),
            ('withdrawal/open/debit', 'alice', '@lightning', 70, 'withdrawal', NULL, now())
    """,
    "bitcoin": """
        INSERT INTO bitcoin.invoices VALUES
            ('own', 2, 'deposit', 'issued', 'bob', 70, now(), 'h', 'lnbc2', now(), NULL, NULL, NULL),
            ('open', 2, 'withdrawal', 'authorized', 'alice', 70, now(), 'h', 'lnbc2', now(), NULL, NULL, NULL)
    """,
}


@pytest.fixture
def before_fees(empty_database: str) -> str:
    """DSN of a database with a withdrawal under way, of a release without fees, brought up to date since."""
    for context, rows in BEFORE_FEES.items():
        migrations = [
            migration
            for migration in migrations_of(APPLICATION, context)
            if not (migration.name.startswith(f"{context}/") and migration.name >= FEES[context])
        ]
        with psycopg.connect(empty_database) as connection:
            migrate_schema(connection, context, migrations)
            connection.execute(rows.encode())
    applied = migrate(APPLICATION, dict.fromkeys(BEFORE_FEES, empty_database))
    assert all(migration.is_expanding for migration in applied)
    assert {migration.context for migration in applied} == set(BEFORE_FEES)
    return empty_database


@pytest.mark.parametrize("state", [InvoiceState.PAID, InvoiceState.FAILED])
def test_a_withdrawal_of_before_there_were_fees_ends_without_them(before_fees: str, state: InvoiceState) -> None:
    """Though it pays the invoice of a deposit here, as was allowed then."""
    invoices = PostgresUnitOfWorkFactory(before_fees, "bitcoin", TABLES["bitcoin"])
    held: Any = invoices().repository.load(["open"])["open"].state
    assert (held.fee_reserve_sat, held.fee_sat) == (None, None)
    preimage = "proof" if state is InvoiceState.PAID else None
    ended = replace(held, state=state, settled_at=NOW, preimage=preimage)
    commit(invoices(), [Change("open", 2, 3, ended)])
    invoices.close()
    ledger = PostgresUnitOfWorkFactory(before_fees, "accounting", TABLES["accounting"])
    account: Any = ledger().repository.load(["alice"])["alice"].state
    assert (account.drawn_on, account.drawn_sat) == (None, 0)
    refund = Movement(
        *("withdrawal/open/refund", LIGHTNING, "alice", Satoshis(70), MovementKind.WITHDRAWAL_REFUND, NOW),
        follows="withdrawal/open/debit",
    )
    commit(ledger(), records=[refund])
    ledger.close()


def test_what_a_release_without_fees_writes_beside_this_one_is_let_in(before_fees: str) -> None:
    with psycopg.connect(before_fees, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO bitcoin.invoices (invoice_id, version, kind, state, account_id, amount_sat, requested_at,"
            " payment_hash, payment_request, expires_at)"
            " VALUES ('new', 1, 'withdrawal', 'requested', 'alice', 5, now(), 'h2', 'r', now())"
        )
        connection.execute("UPDATE bitcoin.invoices SET state = 'authorized', version = 2 WHERE invoice_id = 'new'")
        connection.execute(
            "INSERT INTO accounting.accounts (account_id, version, status, balance_sat) VALUES ('bob', 1, 'open', 0)"
        )
        connection.execute(
            "INSERT INTO accounting.ledger (idempotency_key, debit_account, credit_account, amount_sat, kind, follows,"
            " payee, recorded_at, sent_by) VALUES"
            " ('transfer/t/debit', 'alice', '@in-transit', 5, 'transfer_debit', NULL, 'bob', now(), ''),"
            " ('transfer/t/credit', '@in-transit', 'bob', 5, 'transfer_credit', 'transfer/t/debit', NULL, now(), '')"
        )


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
