"""The relay's reads on Postgres: nothing is missed, and they cost the same whatever lies around."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.missed import Missed
from spark_actors.messaging.ports import PendingMessage
from spark_actors.persistence.outbox import PostgresOutboxReader
from spark_actors.persistence.statements import load_for
from spark_actors.persistence.tuning import RISE_DISTANCE
from tests.fixtures.aggregates import an_event, commit
from tests.fixtures.stores import Async, PostgresStores

ADD = load_for("outbox", "auth")["add"]
SOME = RISE_DISTANCE + 500
"""Rows enough for the floor to rise."""


def fill(connection: psycopg.Connection, rows: int, name: str = "filler") -> None:
    connection.execute(
        "INSERT INTO auth.outbox"
        " (message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at)"
        " SELECT %s || number, 'auth.account-registered', 1, 'key', 1, '{}', '', '', now()"
        " FROM generate_series(1, %s) AS number",
        (name, rows),
    )


async def drain(reader: PostgresOutboxReader) -> list[PendingMessage]:
    """Read and settle until nothing waits."""
    drained: list[PendingMessage] = []
    while page := await reader.pending(skip=(), limit=1_000):
        await reader.settle([one.position for one in page])
        drained += page
    return drained


def reads(plan: Any) -> int:
    """Pages that a plan touched."""
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def cost_of_a_read(connection: psycopg.Connection, floor: int) -> int:
    return cost(
        connection,
        load_for("outbox", "auth")["pending"],
        {"floor": floor, "skip": [], "limit": 100, "subscribers": ["dashboard"]},
    )


def cost(connection: psycopg.Connection, query: bytes, params: Mapping[str, object]) -> int:
    """Pages that a statement touches."""
    row = connection.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) " + query, params).fetchone()
    return reads(json.loads(json.dumps(row))[0][0]["Plan"])


def test_a_row_that_becomes_visible_late_is_found_by_the_next_read(
    stores: PostgresStores, run: Async, database: str, connection: psycopg.Connection
) -> None:
    reader = PostgresOutboxReader(stores._pool, "auth", ["dashboard"])
    with psycopg.connect(database) as slow:
        fill(slow, 1, "slow")
        fill(connection, SOME)
        assert len(run(drain(reader))) == SOME
        for _ in range(3):
            assert run(reader.pending(skip=(), limit=10)) == []
        slow.commit()
    [late] = run(reader.pending(skip=(), limit=10))
    assert late.envelope.message_id == "slow1"


def test_a_writer_that_drew_its_position_first_and_wrote_last_is_not_overtaken(
    stores: PostgresStores, run: Async, database: str, connection: psycopg.Connection
) -> None:
    """The worst case, an INSERT in slow motion: it locks the table, draws its position, writes its row long after."""
    reader = PostgresOutboxReader(stores._pool, "auth", ["dashboard"])
    with psycopg.connect(database) as slow:
        slow.execute("LOCK TABLE auth.outbox IN ROW EXCLUSIVE MODE")
        [position] = slow.execute("SELECT nextval('auth.outbox_position_seq')").fetchone() or (0,)
        fill(connection, SOME)
        run(drain(reader))
        run(drain(reader))
        slow.execute(
            "INSERT INTO auth.outbox VALUES (%s, 'slow', 'auth.account-registered', 1, 'k', 1, '{}', '', '', now())",
            (position,),
        )
        slow.commit()
    assert [one.position for one in run(reader.pending(skip=(), limit=10))] == [position]


def test_a_read_does_not_walk_through_what_was_settled(
    stores: PostgresStores, run: Async, database: str, connection: psycopg.Connection
) -> None:
    """With a transaction, idle and with an id, that keeps the dead rows from being cleaned away, as a backup would."""
    reader = PostgresOutboxReader(stores._pool, "auth", ["dashboard"])
    with psycopg.connect(database) as backup:
        backup.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        backup.execute("SELECT count(*) FROM auth.outbox")
        backup.execute("SELECT pg_current_xact_id()")
        fill(connection, 20_000)
        run(drain(reader))
        fill(connection, 1)
        run(drain(reader))
        run(reader.pending(skip=(), limit=1))
        without, with_floor = cost_of_a_read(connection, 0), cost_of_a_read(connection, reader._floor.position)
    assert without > 200
    assert with_floor < 20


def test_a_read_costs_the_same_before_a_big_backlog(connection: psycopg.Connection) -> None:
    fill(connection, 200)
    connection.execute("ANALYZE auth.outbox")
    small = cost_of_a_read(connection, 0)
    fill(connection, 30_000)
    connection.execute("ANALYZE auth.outbox")
    assert cost_of_a_read(connection, 0) <= small + 10


def test_the_floor_stays_under_a_parked_row(stores: PostgresStores, run: Async, connection: psycopg.Connection) -> None:
    reader = PostgresOutboxReader(stores._pool, "auth", ["dashboard"])

    async def relay_all_but_the_first() -> int:
        [parked] = await reader.pending(skip=(), limit=1)
        while page := await reader.pending(skip=[parked.position], limit=1_000):
            await reader.settle([one.position for one in page])
        await reader.pending(skip=[parked.position], limit=1_000)
        return parked.position

    fill(connection, SOME)
    parked = run(relay_all_but_the_first())
    fill(connection, SOME)
    assert run(relay_all_but_the_first()) == parked
    assert [one.position for one in run(reader.pending(skip=(), limit=10))] == [parked]


def test_after_a_change_of_servers_the_read_begins_from_the_bottom(
    stores: PostgresStores, run: Async, connection: psycopg.Connection
) -> None:
    reader = PostgresOutboxReader(stores._pool, "auth", ["dashboard"])
    fill(connection, SOME)
    run(drain(reader))
    run(reader.pending(skip=(), limit=1))
    assert reader._floor.position > RISE_DISTANCE
    # As after a failover that lost the newest rows: positions come again.
    connection.execute("SELECT setval('auth.outbox_position_seq', 1, false)")
    assert reader._floor.server is not None
    reader._floor.server -= timedelta(seconds=1)
    fill(connection, 1)
    assert len(run(reader.pending(skip=(), limit=10))) == 1


def test_readers_and_writers_at_once_lose_nothing(stores: PostgresStores, run: Async) -> None:
    reader = PostgresOutboxReader(stores._pool, "auth", ["dashboard"])

    def write() -> None:
        for turn in range(60):
            commit(stores.unit_of_work("auth"), events=[an_event(f"{turn}-{number}") for number in range(50)])

    async def read_along() -> list[str]:
        writing = asyncio.create_task(asyncio.to_thread(write))
        seen: list[str] = []
        while not writing.done():
            seen += [one.envelope.message_id for one in await drain(reader)]
        await writing
        return seen + [one.envelope.message_id for one in await drain(reader)]

    assert run(read_along()) == [f"{turn}-{number}" for turn in range(60) for number in range(50)]


def test_a_server_that_went_away_is_reported_and_then_forgotten(
    stores: PostgresStores, run: Async, connection: psycopg.Connection
) -> None:
    reader = stores.outbox_reader("auth")
    fill(connection, 1)
    run(reader.pending(skip=(), limit=1))
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def attempts() -> int:
        """How often a read fails: at most once for each connection of the pool."""
        failed = 0
        while True:
            try:
                await reader.pending(skip=(), limit=1)
            except StorageUnavailableError:
                failed += 1
            else:
                return failed

    assert 1 <= run(attempts()) <= 4


def test_a_read_of_missed_events_does_not_walk_through_what_was_taken(
    stores: PostgresStores, run: Async, database: str, connection: psycopg.Connection
) -> None:
    """With an old snapshot that keeps the dead rows from being cleaned away."""
    reader = PostgresOutboxReader(stores._pool, "auth", ["dashboard"])
    missed = Missed()

    async def keep_all() -> None:
        rows = await reader.pending(skip=(), limit=20_001)
        await reader.missed.keep("dashboard", [row.position for row in rows])

    async def take(count: int) -> None:
        read = missed.next_read(count)
        assert read is not None
        rows = await reader.missed.next("dashboard", floor=read.floor, skip=read.skip, limit=count)
        missed.found(rows, read)
        await reader.missed.forget("dashboard", [row.position for row in rows])

    def cost_from(floor: int) -> int:
        params = {"subscriber": "dashboard", "floor": floor, "skip": "{}", "limit": 1}
        return cost(connection, load_for("missed_events", "auth")["next"], params)

    with psycopg.connect(database) as backup:
        backup.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        backup.execute("SELECT count(*) FROM auth.missed_events")
        backup.execute("SELECT pg_current_xact_id()")
        fill(connection, 20_000)
        run(keep_all())
        run(take(19_999))
        read = missed.next_read(1)
        assert read is not None
        assert cost_from(0) > 200
        assert cost_from(read.floor) < 20
