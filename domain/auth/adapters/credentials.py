"""Users by name, for logging in: one look-up in the auth context's own table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from psycopg_pool import AsyncConnectionPool

from spark_actors.persistence.errors import translated

_BY_NAME = "SELECT account_id, password_hash FROM auth.users WHERE username = %(username)s"


@dataclass(frozen=True)
class Credential:
    """What somebody who logs in is held against."""

    account_id: str
    password_hash: str = field(repr=False)
    """argon2, in PHC form."""


class Credentials(Protocol):
    """Finds users by name."""

    async def of(self, username: str) -> Credential | None:
        """The user of this name, in lower case; None if there is none. Raises StorageUnavailableError."""


class PostgresCredentials:
    """Port `Credentials` over a pool of connections to the auth context's database."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def of(self, username: str) -> Credential | None:
        if "\0" in username:  # Postgres has no text with it, so nobody has that name
            return None
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_BY_NAME, {"username": username})).fetchone()
        return Credential(*row) if row else None
