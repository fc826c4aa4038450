"""Schemas are brought up to date once, whoever asks and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest

from domain.application import APPLICATION
from domain.bitcoin.context import CONTEXT as BITCOIN
from domain.bitcoin.tasks import MakeInvoice, PayInvoice, WatchInvoice
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.envelope import decode_data
from spark_actors.messaging.ports import ListedTask
from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.migrations import (
    Migration,
    MigrationError,
    migrate,
    migrate_schema,
    migrations_of,
)
from spark_actors.persistence.tasks import PostgresDurableTasks
from tests.fixtures.application import SCHEMAS, WRITING

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def a_migration(text: str, number: int = 1) -> Migration:
    return Migration("auth", f"auth/{number:04}_words.sql", text.encode())


def test_an_empty_database_gets_every_schema_once(empty_database: str) -> None:
    dsn_by_context = dict.fromkeys(SCHEMAS, empty_database)
    assert migrate(APPLICATION, dsn_by_context) == [
        migration for context in SCHEMAS for migration in migrations_of(APPLICATION, context)
    ]
    assert migrate(APPLICATION, dsn_by_context) == []


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding_is_refused_before_anything_is_made(
    postgres: EmbeddedPostgres, empty_database: str, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0".encode()
        )
    wanted = {"auth": empty_database, "accounting": postgres.dsn(name)}
    with pytest.raises(MigrationError, match=f"^schema accounting: .* encoding is {encoding}, expected UTF8: make one"):
        migrate(APPLICATION, wanted)
    for dsn in wanted.values():
        with psycopg.connect(dsn) as connection:
            found = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname IN ('auth', 'accounting')")
            assert found.fetchone() in [(0,), (b"0",)]


def test_every_write_context_has_inbox_outbox_sagas_and_dead_letters(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "SELECT table_schema FROM information_schema.tables"
        " WHERE table_name IN ('inbox', 'outbox', 'sagas', 'dead_letters') GROUP BY 1 HAVING count(*) = 4"
    ).fetchall()
    assert {schema for (schema,) in found} == set(WRITING)


def test_the_ingress_has_dead_letters_what_operators_did_and_where_everything_runs(
    connection: psycopg.Connection,
) -> None:
    found = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'ingress'")
    cluster = {"trees", "places", "nodes", "pools", "hand_overs", "keys_in_use"}
    assert {table for (table,) in found} == {"dead_letters", "operator_actions", "schema_migrations", *cluster}


def test_every_constraint_and_index_was_given_a_name(connection: psycopg.Connection) -> None:
    generated = connection.execute(
        "SELECT conrelid::regclass, conname FROM pg_constraint"
        " WHERE contype IN ('c', 'u', 'f') AND conname ~ '(_check|_key|_fkey)[0-9]*$'"
        " AND connamespace::regnamespace::text IN ('auth', 'accounting', 'crowdfunding', 'bitcoin', 'ingress')"
    ).fetchall()
    assert generated == []


def test_those_who_come_at_once_wait_and_find_nothing_to_do(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(partial(migrate, APPLICATION), [{"auth": empty_database}] * 4))
    assert sorted(map(len, results)) == [0, 0, 0, len(migrations_of(APPLICATION, "auth"))]


def test_only_what_is_missing_is_applied(empty_database: str) -> None:
    first, second = a_migration("CREATE TABLE one ()"), a_migration("CREATE TABLE two ()", 2)
    with psycopg.connect(empty_database) as connection:
        assert migrate_schema(connection, "auth", [first]) == [first]
        assert migrate_schema(connection, "auth", [first, second]) == [second]
        assert connection.execute("SELECT FROM auth.one, auth.two").rowcount == 0


def test_a_migration_that_was_changed_afterwards_is_refused(empty_database: str) -> None:
    migration = a_migration("CREATE TABLE one ()")
    with psycopg.connect(empty_database) as connection:
        migrate_schema(connection, "auth", [migration])
        with pytest.raises(MigrationError, match="auth/0001_words.sql was changed after it was applied"):
            migrate_schema(connection, "auth", [replace(migration, text=b"CREATE TABLE other ()")])


def test_a_database_of_a_newer_program_is_refused(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        migrate_schema(connection, "auth", [a_migration("CREATE TABLE one ()")])
        with pytest.raises(MigrationError, match="newer than this program"):
            migrate_schema(connection, "auth", [])


def test_a_schema_changes_as_a_whole_or_not_at_all(empty_database: str) -> None:
    broken = [a_migration("CREATE TABLE one ()"), a_migration("CREATE TABLE one ()", 2)]
    with pytest.raises(psycopg.errors.DuplicateTable), psycopg.connect(empty_database) as connection:
        migrate_schema(connection, "auth", broken)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regnamespace('auth')").fetchone() == (None,)


def test_a_context_whose_name_is_no_plain_word_is_refused(empty_database: str) -> None:
    with pytest.raises(MigrationError, match="not a plain word"), psycopg.connect(empty_database) as connection:
        migrate_schema(connection, 'a"b', [])


def test_a_database_that_is_away_is_reported_as_such() -> None:
    with pytest.raises(StorageUnavailableError):
        migrate(APPLICATION, {"auth": "host=/nowhere dbname=spark connect_timeout=1"})


def test_an_empty_key_that_an_operator_has_paused_waits_no_longer(empty_database: str) -> None:
    everything = migrations_of(APPLICATION, "accounting")
    before = [each for each in everything if each.name != "messaging/0011_no_empty_keys.sql"]
    with psycopg.connect(empty_database) as connection:
        migrate_schema(connection, "accounting", before)
        connection.execute(
            "INSERT INTO parked_keys VALUES ('commands', '', 'paused', 'let me look', now(), 'zoe'),"
            " ('commands', 'ann', 'paused', 'let me look', now(), 'zoe')"
        )
        migrate_schema(connection, "accounting", everything)
        assert connection.execute("SELECT key FROM parked_keys").fetchall() == [("ann",)]
        told = connection.execute("SELECT action, subscriber, key, detail FROM operator_actions").fetchall()
    assert told == [("resume", "commands", "", "let me look")]


async def _due(dsn: str) -> Sequence[ListedTask]:
    async with make_pool(dsn) as pool:
        tasks = PostgresDurableTasks(pool, "bitcoin")
        kinds = (MakeInvoice, WatchInvoice, PayInvoice)
        return [each for kind in kinds for each in await tasks.due(kind.TYPE.name, NOON, 10)]


FORMER = "(invoice_id, kind, amount_sat, payment_hash, payment_request, due_at, correlation_id, causation_id, attempts)"


def test_what_was_to_be_asked_of_the_lightning_node_is_a_task_also_for_the_release_before(
    empty_database: str,
) -> None:
    everything = migrations_of(APPLICATION, "bitcoin")
    before = [each for each in everything if each.name != "bitcoin/0004_tasks.sql"]
    asked = [
        ("d-1", "issue", 70, "", "", NOON, "story", "e-1", 0),
        ("d-2", "watch", 70, "h2", "lnbc2", NOON, "story", "e-2", 3),
        ("w-1", "pay", 70, "h3", "lnbc3 ü", NOON, "story", "e-3", 1),
    ]
    with psycopg.connect(empty_database) as connection:
        migrate_schema(connection, "bitcoin", before)
        for row in asked:
            connection.execute(f"INSERT INTO lightning_tasks {FORMER} VALUES ({'%s,' * 8} %s)".encode(), row)
        migrate_schema(connection, "bitcoin", everything)
    due = asyncio.run(_due(empty_database))
    registry = MessageRegistry(BITCOIN.messages)
    assert sorted((decode_data(registry, each.envelope) for each in due), key=repr) == [
        MakeInvoice(invoice_id="d-1", amount_sat=70),
        PayInvoice(invoice_id="w-1", amount_sat=70, payment_hash="h3", payment_request="lnbc3 ü"),
        WatchInvoice(invoice_id="d-2", payment_hash="h2"),
    ]
    assert {(each.envelope.message_id, each.attempts, each.is_scheduled) for each in due} == {
        ("e-1/0", 0, False),
        ("e-2/0", 3, False),
        ("e-3/0", 1, False),
    }
    with psycopg.connect(empty_database) as connection:  # as the release before does it
        added = ("w-2", "pay", 7, "h4", "lnbc4", NOON, "story", "e-4", 0)
        for _ in range(2):
            connection.execute(
                f"INSERT INTO bitcoin.lightning_tasks {FORMER} SELECT * FROM (VALUES (%s, %s, %s::bigint, %s, %s,"
                " %s::timestamptz, %s, %s, %s::int)) AS new ON CONFLICT DO NOTHING".encode(),
                added,
            )
        connection.execute(
            "UPDATE bitcoin.lightning_tasks AS task SET due_at = new.due_at, attempts = new.attempts"
            " FROM (VALUES ('w-2', 'pay', %s::timestamptz, 5)) AS new (invoice_id, kind, due_at, attempts)"
            " WHERE task.invoice_id = new.invoice_id AND task.kind = new.kind",
            (NOON + timedelta(minutes=1),),
        )
        connection.execute("DELETE FROM bitcoin.lightning_tasks WHERE invoice_id = 'w-1'")
        found = connection.execute("SELECT * FROM bitcoin.lightning_tasks ORDER BY invoice_id").fetchall()
        assert found == [
            asked[0],
            ("d-2", "watch", 0, "h2", "", NOON, "story", "e-2", 3),
            (*added[:5], NOON + timedelta(minutes=1), "story", "e-4", 5),
        ]
