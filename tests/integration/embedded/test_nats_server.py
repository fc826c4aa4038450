"""The built-in NATS server: behind a token, on loopback, keeping what it acknowledged."""

import asyncio
import json
import socket
import stat
from collections.abc import Callable, Iterator

import nats
import psutil
import pytest

from spark_actors.embedded.addresses import ANY_PORT, LOOPBACK
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.errors import PortTakenError, ServiceFailedError
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from tests.integration.embedded.conftest import StandIn, all_ended, listening_addresses
from tests.integration.embedded.stand_in_daemon import MESSAGES


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield listener.getsockname()[1]


async def count_kept(server: EmbeddedNats) -> int:
    connection = await nats.connect(server.url, token=server.token)
    found = await connection.jetstream().stream_info("KEPT")
    await connection.close()
    return found.state.messages


def greet(server: EmbeddedNats, token: str) -> str:
    """Log in, ask for a sign of life and return the server's answer."""
    login = json.dumps({"verbose": False, "auth_token": token})
    with (
        socket.create_connection((LOOPBACK, server.port), timeout=10) as connection,
        connection.makefile("rwb") as stream,
    ):
        assert stream.readline().startswith(b"INFO ")
        stream.write(f"CONNECT {login}\r\nPING\r\n".encode())
        stream.flush()
        return stream.readline().decode().strip()


def test_it_listens_on_loopback_alone(nats_server: EmbeddedNats) -> None:
    assert nats_server.pid is not None
    assert listening_addresses(nats_server.pid) == {LOOPBACK}


def test_its_configuration_and_token_are_readable_by_their_owner_alone(data_dir: DataDir) -> None:
    server = EmbeddedNats(data_dir, NatsOptions(port=ANY_PORT))
    server.start()
    server.stop()
    for path in (data_dir.nats / "nats-server.conf", data_dir.secret_path("nats-token")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_client_with_the_token_is_served(nats_server: EmbeddedNats) -> None:
    assert greet(nats_server, nats_server.token) == "PONG"


@pytest.mark.parametrize("token", ["", "guessed"])
def test_a_client_without_the_token_is_refused(nats_server: EmbeddedNats, token: str) -> None:
    assert greet(nats_server, token) == "-ERR 'Authorization Violation'"


def test_a_free_port_is_chosen_when_the_wanted_one_is_taken(data_dir: DataDir, taken_port: int) -> None:
    server = EmbeddedNats(data_dir, NatsOptions(port=taken_port))
    server.start()
    assert server.port not in {taken_port, ANY_PORT}
    assert server.url == f"nats://127.0.0.1:{server.port}"
    server.stop()


def test_a_taken_port_is_a_clear_error_for_who_insists_on_it(data_dir: DataDir, taken_port: int) -> None:
    server = EmbeddedNats(data_dir, NatsOptions(port=taken_port, free_port_if_taken=False))
    with pytest.raises(PortTakenError, match=f"127.0.0.1:{taken_port}: the port is taken"):
        server.start()


def test_a_server_that_refuses_to_start_says_why(data_dir: DataDir) -> None:
    server = EmbeddedNats(data_dir, NatsOptions(port=ANY_PORT, sync_interval="sometimes"))
    with pytest.raises(ServiceFailedError, match="sync_interval"):
        server.start()


def test_a_server_of_an_earlier_run_is_stopped_first(data_dir: DataDir) -> None:
    earlier = EmbeddedNats(data_dir, NatsOptions(port=ANY_PORT))
    earlier.start()
    earlier.start()
    left = psutil.Process(earlier.pid)
    later = EmbeddedNats(data_dir, NatsOptions(port=earlier.port, free_port_if_taken=False))
    later.start()
    assert all_ended([left])
    assert later.pid != left.pid
    later.stop()
    later.stop()
    earlier.stop()


def test_what_was_acknowledged_outlives_the_killed_daemon_and_the_killed_server(
    data_dir: DataDir, start_stand_in: Callable[[str, DataDir], StandIn]
) -> None:
    daemon = start_stand_in("nats", data_dir)
    processes = daemon.service_processes()
    for process in processes:
        process.kill()
    daemon.process.kill()
    assert all_ended(processes)
    server = EmbeddedNats(data_dir, NatsOptions(port=ANY_PORT))
    server.start()
    assert asyncio.run(count_kept(server)) == MESSAGES
    server.stop()


def test_a_killed_daemon_takes_its_server_along(
    data_dir: DataDir, start_stand_in: Callable[[str, DataDir], StandIn]
) -> None:
    daemon = start_stand_in("nats", data_dir)
    processes = daemon.service_processes()
    assert processes
    daemon.process.kill()
    assert all_ended(processes)


@pytest.mark.parametrize("name", ['my data, 100% Größe "x"\\y', "it's $HOME `id` {b} +a;b#c"])
def test_a_path_may_hold_any_characters(data_dir: DataDir, name: str) -> None:
    server = EmbeddedNats(DataDir(data_dir.path / name), NatsOptions(port=ANY_PORT))
    server.start()
    server.stop()
    assert (data_dir.path / name / "nats" / "nats-server.log").exists()
