"""The progress rows of a context's sagas on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg_pool import AsyncConnectionPool

from spark_actors.kernel.sagas import SagaProgress, SagaState, merged_progress
from spark_actors.messaging.ports import SagaRow
from spark_actors.persistence.connections import Row
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


class PostgresSagaLog:
    """Port `SagaLog` for one context."""

    def __init__(self, pool: AsyncConnectionPool, context: str) -> None:
        self._pool = pool
        self._sql = load_for("sagas", context)

    async def merge(self, progress: Sequence[SagaProgress]) -> Sequence[SagaRow]:
        if not progress:
            return []
        news = merged_progress(progress)
        changed = await self._fetch("merge", _columns(news))
        # A row may also have changed because its beginning came after its end.
        ranks = {item.story: item.rank for item in news}
        return [row for rank, row in ((rank, _saga(rest)) for rank, *rest in changed) if rank == ranks[row.story]]

    async def mark_overdue(self, now: datetime, limit: int) -> Sequence[SagaRow]:
        return [_saga(row) for row in await self._fetch("mark_overdue", {"now": now, "limit": limit})]

    async def running(self) -> dict[tuple[str, bool], int]:
        return {(kind, is_overdue): count for kind, is_overdue, count in await self._fetch("running", {})}

    async def _fetch(self, name: str, params: Mapping[str, object]) -> list[Row]:
        with translated():
            async with self._pool.connection() as connection:
                return await (await connection.execute(self._sql[name], params)).fetchall()


def _columns(progress: Sequence[SagaProgress]) -> dict[str, object]:
    columns: dict[str, object] = dict(zip(SagaProgress._fields, map(list, zip(*progress, strict=True)), strict=True))
    return columns | {"state": [item.state.value for item in progress]}


def _saga(row: Sequence[Any]) -> SagaRow:
    kind, saga_id, step, state, *rest = row
    return SagaRow(kind, saga_id, step, SagaState(state), *rest)
