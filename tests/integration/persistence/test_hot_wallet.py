"""What is owed, in flight and to be sent, as Postgres counts it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg

from domain.accounting.adapters.owed import OWED_SECONDS, OwedWatch
from domain.bitcoin.adapters.balance import PostgresWithdrawals
from domain.bitcoin.adapters.permits import PostgresPermits
from domain.bitcoin.hot_wallet import UnderWay
from domain.bitcoin.invoice import InvoiceState
from spark_actors.messaging.telemetry import BooksMeasured, TelemetryEvent
from spark_actors.messaging.unit_of_work import Change
from spark_actors.persistence.connections import make_pool
from tests.fixtures.aggregates import NOW, a_deposit, a_withdrawal, an_account, commit, created, issued
from tests.fixtures.stores import PostgresStores

HELD_SAT = 700 + 7
"""Of each withdrawal: the amount and its reserve."""


def test_under_way_is_what_is_debited_and_has_not_ended_and_to_send_is_what_has_no_permit(
    emptied_database: str,
) -> None:
    async def counted() -> UnderWay:
        async with make_pool(emptied_database) as pool:
            return await PostgresWithdrawals(pool).under_way()

    async def permitted(payment_hash: str) -> None:
        async with make_pool(emptied_database) as pool:
            await PostgresPermits(pool).take(payment_hash, "w")

    with asyncio.Runner() as runner, PostgresStores(emptied_database, runner) as stores:
        assert runner.run(counted()) == UnderWay(0, 0)
        withdrawals = {state: a_withdrawal(state, f"hash of {state}") for state in InvoiceState}
        ends = [
            replace(withdrawals[InvoiceState.PAID], state=InvoiceState.PAID, preimage="proof", settled_at=NOW),
            withdrawals[InvoiceState.REQUESTED],
            *(replace(withdrawals[each], state=each) for each in (InvoiceState.REJECTED, InvoiceState.FAILED)),
        ]
        under_way = [replace(a_withdrawal(name, name), state=InvoiceState.AUTHORIZED) for name in ("a", "b", "c")]
        before_fees = replace(a_withdrawal("d", "d"), state=InvoiceState.AUTHORIZED, fee_reserve_sat=None)
        rows = [*ends, *under_way, before_fees, issued(a_deposit("deposit"))]
        commit(stores.unit_of_work("bitcoin"), [created(each.invoice_id, each) for each in rows])
        assert runner.run(counted()) == UnderWay(3 * HELD_SAT + 700, 3 * HELD_SAT + 700)
        runner.run(permitted("a"))
        assert runner.run(counted()) == UnderWay(3 * HELD_SAT + 700, 2 * HELD_SAT + 700)
        commit(stores.unit_of_work("bitcoin"), [Change("b", 1, 2, replace(under_way[1], state=InvoiceState.FAILED))])
        assert runner.run(counted()) == UnderWay(2 * HELD_SAT + 700, HELD_SAT + 700)


def test_what_is_under_way_is_counted_without_a_look_at_what_has_ended(database: str) -> None:
    """In a table whose rows the server has counted: as many as make it choose."""
    made = """
        INSERT INTO bitcoin.invoices (invoice_id, version, kind, state, account_id, amount_sat, requested_at,
            payment_hash, payment_request, expires_at, preimage, fee_reserve_sat)
        SELECT %(name)s || n, 2, 'withdrawal', %(state)s, 'ann', 5, now(), %(name)s || n, 'lnbc1', now(), %(proof)s, 2
        FROM generate_series(1, %(count)s) AS n
    """
    read = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'bitcoin.invoices'::regclass"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(made, {"name": "paid", "state": "paid", "proof": "proof", "count": 5_000})
        connection.execute(made, {"name": "open", "state": "authorized", "proof": None, "count": 3})
        connection.execute("ANALYZE bitcoin.invoices")

    async def counted() -> tuple[object, object]:
        async with make_pool(database, max_size=1) as pool:
            under_way = await PostgresWithdrawals(pool).under_way()
            assert under_way == UnderWay(21, 21)
            async with pool.connection() as connection:
                return await (await connection.execute(read)).fetchone() or (None, None)

    scanned, fetched = asyncio.run(counted())
    assert (scanned, fetched) in ((0, 0), (0, 3))  # the index alone may do


def test_owed_is_what_all_users_own(emptied_database: str) -> None:
    told: list[TelemetryEvent] = []

    async def looked() -> float:
        async with make_pool(emptied_database) as pool:
            return await OwedWatch(pool, told.append).step()

    with asyncio.Runner() as runner, PostgresStores(emptied_database, runner) as stores:
        assert runner.run(looked()) >= OWED_SECONDS
        accounts = {"ann": 30, "bob": 0, "eve": 12}
        changes = [created(name, an_account(name, balance)) for name, balance in accounts.items()]
        commit(stores.unit_of_work("accounting"), changes)
        runner.run(looked())
    assert told == [BooksMeasured("accounting", "owed_sat", amount) for amount in (0, 42)]
