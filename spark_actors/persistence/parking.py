"""Parking on Postgres: keys that must wait, and the messages that wait for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from spark_actors.messaging.envelope import Envelope, content_digest
from spark_actors.messaging.ports import DeadLetter, ParkedKey, ParkedSummary, Revision, letter_of
from spark_actors.messaging.unit_of_work import COMMANDS, Failure
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import SqlText, Statement, TurnConnection
from spark_actors.persistence.dead_letters import columns_of, storable, storable_key
from spark_actors.persistence.errors import translated
from spark_actors.persistence.rows import envelope_in, message_columns
from spark_actors.persistence.statements import load_for


class PostgresParking:
    """Port `Parking`. What is to be written goes to *queue*, which the unit of work commits."""

    def __init__(
        self,
        sql: Mapping[str, SqlText],
        letters_sql: Mapping[str, SqlText],
        connection: TurnConnection,
        queue: list[Statement],
    ) -> None:
        self._sql, self._letters_sql, self._connection, self._queue = sql, letters_sql, connection, queue

    def parked(self, keys: Sequence[str]) -> frozenset[str]:
        wanted = {storable_key(key): key for key in keys}
        params = {"subscriber": COMMANDS, "keys": list(wanted)}
        return frozenset(wanted[row[0]] for row in self._connection.fetch(Statement(self._sql["parked"], params)))

    def waiting(self, key: str, limit: int) -> Sequence[Envelope]:
        params = {"subscriber": COMMANDS, "key": storable_key(key), "limit": limit}
        return [envelope_in(row) for row in self._connection.fetch(Statement(self._sql["waiting"], params))]

    def bury(self, failures: Sequence[Failure]) -> None:
        if not failures:
            return
        letters = [letter_of(failure) for failure in failures]
        self._queue.append(Statement(self._letters_sql["bury"], columns_of(letters)))
        self._queue.append(Statement(self._sql["park"], _key_columns(letters)))
        self.add([failure.message for failure in failures])

    def add(self, messages: Sequence[Envelope]) -> None:
        if messages:
            self._queue.append(Statement(self._sql["add"], _message_columns(COMMANDS, messages)))

    def take_out(self, key: str, message_ids: Sequence[str]) -> None:
        about = {"subscriber": COMMANDS, "key": storable_key(key)}
        self._queue.append(Statement(self._sql["hold"], about))
        self._queue.append(Statement(self._sql["take_out"], {"subscriber": COMMANDS, "message_ids": list(message_ids)}))
        self._queue.append(Statement(self._sql["close"], about))


class PostgresParkedEvents:
    """Port `ParkedEvents` for the outbox of one context."""

    def __init__(self, pool: AsyncConnectionPool, context: str) -> None:
        self._pool = pool
        self._sql = load_for("parking", context)
        self._letters_sql = load_for("dead_letters", context)

    async def keys(self) -> Sequence[ParkedKey]:
        keys: list[ParkedKey] = []
        last = ParkedKey("", "", "")
        while True:
            params = {"subscriber": last.subscriber, "key": last.key, "limit": tuning.PARKED_KEYS_AT_ONCE}
            async with self._statement() as connection:
                rows = await (await connection.execute(self._sql["keys"], params)).fetchall()
            keys += [ParkedKey(*row) for row in rows]
            if len(rows) < tuning.PARKED_KEYS_AT_ONCE:
                return keys
            last = keys[-1]

    async def revision(self) -> Revision:
        async with self._statement() as connection:
            [row] = await (await connection.execute(self._sql["revision"])).fetchall()
        return Revision(*row)

    async def released(self, limit: int) -> Sequence[str]:
        params = {"subscriber": COMMANDS, "limit": limit}
        async with self._statement() as connection:
            return [row[0] for row in await (await connection.execute(self._sql["released"], params)).fetchall()]

    async def bury(self, letter: DeadLetter, envelope: Envelope) -> None:
        message = _message_columns(letter.subscriber, [envelope])
        async with self._transaction() as connection:
            await connection.execute(self._letters_sql["bury"], columns_of([letter]))
            await connection.execute(self._sql["park"], _key_columns([letter]))
            await connection.execute(self._sql["add"], message)

    async def park(self, subscriber: str, envelopes: Sequence[Envelope]) -> None:
        async with self._statement() as connection:
            await connection.execute(self._sql["add"], _message_columns(subscriber, envelopes))

    async def waiting(self, subscriber: str, key: str, limit: int) -> Sequence[Envelope]:
        params = {"subscriber": subscriber, "key": key, "limit": limit}
        async with self._statement() as connection:
            rows = await (await connection.execute(self._sql["waiting"], params)).fetchall()
        return [envelope_in(row) for row in rows]

    async def take_out(self, subscriber: str, message_ids: Sequence[str]) -> None:
        async with self._statement() as connection:
            await connection.execute(
                self._sql["take_out"], {"subscriber": subscriber, "message_ids": list(message_ids)}
            )

    async def close(self, subscriber: str, key: str) -> bool:
        about = {"subscriber": subscriber, "key": key}
        async with self._transaction() as connection:
            await connection.execute(self._sql["hold"], about)
            return await (await connection.execute(self._sql["close"], about)).fetchone() is not None

    async def summary(self) -> Sequence[ParkedSummary]:
        async with self._statement() as connection:
            rows = await (
                await connection.execute(self._sql["summary"], {"limit": tuning.PARKED_SUMMARY_ROWS})
            ).fetchall()
        return [
            ParkedSummary(subscriber, state, cause, keys, max(timedelta(), age))
            for subscriber, state, cause, keys, age in rows
        ]

    @asynccontextmanager
    async def _statement(self) -> AsyncIterator[AsyncConnection]:
        """For a single statement, which is a transaction by itself: a block around it would take three round trips."""
        with translated():
            async with self._pool.connection() as connection:
                yield connection

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._statement() as connection, connection.transaction():
            yield connection


def _key_columns(letters: Iterable[DeadLetter]) -> dict[str, list[object]]:
    held = list(letters)
    return {
        "subscribers": [letter.subscriber for letter in held],
        "keys": [storable_key(letter.key) for letter in held],
        "reasons": [storable(letter.reason) for letter in held],
        "since": [letter.died_at for letter in held],
    }


def _message_columns(subscriber: str, messages: Sequence[Envelope]) -> dict[str, object]:
    return {
        **message_columns(messages),
        "subscriber": subscriber,
        "keys": [storable_key(message.key) for message in messages],
        "senders": [message.sender for message in messages],
        "whys": [message.why for message in messages],
        "digests": [content_digest(message) for message in messages],
    }
