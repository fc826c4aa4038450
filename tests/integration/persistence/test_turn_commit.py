"""The commit of a turn on Postgres: races, broken connections, and what the port's contract cannot show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, TypeAlias

import psycopg
import pytest

from spark_actors.kernel.errors import ConstraintError, StaleVersionError, StorageUnavailableError
from spark_actors.messaging.unit_of_work import Change, Versioned
from spark_actors.persistence.connections import Statement
from spark_actors.persistence.errors import UNSTORABLE_VALUE
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from tests.fixtures.aggregates import a_mark, a_user, an_account, an_event, commit, created, forced
from tests.fixtures.application import TABLES

NewFactory: TypeAlias = Callable[..., PostgresUnitOfWorkFactory]


@pytest.fixture
def new_factory(database: str) -> Iterator[NewFactory]:
    """Makes factories on the test's database, each with a connection of its own."""
    with ExitStack() as stack:

        def make(context: str, **options: Any) -> PostgresUnitOfWorkFactory:
            return stack.enter_context(
                closing(PostgresUnitOfWorkFactory(database, context, TABLES[context], **options))
            )

        yield make


@pytest.fixture
def factory(new_factory: NewFactory) -> PostgresUnitOfWorkFactory:
    return new_factory("accounting")


def end_backends(connection: psycopg.Connection) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_of_two_who_decided_on_the_same_version_one_wins(
    new_factory: NewFactory, factory: PostgresUnitOfWorkFactory, connection: psycopg.Connection
) -> None:
    commit(factory(), [created("a", an_account("a"))])
    factories = [new_factory("accounting") for _ in range(4)]

    def write(number: int) -> str:
        try:
            commit(factories[number](), [Change("a", 1, 2, an_account("a", number))], marks=[a_mark(f"m{number}")])
        except StaleVersionError:
            return "stale"
        return "stored"

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(write, range(4))) == ["stale", "stale", "stale", "stored"]
    remembered = connection.execute("SELECT DISTINCT message_id FROM accounting.inbox").fetchall()
    assert len(remembered) == 1  # near the end of a week it stands in two of them


def test_a_stale_refusal_waits_for_the_writer_and_then_gives_way(
    factory: PostgresUnitOfWorkFactory, connection: psycopg.Connection
) -> None:
    commit(factory(), [created("a", an_account("a"))])
    connection.execute("BEGIN")
    connection.execute("UPDATE accounting.accounts SET version = 2")
    with ThreadPoolExecutor(1) as thread:
        refusal = thread.submit(commit, factory(), unchanged={"a": 1}, marks=[a_mark("refused")])
        wait_for_a_waiter(connection)
        connection.execute("COMMIT")
        with pytest.raises(StaleVersionError):
            refusal.result(timeout=10)


def wait_for_a_waiter(connection: psycopg.Connection) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while connection.execute(waiting).fetchone() == (0,):
        pass


def test_a_broken_connection_is_replaced(factory: PostgresUnitOfWorkFactory, connection: psycopg.Connection) -> None:
    commit(factory(), [created("a", an_account("a"))])
    end_backends(connection)
    with pytest.raises(StorageUnavailableError):
        commit(factory(), [Change("a", 1, 2, an_account("a", 5))])
    commit(factory(), [Change("a", 1, 2, an_account("a", 5))])
    end_backends(connection)
    with pytest.raises(StorageUnavailableError), factory() as uow:
        uow.repository.load(["a"])
    with factory() as uow:
        assert uow.repository.load(["a"]) == {"a": Versioned(an_account("a", 5), 2)}


def test_a_server_that_is_away_is_reported_as_such() -> None:
    factory = PostgresUnitOfWorkFactory("host=/nowhere dbname=spark", "accounting", TABLES["accounting"])
    with pytest.raises(StorageUnavailableError):
        commit(factory(), [created("a", an_account("a"))])


def test_a_value_that_postgres_cannot_hold_is_refused_and_harms_nobody(new_factory: NewFactory) -> None:
    factory = new_factory("auth")
    with pytest.raises(ConstraintError) as refused:
        commit(factory(), [created("a", a_user("a", "with\0zero"))])
    assert refused.value.constraint == UNSTORABLE_VALUE
    with pytest.raises(ConstraintError, match=UNSTORABLE_VALUE):
        commit(factory(), [created("a", a_user("a"))], marks=[a_mark("x")], events=[an_event("event", sequence=2**70)])
    commit(factory(), [created("a", a_user("a"))])


def test_an_error_tells_no_secrets(new_factory: NewFactory) -> None:
    factory = new_factory("auth")
    secret = forced(a_user("a"), username="")
    with pytest.raises(ConstraintError) as refused:
        commit(factory(), [created("a", secret)])
    assert refused.value.constraint == "users_username_not_empty"
    assert secret.password_hash not in str(refused.value)


def test_a_hint_is_sent_after_the_commit_and_only_when_there_are_events(
    factory: PostgresUnitOfWorkFactory, connection: psycopg.Connection
) -> None:
    connection.execute("LISTEN spark_outbox_accounting")
    commit(factory(), [created("a", an_account("a"))], marks=[a_mark("one")])
    assert list(connection.notifies(timeout=0)) == []
    commit(factory(), [created("b", an_account("b"))], events=[an_event("event")])
    [hint] = connection.notifies(timeout=5, stop_after=1)
    assert hint.channel == "spark_outbox_accounting"


@pytest.mark.parametrize(("prepare_threshold", "is_anything_held"), [(None, False), (0, True)])
def test_the_session_holds_prepared_statements_only_where_they_are_allowed(
    new_factory: NewFactory, prepare_threshold: int | None, is_anything_held: bool
) -> None:
    factory = new_factory("accounting", prepare_threshold=prepare_threshold)
    for number in range(3):
        commit(factory(), [created(f"{number}", an_account(f"{number}"))], marks=[a_mark(f"{number}")])
    [(held,)] = factory._connection.fetch(Statement(b"SELECT count(*) FROM pg_prepared_statements"))
    assert (held > 0) == is_anything_held


def test_updates_of_a_hot_row_touch_no_index(
    factory: PostgresUnitOfWorkFactory, connection: psycopg.Connection
) -> None:
    commit(factory(), [created("a", an_account("a"))])
    for version in range(1, 21):
        commit(factory(), [Change("a", version, version + 1, an_account("a", version))])
    factory.close()  # a backend reports its counts when it ends
    updates = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'accounting.accounts'::regclass"
    while connection.execute(updates).fetchone() == (0, 0):
        pass
    assert connection.execute(updates).fetchone() == (20, 20)
