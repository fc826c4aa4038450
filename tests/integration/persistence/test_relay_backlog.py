"""The estimate of the relays' backlog: near enough, without a look at the rows."""

from __future__ import annotations

import asyncio

from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from spark_actors.persistence.relay_backlog import PostgresRelayBacklog
from tests.fixtures.aggregates import an_event, commit
from tests.fixtures.application import TABLES

WAITING, PATIENCE_SECONDS = 300, 30


def test_it_follows_the_fullest_outbox(database: str) -> None:
    async def play() -> None:
        async with make_pool(database) as pool:
            backlog = PostgresRelayBacklog({"auth": pool, "accounting": pool})
            assert await backlog() == 0
            factory = PostgresUnitOfWorkFactory(database, "accounting", TABLES["accounting"])
            commit(factory(), events=[an_event(f"event-{number}") for number in range(WAITING)])
            factory.close()  # a connection tells what it has counted when it ends, or every second
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await backlog() != WAITING:
                    await asyncio.sleep(0.05)
            async with pool.connection() as connection:
                await connection.execute("DELETE FROM accounting.outbox")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await backlog() != 0:
                    await asyncio.sleep(0.05)

    asyncio.run(play())
