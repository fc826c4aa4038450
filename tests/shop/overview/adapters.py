"""The read model in Postgres."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg_pool import AsyncConnectionPool

from spark_actors.actors.context import Projecting
from spark_actors.application import Edge, InstalledContext, Reactions
from spark_actors.messaging.ports import QueryHandlers, Received
from spark_actors.persistence.errors import translated
from tests.shop.overview.context import CONTEXT, ItemLine, ViewItem
from tests.shop.overview.rows import row_of

# As `merged` of the rows says it.
_MERGE_ITEM = """
    INSERT INTO overview.items AS known (item_id, label, available, sequence)
    VALUES (%(item_id)s, %(label)s, %(available)s, %(sequence)s)
    ON CONFLICT (item_id) DO UPDATE SET
        label = coalesce(known.label, excluded.label),
        available = CASE WHEN excluded.sequence > known.sequence THEN excluded.available ELSE known.available END,
        sequence = greatest(known.sequence, excluded.sequence)
"""
_ITEM = "SELECT item_id, label, available FROM overview.items WHERE item_id = %s AND label IS NOT NULL"


class OverviewProjection:
    """Port `Projection`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def apply(self, received: Sequence[Received]) -> None:
        items = [row_of(each.event, each.envelope.sequence)._asdict() for each in received]
        with translated():
            async with self._pool.connection() as connection, connection.cursor() as cursor:
                await cursor.executemany(_MERGE_ITEM, items)


async def _reactions(edge: Edge) -> Reactions:
    return Reactions([Projecting(CONTEXT, OverviewProjection(await edge.pool()))])


async def _answers(edge: Edge) -> QueryHandlers:
    pool = await edge.pool()

    async def item(query: ViewItem) -> ItemLine | None:
        with translated():
            async with pool.connection() as connection:
                row = await (await connection.execute(_ITEM, (query.item_id,))).fetchone()
        return ItemLine(item_id=row[0], label=row[1], available=row[2]) if row else None

    return {ViewItem: item}


INSTALLED = InstalledContext(
    context=CONTEXT, migrations=__package__ or "", reactions=_reactions, answers=_answers, may_lag=True
)
