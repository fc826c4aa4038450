"""Sessions: what the server lets them do, and when it lets them go."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from random import Random

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.kernel.errors import RowLockedError, StorageUnavailableError
from spark_actors.persistence import connections
from spark_actors.persistence.connections import (
    ORDINARY,
    PATIENT,
    TURN,
    Limits,
    Pool,
    Statement,
    TurnConnection,
    make_pool,
)
from tests.fixtures.daemon import eventually
from tests.fixtures.data_dirs import temporary_data_dir
from tests.fixtures.stores import Async

WHO = Statement(b"SELECT pg_backend_pid()")
WRITE = Statement(b"INSERT INTO auth.schema_migrations (name, checksum) VALUES ('a test', '')")
CONFIRM = "INSERT INTO auth.schema_migrations (name, checksum) VALUES (%s, '') RETURNING name"
WHICH = Statement(b"SELECT pg_postmaster_start_time()")
HOLD = "SELECT FROM auth.schema_migrations FOR UPDATE"


@pytest.fixture
def turns(database: str) -> Iterator[TurnConnection]:
    connection = TurnConnection(database)
    yield connection
    connection.close()


@pytest.mark.parametrize("limits", [TURN, ORDINARY, PATIENT])
def test_every_session_has_limits_on_the_servers_side(database: str, limits: Limits) -> None:
    asked = [*limits.settings, "client_connection_check_interval"]
    with connections.connect(database, limits) as connection:
        found = [connection.execute("SELECT setting FROM pg_settings WHERE name = %s", (name,)) for name in asked]
        values = [int(cursor.fetchall()[0][0]) for cursor in found]
    assert values == [*limits.settings.values(), 2000]
    assert all(values)


def test_the_sessions_of_a_pool_have_limits(database: str, run: Async) -> None:
    async def ask() -> str:
        async with make_pool(database) as pool, pool.connection() as connection:
            return str((await (await connection.execute("SHOW lock_timeout")).fetchall())[0][0])

    assert run(ask()) == "5s"


def test_what_the_dsn_says_of_limits_wins(database: str) -> None:
    own = make_conninfo(database, options="-c lock_timeout=7s -c work_mem=5MB")
    with connections.connect(own) as connection:
        found = [connection.execute(f"SHOW {name}").fetchone() for name in ("lock_timeout", "work_mem")]
    assert found == [("7s",), ("5MB",)]


def test_a_lock_that_is_not_to_be_had_is_told_from_a_store_that_is_away(database: str, turns: TurnConnection) -> None:
    with psycopg.connect(database) as outsider:
        outsider.execute("LOCK TABLE auth.schema_migrations IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(RowLockedError, match="55P03"):
            turns.transact([WRITE])
        with pytest.raises(RowLockedError):
            turns.fetch(Statement(b"SELECT count(*) FROM auth.schema_migrations"))
    turns.transact([WRITE])


WAITING = """
import sys
from spark_actors.persistence.connections import Limits, connect
with connect(sys.argv[1], Limits(lock=0, statement=0, idle=0)) as connection:
    print(connection.info.backend_pid, flush=True)
    connection.execute(sys.argv[2])
