"""Where the ingress keeps what it refused: bounded, because who may publish can have any amount of it refused."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from psycopg_pool import AsyncConnectionPool

from spark_actors.messaging.ports import DeadLetter
from spark_actors.persistence import tuning
from spark_actors.persistence.dead_letters import PostgresDeadLetters
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for

log = structlog.get_logger(__name__)


class PostgresRefusedMessages(PostgresDeadLetters):
    """Port `DeadLetters` of the ingress: the newest *most* letters are kept (for a while, a thousand more)."""

    def __init__(self, pool: AsyncConnectionPool, schema: str, *, most: int) -> None:
        super().__init__(pool, schema)
        self._trim_pool, self._trim_sql = pool, load_for("dead_letters", schema)["trim"]
        self._most = most
        self._until_trim = 0

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        await super().bury(letters)
        self._until_trim -= len(letters)
        if self._until_trim < 0:
            await self._trim()
            self._until_trim = tuning.TRIM_EVERY

    async def _trim(self) -> None:
        params = {"most": self._most, "limit": tuning.TRIM_EVERY}
        forgotten = 0
        with translated():
            async with self._trim_pool.connection() as connection:
                while trimmed := (await connection.execute(self._trim_sql, params)).rowcount:
                    forgotten += trimmed
        if forgotten:
            log.warning("refused_messages_forgotten", count=forgotten, kept=self._most)
