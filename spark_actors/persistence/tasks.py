"""What a context has to do outside or later, on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg_pool import AsyncConnectionPool

from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import FARTHEST, ListedTask, TasksSummary
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import Row
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


class PostgresDurableTasks:
    """Port `DurableTasks` for one context. Each call is one statement."""

    def __init__(self, pool: AsyncConnectionPool, context: str) -> None:
        self._pool = pool
        self._sql = load_for("tasks", context)

    async def add(self, tasks: Sequence[ListedTask]) -> None:
        await self._execute("add", _contents(tasks) | _schedule(tasks))

    async def due(self, name: str, now: datetime, limit: int) -> Sequence[ListedTask]:
        rows = await self._rows("due", {"name": name, "now": now, "limit": limit, "farthest": FARTHEST})
        return [listed_task(row) for row in rows]

    async def put_off(self, tasks: Sequence[ListedTask]) -> None:
        await self._execute("put_off", _schedule(tasks))

    async def remove(self, task_ids: Sequence[str]) -> None:
        await self._execute("remove", {"task_ids": list(task_ids)})

    async def summary(self) -> Sequence[TasksSummary]:
        return [TasksSummary(*row) for row in await self._rows("summary", {"limit": tuning.COUNT_LIMIT})]

    async def _rows(self, name: str, params: Mapping[str, object]) -> Sequence[Row]:
        with translated():
            async with self._pool.connection() as connection:
                return await (await connection.execute(self._sql[name], params)).fetchall()

    async def _execute(self, name: str, params: Mapping[str, object]) -> None:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(self._sql[name], params)


def listed_task(row: Row) -> ListedTask:
    """The task in a row of id, name, version, key, data, correlation, causation, since, and its schedule."""
    task_id, name, version, key, data, correlation_id, causation_id, since, *schedule = row
    envelope = Envelope(task_id, name, version, key, data.encode(), correlation_id, causation_id, since)
    return ListedTask(envelope, *schedule)


def _contents(tasks: Sequence[ListedTask]) -> dict[str, object]:
    envelopes = [task.envelope for task in tasks]
    return {
        "names": [each.name for each in envelopes],
        "versions": [each.version for each in envelopes],
        "keys": [each.key for each in envelopes],
        "data": [each.data.decode() for each in envelopes],
        "correlation_ids": [each.correlation_id for each in envelopes],
        "causation_ids": [each.causation_id for each in envelopes],
        "since": [each.occurred_at for each in envelopes],
        "are_scheduled": [task.is_scheduled for task in tasks],
    }


def _schedule(tasks: Sequence[ListedTask]) -> dict[str, object]:
    return {
        "task_ids": [task.envelope.message_id for task in tasks],
        "due_at": [task.due_at for task in tasks],
        "attempts": [task.attempts for task in tasks],
        "problems": [task.problem for task in tasks],
    }
