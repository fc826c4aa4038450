"""Built-in Postgres and NATS for other machines: at one address of this one, to those who have the secret alone.

Another machine would find 127.0.0.2 here: what listens on loopback, 127.0.0.1, is not found there.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from spark_actors.embedded.addresses import LOOPBACK, Address, own_address_towards
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.errors import AddressUnusableError, EmbeddedServiceError, PortTakenError
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.persistence.connections import TURN, connect, make_pool
from spark_actors.persistence.ownership import OwnerLock
from spark_actors.persistence.wake_ups import PostgresWakeUps
from tests.fixtures.data_dirs import temporary_data_dir
from tests.integration.embedded.conftest import free_address, listening_addresses

HERE = "127.0.0.2"
QUICK = {"shared_buffers": "16MB"}
DEAD_SECONDS = 12
"""Within this the server has given up a session whose machine is gone."""
SILENT_SECONDS = 6.0
KEEPALIVE = (
    "SELECT current_setting('tcp_keepalives_idle')::int"
    " + current_setting('tcp_keepalives_interval')::int * current_setting('tcp_keepalives_count')::int"
)
"""What holds in the kernel for this very session: over a Unix socket it is zero."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    with temporary_data_dir() as data_dir:
        server = EmbeddedPostgres(data_dir, listen=free_address(HERE), extra_settings=QUICK, durable=False)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def nats_server() -> Iterator[EmbeddedNats]:
    with temporary_data_dir() as data_dir:
        server = EmbeddedNats(data_dir, NatsOptions(host=HERE, port=free_address(HERE).port))
        server.start()
        yield server
        server.stop()


def ask(dsn: str, question: str) -> Any:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def test_postgres_is_reached_at_the_address_with_its_password_and_through_its_socket(
    postgres: EmbeddedPostgres,
) -> None:
    assert ask(postgres.network_dsn(), "SELECT host(inet_server_addr())") == HERE
    assert ask(postgres.dsn(), "SELECT inet_server_addr()") is None


def test_postgres_listens_nowhere_else(postgres: EmbeddedPostgres) -> None:
    assert postgres.pid is not None
    assert listening_addresses(postgres.pid) == {HERE}


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"password": "guessed"}, "password authentication failed"),
        ({"user": "postgres"}, "no pg_hba.conf entry"),
        ({"replication": "true"}, "no pg_hba.conf entry"),
    ],
    ids=["a wrong password", "the superuser", "a replica"],
)
def test_postgres_refuses_everybody_else(postgres: EmbeddedPostgres, change: dict[str, str], refusal: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=refusal):
        psycopg.connect(make_conninfo(postgres.network_dsn(), **change))


def test_without_an_address_postgres_has_none_to_tell(data_dir: DataDir) -> None:
    with pytest.raises(EmbeddedServiceError, match="listens on no network"):
        EmbeddedPostgres(data_dir).network_dsn()


async def of_pool(dsn: str) -> int:
    async with make_pool(dsn, max_size=1) as pool, pool.connection() as session:
        return await asked(session)


async def of_listener(dsn: str) -> int:
    wake_ups = PostgresWakeUps(dsn, "hints")
    await wake_ups.wait(timedelta(0))
    assert wake_ups._connection is not None
    try:
        return await asked(wake_ups._connection)
    finally:
        await wake_ups.close()


async def asked(session: psycopg.AsyncConnection) -> int:
    row = await (await session.execute(KEEPALIVE.encode())).fetchone()
    assert row is not None
    return int(row[0])


def of_turn(dsn: str) -> int:
    with connect(dsn, TURN) as session:
        return first(session)


def of_owner(dsn: str) -> int:
    lock = OwnerLock([dsn])
    lock.take()
    [session] = lock._sessions
    assert session._connection is not None
    try:
        return first(session._connection)
    finally:
        lock.release()


def first(session: psycopg.Connection) -> int:
    row = session.execute(KEEPALIVE.encode()).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "seconds",
    [
        lambda dsn: asyncio.run(of_pool(dsn)),
        lambda dsn: asyncio.run(of_listener(dsn)),
        of_turn,
        of_owner,
        lambda dsn: ask(dsn, KEEPALIVE),
    ],
    ids=["pool", "LISTEN", "turns", "owner", "anybody"],
)
def test_a_session_whose_machine_is_gone_ends_within_seconds(
    postgres: EmbeddedPostgres, seconds: Callable[[str], int]
) -> None:
    assert 0 < seconds(postgres.network_dsn()) <= DEAD_SECONDS


