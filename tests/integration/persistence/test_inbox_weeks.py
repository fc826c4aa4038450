"""The inbox on Postgres: once is once where one week ends, and what was remembered before stays known."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from domain.application import APPLICATION
from spark_actors.kernel.decisions import DONE, Outcome, Verdict
from spark_actors.kernel.errors import DuplicateMessageError
from spark_actors.messaging.unit_of_work import Handled
from spark_actors.persistence.maintenance import PostgresMaintenance
from spark_actors.persistence.migrations import Migration, migrate, migrate_schema, migrations_of
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from tests.fixtures.aggregates import a_mark, commit
from tests.fixtures.application import TABLES
from tests.fixtures.stores import PostgresStores

SHIFTED = """
CREATE OR REPLACE FUNCTION auth.week_of(moment timestamptz) RETURNS date LANGUAGE sql STABLE RETURN
    date_trunc('week', (moment + coalesce(current_setting('test.shift', true), '0')::interval) AT TIME ZONE 'UTC')::date
"""
"""A clock that each session may move for itself."""


@pytest.fixture
def around_midnight(database: str) -> Iterator[tuple[PostgresUnitOfWorkFactory, PostgresUnitOfWorkFactory]]:
    """Two hosts: one whose week ends in a minute, one whose week has begun a minute ago."""
    now = datetime.now(UTC)
    monday = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=7 - now.weekday())
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT auth.make_inbox_partitions(%s)", (monday,))  # the server may be from an earlier week
        connection.execute(SHIFTED)
    factories = []
    for seconds in (-60, 60):
        shift = int((monday - now).total_seconds()) + seconds
        factories.append(
            PostgresUnitOfWorkFactory(
                make_conninfo(database, options=f"-c test.shift={shift}s"), "auth", TABLES["auth"]
            )
        )
    yield (factories[0], factories[1])
    for factory in factories:
        factory.close()


def test_at_the_end_of_a_week_only_one_of_two_hosts_handles_a_message(
    around_midnight: tuple[PostgresUnitOfWorkFactory, PostgresUnitOfWorkFactory], connection: psycopg.Connection
) -> None:
    """Neither sees what the other has not committed: what they write must meet."""
    before, after = around_midnight
    with (
        psycopg.connect(connection.info.dsn, password=connection.info.password) as blocker,
        ThreadPoolExecutor(2) as threads,
    ):
        blocker.execute("LOCK TABLE auth.users IN EXCLUSIVE MODE")  # both are past the inbox, neither has committed
        asked = [
            threads.submit(commit, factory(), [_a_user(n)], marks=[a_mark("m")])
            for n, factory in enumerate((before, after))
        ]
        _until_waiting(connection, 2)
        blocker.rollback()
        errors = [future.exception() for future in asked]
    assert sorted(type(error).__name__ for error in errors) == ["DuplicateMessageError", "NoneType"]
    assert before().inbox.handled(["m"]) == after().inbox.handled(["m"]) == {"m": Handled(DONE, None)}


def test_what_was_handled_just_before_the_week_ended_is_known_just_after(
    around_midnight: tuple[PostgresUnitOfWorkFactory, PostgresUnitOfWorkFactory],
) -> None:
    before, after = around_midnight
    commit(before(), marks=[a_mark("early")])
    commit(after(), marks=[a_mark("late")])
    for factory, known in ((after, "early"), (before, "late")):
        with pytest.raises(DuplicateMessageError):
            commit(factory(), marks=[a_mark(known)])


def _a_user(number: int) -> Any:
    from tests.fixtures.aggregates import a_user, created

    return created(f"u{number}", a_user(f"u{number}"))


def _until_waiting(connection: psycopg.Connection, sessions: int) -> None:
    from tests.fixtures.daemon import eventually

    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    assert eventually(lambda: connection.execute(query).fetchone() == (sessions,), timeout=10)


# -- what was remembered before ids had the form that they have now --

DIGESTS = "messaging/0008_inbox_digests.sql"
OLD_IDS = {
    "user ann shop m 1": "ann m 1",
    "operator root my%20shop m-2": "m-2",
    "nobody @0123abcd cli m-3": "@0123abcd m-3",
    "lightning watcher node m-4": "watcher m-4",
    "1b671a64-40d5-491e-99b0-da01ff1f3341": "1b671a64-40d5-491e-99b0-da01ff1f3341",
}


@pytest.fixture
def migrated(empty_database: str) -> str:
    """A database that had handled something before the inbox kept digests."""
    migrations = migrations_of(APPLICATION, "auth")
    place = next(place for place, migration in enumerate(migrations) if migration.name == DIGESTS)
    with psycopg.connect(empty_database) as connection:
        _apply(connection, migrations[:place])
        for old in OLD_IDS.values():
            connection.execute(
                "INSERT INTO auth.inbox VALUES (%s, auth.week_of(now()), 'rejected', 'no', NULL)", (old,)
            )
    migrate(APPLICATION, {"auth": empty_database})
    return empty_database


def _apply(connection: psycopg.Connection, migrations: list[Migration]) -> None:
    migrate_schema(connection, "auth", migrations)


def test_what_was_handled_before_is_known_under_the_ids_of_now(migrated: str) -> None:
    factory = PostgresUnitOfWorkFactory(migrated, "auth", TABLES["auth"])
    no = Handled(Outcome(Verdict.REJECTED, "no"), None)
    assert factory().inbox.handled([*OLD_IDS, "user bob shop m 1"]) == dict.fromkeys(OLD_IDS, no)
    for known in OLD_IDS:
        with pytest.raises(DuplicateMessageError):
            commit(factory(), marks=[a_mark(known)])
    commit(factory(), marks=[a_mark("user bob shop m 1"), a_mark("user ann shop m 2")])
    factory.close()


def test_what_waited_before_or_an_older_release_handles_now_is_known_under_the_ids_of_now(migrated: str) -> None:
    """Both are marked under ids of the old form, in the new inbox."""
    factory = PostgresUnitOfWorkFactory(migrated, "auth", TABLES["auth"])
    commit(factory(), marks=[a_mark("ann late"), a_mark("late")])
    now = ["user ann shop late", "operator root shop late"]
    assert factory().inbox.handled([*now, "user bob shop late"]) == dict.fromkeys(now, Handled(DONE, None))
    for known in now:
        with pytest.raises(DuplicateMessageError):
            commit(factory(), marks=[a_mark(known)])
    factory.close()


def test_in_a_new_deployment_no_id_is_taken_for_one_of_before(stores: PostgresStores) -> None:
    commit(stores.unit_of_work("auth"), marks=[a_mark("ann late"), a_mark("late")])
    now = ["user ann shop late", "operator root shop late"]
    with stores.unit_of_work("auth") as uow:
        assert uow.inbox.handled(now) == {}
    commit(stores.unit_of_work("auth"), marks=[a_mark(name) for name in now])


def test_what_was_handled_before_is_forgotten_with_its_week(migrated: str, runner: Any) -> None:
    parts = """
        SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
        WHERE inhparent = 'auth.inbox_before'::regclass
    """
    with PostgresStores(migrated, runner) as stores, psycopg.connect(migrated, autocommit=True) as connection:
        housekeeping = PostgresMaintenance(stores._pool, "auth")
        stores.run(housekeeping.run(datetime.now(UTC)))
        [(part,)] = connection.execute(parts).fetchall()
        connection.execute(f"ALTER TABLE auth.{part} RENAME TO inbox_before_19260104".encode())
        stores.run(housekeeping.run(datetime.now(UTC)))
        assert connection.execute(parts).fetchall() == []


def test_a_new_deployment_has_nothing_to_look_through(connection: psycopg.Connection) -> None:
    parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'auth.inbox_before'::regclass"
    assert connection.execute(parts).fetchone() == (0,)
    plan = connection.execute("EXPLAIN SELECT FROM auth.inbox_before").fetchall()
    assert any("One-Time Filter: false" in line for (line,) in plan), plan