"""


@pytest.mark.parametrize("statement", ["SELECT pg_sleep(600)", HOLD], ids=["a long statement", "a lock"])
def test_the_backend_of_a_killed_client_ends_within_seconds(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as watcher, psycopg.connect(database) as outsider:
        outsider.execute(HOLD)
        with subprocess.Popen([sys.executable, "-c", WAITING, database, statement], stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            backend = int(client.stdout.readline())

            def state() -> list[tuple[object, ...]]:
                return watcher.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (backend,)).fetchall()

            assert eventually(lambda: state() == [("active",)], timeout=10)
            client.kill()
            assert eventually(lambda: state() == [], timeout=10)


def test_a_session_that_may_only_read_is_replaced(turns: TurnConnection) -> None:
    before = turns.fetch(WHO)
    turns.fetch(Statement(b"SELECT set_config('default_transaction_read_only', 'on', false)"))
    with pytest.raises(StorageUnavailableError, match="25006"):
        turns.transact([WRITE])
    turns.transact([WRITE])
    assert turns.fetch(WHO) != before


def test_a_pool_lets_go_of_a_session_that_may_only_read(database: str, run: Async) -> None:
    async def who(pool: Pool) -> tuple[int, bool]:
        async with pool.connection() as connection:
            pid = connection.info.backend_pid
            await connection.execute("SET default_transaction_read_only = on")
            return pid, connections.is_read_only(connection)

    async def play() -> list[tuple[int, bool]]:
        async with make_pool(database, max_size=1) as pool:
            return [await who(pool), await who(pool)]

    (first, is_read_only), (second, _) = run(play())
    assert is_read_only
    assert first != second


def test_nobody_works_in_a_transaction_that_a_cancelled_caller_has_left_open(database: str, run: Async) -> None:
    """Callers have time limits, so they are cancelled in the middle of anything. What is confirmed later must stay."""
    moments = Random(1)

    async def begins(pool: Pool) -> None:
        async with pool.connection() as connection, connection.pipeline(), connection.transaction():
            await connection.execute("SELECT 1")
            await (await connection.execute("SELECT pg_sleep(0.001)")).fetchall()
            await connection.execute("SELECT 1")

    async def scene() -> None:
        async with make_pool(database, max_size=1) as pool:
            for number in range(50):
                begun = asyncio.create_task(begins(pool))
                await asyncio.sleep(moments.uniform(0, 0.008))
                begun.cancel()
                await asyncio.wait([begun])
                async with pool.connection() as connection:
                    confirmed = await (await connection.execute(CONFIRM, (f"confirmed {number}",))).fetchall()
                assert confirmed == [(f"confirmed {number}",)]
                assert outsider.execute("DELETE FROM auth.schema_migrations WHERE checksum = ''").rowcount == 1

    with psycopg.connect(database, autocommit=True) as outsider:
        run(scene())


def test_of_two_hosts_the_new_primary_serves_once_the_old_one_may_only_read(
    postgres: EmbeddedPostgres, run: Async
) -> None:
    with temporary_data_dir() as data_dir:
        other = EmbeddedPostgres(data_dir, extra_settings={"shared_buffers": "16MB"}, durable=False)
        other.start()
        try:
            run(change_places(postgres, other))
        finally:
            make_read_only(postgres, "off")
            other.stop()


async def change_places(old: EmbeddedPostgres, new: EmbeddedPostgres) -> None:
    """The sessions on the old primary stay open, as behind a failover that cuts nothing."""
    dsn = of_both(old, new)
    make_read_only(new, "on")
    turns = TurnConnection(dsn)
    async with make_pool(dsn, max_size=1) as pool:
        assert turns.fetch(WHICH) == [identity_of(old)]
        make_read_only(old, "on")
        make_read_only(new, "off")
        with pytest.raises(StorageUnavailableError, match="25006"):
            turns.transact([Statement(b"CREATE TABLE made_by_a_turn ()")])
        turns.transact([Statement(b"CREATE TABLE made_by_a_turn ()")])
        assert turns.fetch(WHICH) == [identity_of(new)]
        async with pool.connection() as connection:  # what only reads is no 25006: the server has said it, though
            await connection.execute(WHICH.query)
        async with pool.connection() as connection:
            assert await (await connection.execute(WHICH.query)).fetchall() == [identity_of(new)]
    turns.close()


def of_both(first: EmbeddedPostgres, second: EmbeddedPostgres) -> str:
    ours, theirs = conninfo_to_dict(first.dsn()), conninfo_to_dict(second.dsn())
    with as_superuser(second) as connection:
        connection.execute(sql.SQL("ALTER ROLE spark PASSWORD {}").format(sql.Literal(ours["password"])))
    return make_conninfo(first.dsn(), host=f"{ours['host']},{theirs['host']}")


def identity_of(server: EmbeddedPostgres) -> tuple[object, ...] | None:
    with as_superuser(server) as connection:
        return connection.execute(WHICH.query).fetchone()


def make_read_only(server: EmbeddedPostgres, value: str) -> None:
    with as_superuser(server) as connection:
        connection.execute(sql.SQL("ALTER SYSTEM SET default_transaction_read_only = {}").format(sql.SQL(value)))
        connection.execute("SELECT pg_reload_conf()")
        shown = connection.execute
        assert eventually(lambda: shown("SHOW default_transaction_read_only").fetchone() == (value,), timeout=10)


def as_superuser(server: EmbeddedPostgres) -> psycopg.Connection:
    password = server._data_dir.secret("postgres-superuser-password")
    return psycopg.connect(server.dsn(), user="postgres", password=password, autocommit=True)
