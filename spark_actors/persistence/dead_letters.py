"""Dead letters on Postgres: one table a context, and one of the ingress for what never reached a context."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from spark_actors.messaging.ports import DeadLetter
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


class PostgresDeadLetters:
    """Port `DeadLetters` for one schema: a context's, or `ingress`.

    Keeps one letter per message, subscriber and content: burying twice is harmless, and what has no id is not lost.
    """

    def __init__(self, pool: AsyncConnectionPool, schema: str) -> None:
        self._pool = pool
        self._sql = load_for("dead_letters", schema)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(self._sql["bury"], columns_of(letters))

    async def count(self) -> int:
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(self._sql["total"])).fetchone()
        return int(row[0]) if row else 0

    async def newest(self, limit: int) -> list[DeadLetter]:
        """The letters that came last, newest first."""
        with translated():
            async with self._pool.connection() as connection:
                cursor = connection.cursor(row_factory=class_row(DeadLetter))
                return await (await cursor.execute(self._sql["newest"], {"limit": limit})).fetchall()


def columns_of(letters: Sequence[DeadLetter]) -> dict[str, list[object]]:
    """The parameters of the statement `bury`."""
    return {
        "message_ids": [storable(letter.message_id) for letter in letters],
        "names": [storable(letter.name) for letter in letters],
        "keys": [storable_key(letter.key) for letter in letters],
        "subscribers": [storable(letter.subscriber) for letter in letters],
        "reasons": [storable(letter.reason) for letter in letters],
        "attempts": [letter.attempts for letter in letters],
        "bodies": [letter.body for letter in letters],
        "correlation_ids": [storable(letter.correlation_id) for letter in letters],
        "causation_ids": [storable(letter.causation_id) for letter in letters],
        "died_at": [letter.died_at for letter in letters],
        "versions": [letter.version for letter in letters],
        "sequences": [letter.sequence for letter in letters],
        "occurred_at": [letter.occurred_at for letter in letters],
        "senders": [storable(letter.sender) for letter in letters],
        "whys": [storable(letter.why) for letter in letters],
    }


def storable(value: str) -> str:
    """Text as Postgres can hold it: what came from outside may have NULs, lone surrogates and any length."""
    return storable_key(value)[:1000]


def storable_key(key: str) -> str:
    """A key as Postgres can hold it, whole: what waits for it must be found under it again."""
    return key.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
