"""The books of the simulated Lightning node, in Postgres; and how those of former releases, in a file, get there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from domain.bitcoin.adapters.simulated import BookedInvoice, BookedPayment, Change, Entry, Result
from spark_actors.kernel.errors import SparkError
from spark_actors.persistence.connections import Row, connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load

T = TypeVar("T")

FORMER_FILE = "simulated-node.sqlite3"
"""Where former releases kept the books, in the data dir. A release may be skipped, so it is looked for for ever."""
_SQL = load("domain.bitcoin.adapters", "node_books.sql")


class PostgresNodeBooks:
    """Port `NodeBooks`, in the schema of the bitcoin context.

    Its commits wait for the disk as any other: who asked to pay outlives Postgres with the answer in its hands.
    """

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def add(self, invoice: BookedInvoice) -> BookedInvoice:
        with translated():
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_SQL["add_invoice"], asdict(invoice))).fetchall()
        return BookedInvoice(*rows[0])

    async def entry(self, payment_hash: str) -> Entry:
        with translated():
            async with self._pool.connection() as connection, connection.pipeline():
                return await _entry(connection, payment_hash)

    async def change(self, payment_hash: str, change: Change[T]) -> T:
        with translated():
            async with self._pool.connection() as connection, connection.pipeline(), connection.transaction():
                await connection.execute(_SQL["lock"], {"payment_hash": payment_hash})
                before = await _entry(connection, payment_hash)
                after, told = change(before)
                if after.payment and after.payment != before.payment:
                    await connection.execute(_SQL["write_payment"], asdict(after.payment))
                if after.invoice and after.invoice != before.invoice:
                    await connection.execute(_SQL["write_receipt"], asdict(after.invoice))
        return told

    async def received(
        self, after: tuple[datetime, str], until: datetime, limit: int
    ) -> Sequence[tuple[datetime, str]]:
        values = {"paid_at": after[0], "payment_hash": after[1], "until": until, "limit": limit}
        with translated():
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_SQL["received"], values)).fetchall()
        return [(paid_at, payment_hash) for paid_at, payment_hash in rows]

    async def sent(self, after: tuple[datetime, str], until: datetime, limit: int) -> Sequence[BookedPayment]:
        values = {"known_at": after[0], "payment_hash": after[1], "until": until, "limit": limit}
        with translated():
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_SQL["sent"], values)).fetchall()
        return [_payment(row) for row in rows]

    async def totals(self, now: datetime) -> tuple[int, int]:
        with translated():
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_SQL["totals"], {"now": now})).fetchall()
        came_in, went_out = rows[0]
        return int(came_in), int(went_out)

    async def all(self) -> tuple[list[BookedInvoice], list[BookedPayment]]:
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                invoices = await (await connection.execute(_SQL["all_invoices"])).fetchall()
                payments = await (await connection.execute(_SQL["all_payments"])).fetchall()
        return [BookedInvoice(*row) for row in invoices], [_payment(row) for row in payments]


async def _entry(connection: AsyncConnection[Any], payment_hash: str) -> Entry:
    """What is written of a hash; in a pipeline that is one round trip."""
    values = {"payment_hash": payment_hash}
    payments = await connection.execute(_SQL["payment"], values)
    invoices = await connection.execute(_SQL["invoice"], values)
    payment, invoice = await payments.fetchone(), await invoices.fetchone()
    return Entry(_payment(payment) if payment else None, BookedInvoice(*invoice) if invoice else None)


def _payment(row: Row) -> BookedPayment:
    payment_hash, amount_sat, attempts, result, *rest = row
    return BookedPayment(payment_hash, amount_sat, attempts, Result(result), *rest)


class FormerBooksError(SparkError):
    """The file in which a former release kept the simulated node's books cannot be read."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file, self.reason = file, reason

    def __str__(self) -> str:
        return (
            f"{self.file}, in which a former release kept the books of the simulated Lightning node, cannot be read"
            f" ({self.reason}): without it the node would pay again what it has paid; mend it, or move it away"
        )


def take_over_former_books(data_dir: Path, dsn: str) -> None:
    """Bring the books that a former release has left in *data_dir* into Postgres, and rename their file: `….moved`.

    Nobody asks the node meanwhile. All of it comes or nothing; what is in Postgres already stays. Does nothing where
    there is no such file. Raises FormerBooksError, StorageError.
    """
    file = data_dir / FORMER_FILE
    if not file.exists():
        return
    try:
        with translated(), closing(sqlite3.connect(file)) as former, connect(dsn) as connection:
            cursor = connection.cursor()
            cursor.executemany(_SQL["take_over_invoice"], _rows(former, "invoices"))
            cursor.executemany(_SQL["take_over_payment"], _rows(former, "payments"))
    except sqlite3.Error as error:
        raise FormerBooksError(str(file), str(error)) from error
    file.rename(file.with_name(f"{FORMER_FILE}.moved"))


def _rows(former: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Those of a table, whose columns come in the order in which Postgres has them; none, if it was never made.

    Moments are text, as Postgres reads it.
    """
    is_there = former.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return former.execute(f"SELECT * FROM {table}") if is_there else iter(())