class NatsClient:
    """One that says what it wants to, and nothing by itself."""

    def __init__(self, server: EmbeddedNats, token: str) -> None:
        self._connection = socket.create_connection((HERE, server.port), timeout=2 * SILENT_SECONDS)
        self._stream = self._connection.makefile("rwb")
        assert self._read().startswith("INFO ")
        login = json.dumps({"verbose": False, "auth_token": token})
        self._stream.write(f"CONNECT {login}\r\nPING\r\n".encode())
        self._stream.flush()

    def _read(self) -> str:
        return self._stream.readline().decode().strip()

    def lines(self) -> Iterator[str]:
        """What the server says, until it hangs up."""
        yield from iter(self._read, "")

    def close(self) -> None:
        self._stream.close()
        self._connection.close()


@pytest.fixture
def log_in(nats_server: EmbeddedNats) -> Iterator[Callable[[str], Iterator[str]]]:
    made: list[NatsClient] = []

    def log_in(token: str) -> Iterator[str]:
        made.append(NatsClient(nats_server, token))
        return made[-1].lines()

    yield log_in
    for client in made:
        client.close()


def test_nats_is_reached_at_the_address_with_its_token_alone(
    nats_server: EmbeddedNats, log_in: Callable[[str], Iterator[str]]
) -> None:
    assert nats_server.url == f"nats://{HERE}:{nats_server.port}"
    assert next(log_in(nats_server.token)) == "PONG"
    assert next(log_in("guessed")) == "-ERR 'Authorization Violation'"


def test_nats_listens_nowhere_else(nats_server: EmbeddedNats) -> None:
    assert nats_server.pid is not None
    assert listening_addresses(nats_server.pid) == {HERE}


def test_a_client_that_falls_silent_is_given_up_by_nats_within_seconds(
    nats_server: EmbeddedNats, log_in: Callable[[str], Iterator[str]]
) -> None:
    begin = time.monotonic()
    assert list(log_in(nats_server.token))[-1] == "-ERR 'Stale Connection'"
    assert time.monotonic() - begin < SILENT_SECONDS


def launch_postgres(data_dir: DataDir, address: Address) -> None:
    EmbeddedPostgres(data_dir, listen=address, durable=False).launch()


def launch_nats(data_dir: DataDir, address: Address) -> None:
    EmbeddedNats(data_dir, NatsOptions(host=address.host, port=address.port)).launch()


def launch_ray(data_dir: DataDir, address: Address) -> None:
    with patch.dict(os.environ):  # Ray's variables are those of the session's node
        EmbeddedRay(data_dir, listen=address).launch()


LAUNCHES = pytest.mark.parametrize("launch", [launch_postgres, launch_nats, launch_ray])


@LAUNCHES
def test_a_taken_port_is_an_error_since_others_were_told_of_it(
    data_dir: DataDir, launch: Callable[[DataDir, Address], None]
) -> None:
    with socket.socket() as other:
        other.bind((HERE, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"{HERE}:{port}: the port is taken"):
            launch(data_dir, Address(HERE, port))


@LAUNCHES
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.200", "no address of this machine"),
        ("0.0.0.0", "other machines cannot find it by that"),
        ("here", "expected an IPv4 address"),
    ],
)
def test_an_address_at_which_others_would_not_find_it_is_refused(
    data_dir: DataDir, launch: Callable[[DataDir, Address], None], host: str, reason: str
) -> None:
    with pytest.raises(AddressUnusableError, match=reason):
        launch(data_dir, Address(host, 6379))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", Address("10.0.0.1", 6379)),
        ("10.0.0.1:7", Address("10.0.0.1", 7)),
        ("localhost", Address(LOOPBACK, 6379)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert Address.parse(text, 6379) == address


@pytest.mark.parametrize(
    "text", ["", ":7", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.1:x", "::1", "no.such.host.invalid"]
)
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(AddressUnusableError):
        Address.parse(text, 6379)


def test_a_machine_finds_out_by_which_address_it_speaks_with_another() -> None:
    assert own_address_towards(Address(LOOPBACK, 6379)) == LOOPBACK
