"""Permits to send payments, kept in Postgres."""

from __future__ import annotations

from typing import Any

from psycopg_pool import AsyncConnectionPool

from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load

_SQL = load("domain.bitcoin.adapters", "permits.sql")


class PostgresPermits:
    """Port `Permits`, in the schema of the bitcoin context. Each call is one statement, durable when it returns."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def take(self, payment_hash: str, invoice_id: str) -> bool:
        return await self._row("take", {"payment_hash": payment_hash, "invoice_id": invoice_id}) is not None

    async def give_back(self, payment_hash: str) -> None:
        await self._row("give_back", {"payment_hash": payment_hash})

    async def holder(self, payment_hash: str) -> str:
        row = await self._row("holder", {"payment_hash": payment_hash})
        return str(row[0]) if row else ""

    async def _row(self, name: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        with translated():
            async with self._pool.connection() as connection:
                return await (await connection.execute(_SQL[name], values)).fetchone()
