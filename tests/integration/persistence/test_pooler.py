"""Through PgBouncer in transaction mode: everything works, limits hold, and nobody inherits them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from domain.application import APPLICATION
from spark_actors.kernel.errors import RowLockedError
from spark_actors.persistence.connections import Statement, TurnConnection
from spark_actors.persistence.maintenance import PostgresMaintenance
from spark_actors.persistence.migrations import migrate
from tests.contracts.test_turns import Host, balance
from tests.fixtures.application import SCHEMAS
from tests.fixtures.pgbouncer import Pooled, pooler
from tests.fixtures.stores import Async, PostgresStores
from tests.unit.domain.builders import deposit, funded, withdraw

ALL_LIMITS = """
    SELECT name FROM pg_settings
    WHERE name IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout') AND setting <> '0'
"""


@pytest.fixture(params=["", "options"], ids=["refuses wishes", "passes over wishes"])
def pooled(request: pytest.FixtureRequest, pgbouncer_program: Path, database: str) -> Iterator[Pooled]:
    with pooler(pgbouncer_program, database, request.param) as made:
        yield made


def test_turns_relays_and_housekeeping_work_and_a_lock_delays_its_key_alone(
    pooled: Pooled, database: str, run: Async, stores: PostgresStores
) -> None:
    through = PostgresStores(pooled.dsn(database), stores._runner, prepare_threshold=None)
    with through:
        host = Host(through)
        host.take(*funded("ann", 100), *funded("bob", 100))
        assert host.verdicts(withdraw(amount_sat=40)) == [("done", "")]
        with stores.locked("accounting", "bob"):
            both = [deposit(account_id=account, deposit_id=f"more-{account}") for account in ("ann", "bob")]
            assert [verdict for verdict, _ in host.verdicts(*both)] == ["done", "locked"]
        assert [verdict for verdict, _ in host.verdicts(*both)] == ["done", "done"]
        reader = through.outbox_reader("accounting")
        rows = run(reader.pending(skip=(), limit=100))
        run(reader.settle([row.position for row in rows]))
        assert rows
        assert run(reader.pending(skip=(), limit=100)) == []
        run(PostgresMaintenance(through._pool, "accounting").run(datetime.now(UTC)))
    assert balance(stores, "ann") == 160


def test_limits_go_with_a_transaction_and_stay_with_nobody(pooled: Pooled, database: str) -> None:
    dsn = pooled.dsn(database)
    turns = TurnConnection(dsn, prepare_threshold=None)
    assert len(turns.fetch(Statement(ALL_LIMITS.encode()))) == 3
    with psycopg.connect(database) as outsider:
        outsider.execute("LOCK TABLE auth.schema_migrations")
        with pytest.raises(RowLockedError):
            turns.transact([Statement(b"DELETE FROM auth.schema_migrations WHERE name = ''")])
    turns.close()
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as neighbour:
        assert neighbour.execute(ALL_LIMITS.encode()).fetchall() == []


def test_schemas_are_made_and_brought_up_to_date(pooled: Pooled, empty_database: str) -> None:
    by_context = dict.fromkeys(SCHEMAS, pooled.dsn(empty_database))
    assert migrate(APPLICATION, by_context)
    assert migrate(APPLICATION, by_context) == []
