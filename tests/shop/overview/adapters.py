"""The read model in Postgres."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg_pool import AsyncConnectionPool

from spark_actors.actors.context import Projecting
from spark_actors.application import Edge, InstalledContext, Reactions
from spark_actors.messaging.ports import Answers, Received
from spark_actors.persistence.errors import translated
from tests.shop.overview.context import CONTEXT, ItemLine, ViewItem

# The latest of an item wins; what comes twice, or late, changes nothing.
_MERGE = """
    INSERT INTO overview.items AS known (item_id, label, available, sequence)
    VALUES (%(item_id)s, %(label)s, %(available)s, %(sequence)s)
    ON CONFLICT (item_id) DO UPDATE SET
        label = coalesce(known.label, excluded.label),
        available = CASE WHEN excluded.sequence > known.sequence THEN excluded.available ELSE known.available END,
        sequence = greatest(known.sequence, excluded.sequence)
"""
_ITEM = "SELECT item_id, coalesce(label, ''), available FROM overview.items WHERE item_id = %s"


class ItemsProjection:
    """Port `Projection`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def apply(self, received: Sequence[Received]) -> None:
        rows = [
            {
                "item_id": item.event.key,
                "label": getattr(item.event, "label", None),
                "available": getattr(item.event, "available", 0),
                "sequence": item.envelope.sequence,
            }
            for item in received
        ]
        with translated():
            async with self._pool.connection() as connection, connection.cursor() as cursor:
                await cursor.executemany(_MERGE, rows)


async def _reactions(edge: Edge) -> Reactions:
    return Reactions([Projecting(CONTEXT, ItemsProjection(await edge.pool()))])


async def _answers(edge: Edge) -> Answers:
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
