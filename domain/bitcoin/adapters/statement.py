"""Copies the Lightning node's own statement beside the books: what it has paid, and received for nobody here.

The books may be older than the node's, after the restore of a backup: the place up to which the statement was read is
as old as they are then, so that all that came later is read again, and the audit can name it. Until it is read, and as
long as such payments are nobody's, nothing is sent: who was paid with them may have the money in the account again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

import structlog
from psycopg_pool import AsyncConnectionPool

from domain.bitcoin.ports import LightningError, LightningNode, Sent
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load

T = TypeVar("T")

STATEMENT_SECONDS = 60.0
"""How often the node is asked for each list. May be changed, below the patience of the audit: it costs a call each."""

_SQL = load("domain.bitcoin.adapters", "statement.sql")

log = structlog.get_logger(__name__)


class StatementList(StrEnum):
    """A list of the node's."""

    PAYMENTS = "payments"
    RECEIPTS = "receipts"


class PostgresStatement:
    """The copy, in the schema of the bitcoin context. Whatever is told twice is written once. Raises StorageError.

    What a list tells and the place behind it become durable together; *is_end*: there is no more at the moment.
    """

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def cursor(self, which: StatementList) -> str:
        """Where to go on; empty at first."""
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_SQL["cursor"], {"list": which})).fetchone()
        return str(row[0]) if row else ""

    async def paid(self, payments: Sequence[Sent], cursor: str, *, is_end: bool) -> Sequence[str]:
        """Gives the hashes of those that are new and that no withdrawal here has."""
        values = {
            "payment_hashes": [each.payment_hash for each in payments],
            "amounts_sat": [each.amount_sat for each in payments],
            "fees_sat": [each.fee_sat for each in payments],
        }
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(_SQL["payments"], values)
                hashes = {"payment_hashes": values["payment_hashes"]}
                rows = await (await connection.execute(_SQL["unknown_payments"], hashes)).fetchall()
                await connection.execute(
                    _SQL["go_on_at"], {"list": StatementList.PAYMENTS, "cursor": cursor, "is_end": is_end}
                )
        return [payment_hash for (payment_hash,) in rows]

    async def unbooked(self) -> Sequence[Sent]:
        """Payments that are nobody's here, and not explained either: the first few."""
        with translated():
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_SQL["unbooked"])).fetchall()
        return [Sent(*row) for row in rows]

    async def received(self, payment_hashes: Sequence[str], cursor: str, *, is_end: bool) -> Sequence[str]:
        """Gives those that are new and that no deposit here has."""
        with translated():
            async with self._pool.connection() as connection:
                values = {"payment_hashes": list(payment_hashes)}
                rows = await (await connection.execute(_SQL["unknown"], values)).fetchall()
                await connection.execute(
                    _SQL["go_on_at"], {"list": StatementList.RECEIPTS, "cursor": cursor, "is_end": is_end}
                )
        return [payment_hash for (payment_hash,) in rows]


class StatementWatch:
    """Port `Statement`; and reads both lists on and on.

    Every step may be done twice, also by two at once; each raises StorageError.
    """

    def __init__(self, node: LightningNode, statement: PostgresStatement, *, call_timeout: timedelta) -> None:
        self._node, self._statement, self._call_timeout = node, statement, call_timeout
        self._is_read_through = False

    async def payments_step(self) -> float:
        """Copy what was paid since the last step; gives the seconds to wait."""
        return await self._wait_after(self._read_payments, StatementList.PAYMENTS)

    async def receipts_step(self) -> float:
        """Copy what has come in since the last step for no deposit of the books; gives the seconds to wait."""
        return await self._wait_after(self._read_receipts, StatementList.RECEIPTS)

    async def unbooked(self) -> Sequence[Sent]:
        if not self._is_read_through:  # the books may be of a backup, and older than what the node has paid
            self._is_read_through = await self._read_payments()
        if not self._is_read_through:
            raise LightningError("what the node has paid so far is not read through yet")
        return await self._statement.unbooked()

    async def _read_payments(self) -> bool:
        """Whether that is all there is. Raises LightningError."""
        cursor = await self._statement.cursor(StatementList.PAYMENTS)
        told = await self._in_time(self._node.sent(cursor))
        is_end = told.cursor == cursor
        for payment_hash in await self._statement.paid(told.payments, told.cursor, is_end=is_end):
            log.warning("payment_of_nobody", payment_hash=payment_hash)
        return is_end

    async def _read_receipts(self) -> bool:
        """Whether that is all there is. Raises LightningError."""
        cursor = await self._statement.cursor(StatementList.RECEIPTS)
        told = await self._in_time(self._node.received(cursor))
        is_end = told.cursor == cursor
        for payment_hash in await self._statement.received(told.payment_hashes, told.cursor, is_end=is_end):
            log.warning("receipt_of_nobody", payment_hash=payment_hash)
        return is_end

    async def _wait_after(self, read: Callable[[], Awaitable[bool]], which: StatementList) -> float:
        try:
            return STATEMENT_SECONDS if await read() else 0.0
        except LightningError as error:
            log.warning("statement_not_read", list=which.value, why=error.detail)
            return STATEMENT_SECONDS

    async def _in_time(self, answer: Awaitable[T]) -> T:
        """Raises LightningError when the limit has passed, too."""
        try:
            async with asyncio.timeout(self._call_timeout.total_seconds()):
                return await answer
        except TimeoutError as error:
            raise LightningError(f"no answer within {self._call_timeout}") from error
