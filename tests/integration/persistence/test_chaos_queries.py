"""What chaos does to a Postgres is done to the daemon's sessions, and is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from spark_actors.embedded.postgres import SUPERUSER, EmbeddedPostgres
from tests.lab.chaos.queries import ChaosQueries, Superuser, as_superuser

ADD = "INSERT INTO accounting.accounts (account_id, version, status, balance_sat) VALUES ('ann', 1, 'open', 5)"
DEPOSIT = "UPDATE accounting.accounts SET balance_sat = balance_sat + 1 WHERE account_id = 'ann'"

MISS = """
INSERT INTO accounting.missed_events
VALUES ('dashboard', 1, 'm', 'accounting.deposited', 1, 'ann', 1, '{}', 'c', 'c', now())
"""


@pytest.fixture
def queries(dsn_by_context: dict[str, str]) -> Iterator[ChaosQueries]:
    with psycopg.connect(dsn_by_context["accounting"]) as connection:
        connection.execute(ADD)
    with ChaosQueries(dsn_by_context) as queries:
        yield queries


@pytest.fixture
def superuser_dsn(postgres: EmbeddedPostgres, database: str) -> str:
    return as_superuser(database, SUPERUSER, postgres._data_dir.secret("postgres-superuser-password"))


def test_who_wants_a_locked_row_waits_until_it_is_free(queries: ChaosQueries, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '20ms'")
        with queries.account_locked("ann"), pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute(DEPOSIT)
        assert connection.execute(DEPOSIT).rowcount == 1
    assert queries.waiting_for_locks() == 0


def test_a_database_that_is_away_ends_its_sessions_and_takes_no_more_until_it_is_back(
    queries: ChaosQueries, new_database: Callable[[str], str], template_database: str, database: str
) -> None:
    views = new_database(template_database)
    dsn = {"accounting": database, "dashboard": views}
    with ChaosQueries(dsn) as apart, psycopg.connect(views, autocommit=True) as connection:
        with apart.views_away():
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT")
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(views)
            assert apart.balances() == {"ann": 5}
        assert apart.balances(seen=True) == {}


def test_open_sessions_may_only_read_while_the_server_has_turned_read_only(
    queries: ChaosQueries, database: str, superuser_dsn: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with Superuser(superuser_dsn) as superuser, superuser.turned_read_only():
            _wait_until_read_only(connection, "on")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute(DEPOSIT)
        _wait_until_read_only(connection, "off")
        assert connection.execute(DEPOSIT).rowcount == 1


def test_the_log_of_the_server_grows_by_whole_segments(superuser_dsn: str) -> None:
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        before = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()
        with Superuser(superuser_dsn) as superuser:
            superuser.fill_log(2)
        assert connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone() != before


def test_what_is_kept_for_who_missed_it_has_not_come_to_an_end(queries: ChaosQueries, database: str) -> None:
    assert queries.waiting() == []
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(MISS)
    assert queries.waiting() == ["missed by dashboard: accounting.deposited ann"]


def _wait_until_read_only(connection: psycopg.Connection, value: str) -> None:
    """The server tells its sessions in its own time."""
    while connection.execute("SHOW default_transaction_read_only").fetchone() != (value,):
        continue
