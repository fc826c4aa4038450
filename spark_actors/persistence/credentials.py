"""Users by name, for logging in: one look-up in the auth context's own table."""

from __future__ import annotations

from psycopg_pool import AsyncConnectionPool

from spark_actors.messaging.ports import Credential
from spark_actors.persistence import statements
from spark_actors.persistence.errors import translated


class PostgresCredentials:
    """Port `Credentials` over a pool of connections to the auth context's database."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._sql = statements.load("users")["credential"]

    async def of(self, username: str) -> Credential | None:
        if "\0" in username:  # Postgres has no text with it, so nobody has that name
            return None
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(self._sql, {"username": username})).fetchone()
        return Credential(*row) if row else None
