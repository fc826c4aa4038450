"""How much the relays have before them, as an estimate that costs nothing: from the statistics that Postgres keeps."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg_pool import AsyncConnectionPool

from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


class PostgresRelayBacklog:
    """Asks each context's database; *pools* are by context. Some seconds old, and zero after a crash of Postgres."""

    def __init__(self, pools: Mapping[str, AsyncConnectionPool]) -> None:
        self._asked = [(pool, load_for("outbox", context)["estimate"]) for context, pool in pools.items()]

    async def __call__(self) -> int:
        """About how many events wait in the fullest outbox. Raises StorageUnavailableError."""
        highest = 0
        with translated():
            for pool, query in self._asked:
                async with pool.connection() as connection:
                    row = await (await connection.execute(query)).fetchone()
                highest = max(highest, int(row[0]) if row else 0)
        return highest
