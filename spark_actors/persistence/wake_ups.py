"""Hints of new outbox rows over LISTEN, on a connection of their own: behind PgBouncer, give it a direct DSN."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import psycopg
from psycopg import AsyncConnection, sql

from spark_actors.persistence import tuning
from spark_actors.persistence.connections import DatabaseSession, conninfo
from spark_actors.persistence.outbox import channel_of

_logger = logging.getLogger(__name__)


class PostgresWakeUps:
    """Port `WakeUps` for one context. Never raises because of Postgres: without it no hint comes.

    Not for concurrent use. A new connection counts as a hint: what came while there was none was missed.
    """

    def __init__(self, dsn: str, context: str) -> None:
        self._dsn, self._channel = dsn, channel_of(context)
        self._connection: AsyncConnection | None = None
        self._made = 0.0

    async def wait(self, timeout: timedelta) -> bool:
        now = asyncio.get_running_loop().time()
        deadline = now + timeout.total_seconds()
        try:
            if self._connection and now > self._made + tuning.WAKE_UPS_LIFETIME_SECONDS:
                await self.close()
            if self._connection is None:
                self._connection, self._made = await self._listen(), now
                return True
            return await self._has_hint(self._connection, timeout.total_seconds())
        except psycopg.Error as error:
            _logger.warning("wake-ups of %s are away, polling goes on: %s", self._channel, error)
            await self.close()
        await asyncio.sleep(max(0.0, deadline - asyncio.get_running_loop().time()))
        return False

    async def close(self) -> None:
        """Close the connection, if there is one. The next wait makes another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _listen(self) -> AsyncConnection:
        connection = await DatabaseSession.connect(conninfo(self._dsn), autocommit=True)
        try:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _has_hint(self, connection: AsyncConnection, seconds: float) -> bool:
        hints = [hint async for hint in connection.notifies(timeout=seconds, stop_after=1)]
        return bool(hints)
