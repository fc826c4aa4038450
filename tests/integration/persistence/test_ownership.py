"""One daemon at a time works on a deployment's tables, and keeps the right to for as long as it lives."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator

import psycopg
import pytest

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.persistence.ownership import OwnedElsewhereError, OwnerLock, deployment_id, place_of
from tests.fixtures.daemon import eventually

Make = Callable[[str], OwnerLock]


@pytest.fixture
def lock_on() -> Iterator[Make]:
    """Makes locks that are released in the end."""
    locks: list[OwnerLock] = []

    def make(dsn: str) -> OwnerLock:
        locks.append(OwnerLock([dsn]))
        return locks[-1]

    yield make
    for lock in locks:
        lock.release()


def end_owners(dsn: str) -> None:
    """As if the server had been restarted."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '%spark owner%' AND datname = current_database()"
        )


def owners(dsn: str) -> list[int]:
    """The process ids of the sessions that have the lock."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
    return [pid for (pid,) in rows]


def test_a_second_owner_is_refused_in_words_that_name_the_first(database: str, lock_on: Make) -> None:
    first, second = lock_on(database), lock_on(database)
    first.take()
    with pytest.raises(OwnedElsewhereError) as refused:
        second.take(patience_seconds=0)
    assert f"process {os.getpid()} on " in str(refused.value)
    assert place_of(database) in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
    first.release()
    second.take()


def test_owners_of_other_tables_do_not_meet(
    template_database: str, new_database: Callable[[str], str], lock_on: Make
) -> None:
    lock_on(new_database(template_database)).take()
    lock_on(new_database(template_database)).take(patience_seconds=0)


def test_whoever_cannot_have_all_of_its_databases_keeps_none(
    template_database: str, new_database: Callable[[str], str], lock_on: Make
) -> None:
    mine, taken = sorted(new_database(template_database) for _ in range(2))
    lock_on(taken).take()
    both = OwnerLock([mine, taken])
    with pytest.raises(OwnedElsewhereError):
        both.take(patience_seconds=0)
    lock_on(mine).take(patience_seconds=0)


def test_a_lost_session_is_made_anew(database: str, lock_on: Make) -> None:
    lock = lock_on(database)
    lock.take()
    (before,) = owners(database)
    end_owners(database)
    lock.watch()
    assert eventually(lambda: owners(database) not in ([], [before]))
    with pytest.raises(OwnedElsewhereError):
        lock_on(database).take(patience_seconds=0)
    assert (lock.lost, lock.problem) == (None, None)


def test_who_comes_meanwhile_owns_the_tables_and_the_first_learns_it(database: str, lock_on: Make) -> None:
    first, second = lock_on(database), lock_on(database)
    first.take()
    end_owners(database)
    second.take()
    first.watch()
    assert eventually(lambda: first.lost is not None)
    assert "belong to another daemon" in str(first.lost)


def test_without_postgres_nothing_is_owned() -> None:
    with pytest.raises(StorageUnavailableError):
        OwnerLock(["host=127.0.0.1 port=1 dbname=x connect_timeout=1"]).take()


def test_a_deployment_is_known_by_where_its_tables_are_and_not_by_who_asks() -> None:
    assert deployment_id("postgresql://u:old@db/spark") == deployment_id("host=db port=5432 dbname=spark user=v")
    assert deployment_id("host=db dbname=spark") != deployment_id("host=db dbname=spark2")
