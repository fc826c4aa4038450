"""Postgres and NATS of somebody else, behind proxies that cut, mute and refuse connections, under load."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from tests.faults.conftest import NewScene, Scene, assert_nothing_is_lost_or_doubled
from tests.fixtures.data_dirs import temporary_data_dir
from tests.fixtures.proxy import Proxy, proxy_to_port, proxy_to_socket
from tests.lab.chaos.target import SETTINGS

AWAY_SECONDS = 8.0
MOMENT_SECONDS = 2.0


class Proxies:
    """What stands between the daemon and its services."""

    def __init__(self, postgres: Proxy, nats: Proxy) -> None:
        self.postgres, self.nats = postgres, nats


@pytest.fixture(scope="module")
def dsn(template_database: str, new_database: Callable[[str], str]) -> str:
    return new_database(template_database)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="spark-proxy-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def nats() -> Iterator[EmbeddedNats]:
    """A server of the module's own: the daemon's stream is the only one of its name."""
    with temporary_data_dir() as data_dir:
        server = EmbeddedNats(data_dir, NatsOptions(port=ANY_PORT))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def proxies(dsn: str, folder: Path, nats: EmbeddedNats) -> Iterator[Proxies]:
    known = conninfo_to_dict(dsn)
    socket = f".s.PGSQL.{known['port']}"
    found = Proxies(proxy_to_socket(Path(str(known["host"])) / socket), proxy_to_port(nats.port))
    found.postgres.listen_on_socket(folder / socket)
    yield found
    found.postgres.close()
    found.nats.close()


@pytest.fixture(scope="module")
def scene(proxies: Proxies, dsn: str, folder: Path, nats: EmbeddedNats, new_scene: NewScene) -> Scene:
    to_postgres = f"[postgres]\ndsn = {json.dumps(make_conninfo(dsn, host=str(folder)))}\n"
    to_nats = f'[nats]\nurl = "nats://127.0.0.1:{proxies.nats.listen_on_port()}"\ntoken = "{nats.token}"\n'
    return new_scene(SETTINGS.replace("[nats]\nport = 0\n", to_nats + to_postgres), seed=3)


@pytest.mark.timeout(180)
def test_connections_that_are_cut_again_and_again_are_made_again(scene: Scene, proxies: Proxies) -> None:
    before = proxies.postgres.connections
    for _ in range(4):
        proxies.postgres.cut()
        proxies.nats.cut()
        scene.wait(MOMENT_SECONDS / 2)
    assert proxies.postgres.connections > before
    assert_served(scene)


@pytest.mark.timeout(180)
def test_services_that_say_nothing_are_waited_for(scene: Scene, proxies: Proxies) -> None:
    for proxy in (proxies.postgres, proxies.nats):
        with proxy.mute():
            scene.wait(MOMENT_SECONDS)
        assert_served(scene)


@pytest.mark.timeout(240)
def test_with_both_away_the_daemon_says_so_waits_and_goes_on(scene: Scene, proxies: Proxies) -> None:
    scene.wait_until_ready(30)  # it may not have got over what came before
    lines = len(log_of(scene))
    with ExitStack() as away:
        away.enter_context(proxies.postgres.away())
        away.enter_context(proxies.nats.away())
        scene.wait(AWAY_SECONDS)
        assert scene.readiness()["ready"] is False
        failing = [
            (line["process"], line["event"], line.get("loop"))
            for line in log_of(scene)[lines:]
            if line["event"] in ("failing", "broker_error")
        ]
        assert failing
        assert len(failing) == len(set(failing)), "what fails is logged once"
    assert_served(scene)
    scene.wait_until_ready(30)


@pytest.mark.timeout(300)
def test_in_the_end_nothing_is_lost_and_nothing_doubled(scene: Scene) -> None:
    assert_nothing_is_lost_or_doubled(scene)


def assert_served(scene: Scene) -> None:
    served, ended = scene.recovered()
    assert served is not None
    assert ended is not None


def log_of(scene: Scene) -> list[dict[str, str]]:
    text = (scene.target.data_dir.logs / "daemon.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]
