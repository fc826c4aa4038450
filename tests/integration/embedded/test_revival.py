"""A built-in service that was killed is started again where it was, with all that it had stored."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import nats
import psycopg

from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.keeping import Revivable, ServiceKeeper
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.embedded.postgres import EmbeddedPostgres

PATIENCE_SECONDS = 30.0


def kill(pid: int | None, service: Revivable, keeper: ServiceKeeper) -> None:
    """End the service's process at once, and look after it until it is back."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not service.has_ended:
        assert time.monotonic() < deadline
    keeper.look()
    assert keeper.problem
    while keeper.problem:
        keeper.look()
        assert time.monotonic() < deadline


def test_a_killed_postgres_is_back_at_its_address_with_what_it_had_committed(data_dir: DataDir) -> None:
    server = EmbeddedPostgres(data_dir, extra_settings={"shared_buffers": "16MB"})
    server.start()
    try:
        dsn = server.dsn()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
            kill(server.pid, server, ServiceKeeper("postgres", server))
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    finally:
        server.stop()


def test_a_killed_nats_is_back_at_its_port(data_dir: DataDir) -> None:
    async def reach(url: str, token: str) -> bool:
        connection = await nats.connect(url, token=token)
        await connection.close()
        return True

    server = EmbeddedNats(data_dir, NatsOptions(port=ANY_PORT))
    server.start()
    try:
        url = server.url
        kill(server.pid, server, ServiceKeeper("nats", server))
        assert server.url == url
        assert asyncio.run(reach(url, server.token))
    finally:
        server.stop()
