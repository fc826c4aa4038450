"""Users by name, as a login finds them."""

from __future__ import annotations

import asyncio

import psycopg

from domain.auth.adapters.credentials import Credential, PostgresCredentials
from spark_actors.persistence.connections import make_pool
from tests.unit.domain.builders import ARGON2

INSERT = """
    INSERT INTO auth.users (account_id, version, username, password_hash, registered_at)
    VALUES ('account-of-ann', 1, 'ann', %s, now())
"""


def test_a_user_is_found_by_name_and_nobody_else_is(emptied_database: str) -> None:
    with psycopg.connect(emptied_database, autocommit=True) as connection:
        connection.execute(INSERT, [ARGON2])

    async def play() -> None:
        async with make_pool(emptied_database) as pool:
            credentials = PostgresCredentials(pool)
            assert await credentials.of("ann") == Credential("account-of-ann", ARGON2)
            for name in ("bob", "", "ann\0", "ANN", "' OR true --"):
                assert await credentials.of(name) is None
            assert ARGON2 not in repr(await credentials.of("ann"))

    asyncio.run(play())
