"""The durable list of what to ask the Lightning node, on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg_pool import AsyncConnectionPool

from domain.bitcoin.ports import FARTHEST, LightningTask, LightningTaskKind
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load


class PostgresLightningTasks:
    """Port `LightningTasks`. Each call is one statement."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._sql = load(__package__, "lightning_tasks.sql")

    async def add(self, tasks: Sequence[LightningTask]) -> None:
        await self._execute("add", _names(tasks) | _contents(tasks) | _schedule(tasks))

    async def due(self, now: datetime, limit: int) -> Sequence[LightningTask]:
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(self._sql["due"], {"now": now, "limit": limit, "farthest": FARTHEST})
                rows = await cursor.fetchall()
        return [LightningTask(row[0], LightningTaskKind(row[1]), *row[2:]) for row in rows]

    async def reschedule(self, tasks: Sequence[LightningTask]) -> None:
        await self._execute("reschedule", _names(tasks) | _schedule(tasks))

    async def remove(self, tasks: Sequence[LightningTask]) -> None:
        await self._execute("remove", _names(tasks))

    async def _execute(self, name: str, params: Mapping[str, object]) -> None:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(self._sql[name], params)


def _names(tasks: Sequence[LightningTask]) -> dict[str, object]:
    return {"invoice_ids": [task.invoice_id for task in tasks], "kinds": [task.kind.value for task in tasks]}


def _schedule(tasks: Sequence[LightningTask]) -> dict[str, object]:
    return {"due_at": [task.due_at for task in tasks], "attempts": [task.attempts for task in tasks]}


def _contents(tasks: Sequence[LightningTask]) -> dict[str, object]:
    return {
        "amounts_sat": [int(task.amount_sat) for task in tasks],
        "payment_hashes": [task.payment_hash for task in tasks],
        "payment_requests": [task.payment_request for task in tasks],
        "correlation_ids": [task.correlation_id for task in tasks],
        "causation_ids": [task.causation_id for task in tasks],
    }
