"""Answers to queries for single instances, from their state as it was committed last."""

from __future__ import annotations

from typing import Any

from spark_actors.kernel.context import BoundedContext, View
from spark_actors.kernel.messages import Query
from spark_actors.messaging.ports import QueryHandler, QueryHandlers
from spark_actors.persistence.connections import Pool
from spark_actors.persistence.errors import translated
from spark_actors.persistence.tables import AggregateTable, aggregate_statements


def views(context: BoundedContext, table: AggregateTable[Any], pool: Pool) -> QueryHandlers:
    """Who answers the queries in the context's `views`: each loads its instance from *table*, and waits for nobody.

    What was answered `done` is seen.
    """
    load = aggregate_statements(table)["load"]

    def answering(view: View) -> QueryHandler:
        async def answer(query: Query) -> object | None:
            with translated():
                async with pool.connection() as connection:
                    row = await (await connection.execute(load, {"keys": [query.key]})).fetchone()
            return view(table.state((row[0], *row[2:])), query) if row else None

        return answer

    return {query: answering(view) for query, view in context.views.items()}
