"""The HTTP endpoint answers scrapes, probes and the command line."""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import pytest

from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import ANONYMOUS, UNAUTHENTICATED, Principal
from spark_actors.telemetry import tuning
from spark_actors.telemetry.http import NotListeningError, Readiness, Targets, TelemetryServer
from spark_actors.telemetry.log_door import LogDoor
from tests.fixtures.daemon import eventually

READY: Readiness = {"postgres": None, "nats": None}


def serving(
    readiness: Callable[[], Readiness] = lambda: READY,
    port: int = 0,
    liveness: Callable[[], Sequence[str]] = list,
    host: str = "127.0.0.1",
    logs: LogDoor | None = None,
    targets: Targets | None = None,
) -> TelemetryServer:
    return TelemetryServer(
        host,
        port,
        metrics=lambda: b"spark_x 1\n",
        liveness=liveness,
        readiness=readiness,
        status=lambda: {"actors": 3},
        logs=logs,
        targets=targets,
    )


@pytest.fixture
def server() -> Iterator[TelemetryServer]:
    server = serving()
    server.start()
    yield server
    server.stop()


def get(server: TelemetryServer, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_metrics_are_served_as_prometheus_wants_them(server: TelemetryServer) -> None:
    response, body = get(server, "/metrics?x=1")
    assert (response.status, body) == (200, b"spark_x 1\n")
    assert response.headers["Content-Type"].startswith("text/plain; version=")


def test_a_daemon_that_can_help_itself_is_alive(server: TelemetryServer) -> None:
    response, body = get(server, "/healthz")
    assert (response.status, json.loads(body)) == (200, {"alive": True, "problems": []})


def test_a_daemon_that_only_a_new_start_helps_says_why() -> None:
    server = serving(liveness=lambda: ["the root is gone"])
    server.start()
    response, body = get(server, "/healthz")
    ready, _ = get(server, "/readyz")
    server.stop()
    assert (response.status, json.loads(body)) == (503, {"alive": False, "problems": ["the root is gone"]})
    assert ready.status == 200


def test_status_is_json(server: TelemetryServer) -> None:
    response, body = get(server, "/status")
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"actors": 3}


def test_ready_means_that_every_part_works(server: TelemetryServer) -> None:
    response, body = get(server, "/readyz")
    assert response.status == 200
    assert json.loads(body) == {"ready": True, "parts": {"postgres": "ready", "nats": "ready"}}


def test_not_ready_says_which_part_is_not_and_why() -> None:
    server = serving(lambda: {"postgres": None, "nats": "connection refused"})
    server.start()
    response, body = get(server, "/readyz")
    server.stop()
    assert response.status == 503
    assert json.loads(body) == {"ready": False, "parts": {"postgres": "ready", "nats": "connection refused"}}


def test_an_unknown_path_names_the_known_ones(server: TelemetryServer) -> None:
    response, body = get(server, "/")
    assert response.status == 404
    assert b"/metrics" in body


def test_nothing_can_be_posted(server: TelemetryServer) -> None:
    assert get(server, "/metrics", "POST")[0].status == 501


def test_a_part_that_breaks_is_a_500_and_the_next_request_is_answered() -> None:
    def broken() -> Readiness:
        raise RuntimeError("no")

    server = serving(broken)
    server.start()
    try:
        assert get(server, "/readyz")[0].status == 500
        assert get(server, "/healthz")[0].status == 200
    finally:
        server.stop()


def test_a_taken_port_becomes_a_free_one(server: TelemetryServer) -> None:
    second = serving(port=server.port)
    second.start()
    try:
        assert second.port not in {0, server.port}
        assert get(second, "/healthz")[0].status == 200
        assert second.url == f"http://127.0.0.1:{second.port}"
    finally:
        second.stop()


def test_a_host_that_is_not_ours_is_an_error() -> None:
    server = TelemetryServer("192.0.2.1", 0, metrics=bytes, liveness=list, readiness=dict, status=dict)
    with pytest.raises(NotListeningError, match="assign") as raised:
        server.start()
    server.stop()
    error = pickle.loads(pickle.dumps(raised.value))
    assert (error.host, error.port) == ("192.0.2.1", 0)
    assert str(error).startswith("no telemetry on 192.0.2.1:0: ")


def test_starting_and_stopping_twice_is_safe() -> None:
    server = serving()
    server.stop()
    server.start()
    port = server.port
    server.start()
    assert server.port == port
    server.stop()
    server.stop()
    assert server.port == 0


def test_a_silent_client_does_not_keep_the_server_from_stopping(server: TelemetryServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.connect()
    server.stop()
    connection.close()


# --- the log ---


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    file = tmp_path / "node.jsonl"
    file.write_text('{"event": "one", "process": "node"}\n{"event": "two", "process": "spark/x"}\n')
    return file


@pytest.fixture
def door(log_file: Path) -> Iterator[TelemetryServer]:
    """A server that tells its log."""
    server = serving(logs=LogDoor(log_file, known))
    server.start()
    yield server
    server.stop()


def known(authorization: str, at: float) -> Principal:
    """In place of tokens: the header names the role."""
    if authorization == "rubbish":
        raise RefusedError(UNAUTHENTICATED, "the token cannot be read")
    return Principal("somebody", frozenset({authorization})) if authorization else ANONYMOUS


def ask_log(server: TelemetryServer, query: str = "", authorization: str = "operator") -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", f"/logs{query}", headers={"Authorization": authorization})
    return connection.getresponse()


def test_an_operator_gets_the_lines_that_are_wanted(door: TelemetryServer) -> None:
    with ask_log(door) as response:
        assert response.status == 200
        assert [json.loads(line)["event"] for line in response] == ["one", "two"]
    with ask_log(door, "?process=spark%2F&limit=5") as response:
        assert [json.loads(line)["event"] for line in response] == ["two"]


@pytest.mark.parametrize("authorization", ["", "user", "rubbish"])
def test_nobody_else_gets_a_line(door: TelemetryServer, authorization: str) -> None:
    with ask_log(door, authorization=authorization) as response:
        assert response.status == 401
        assert b"one" not in response.read()


@pytest.mark.parametrize("limit", ["0", "-1", "many", "10001", "²"])
def test_a_limit_that_is_none_is_refused(door: TelemetryServer, limit: str) -> None:
    with ask_log(door, f"?{urlencode({'limit': limit})}") as response:
        assert response.status == 400


def test_who_follows_gets_what_comes_until_the_server_ends(door: TelemetryServer, log_file: Path) -> None:
    with ask_log(door, "?follow=1&limit=1") as response:
        assert json.loads(response.readline())["event"] == "two"
        with log_file.open("a") as file:
            file.write('{"event": "three"}\n')
        assert json.loads(response.readline())["event"] == "three"
        door.stop()
        assert response.read() == b""


def test_who_follows_a_silent_log_gets_a_sign_of_life(door: TelemetryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LOG_SIGN_SECONDS", 0.1)
    with ask_log(door, "?follow=1&limit=1") as response:
        assert response.readline()
        assert response.readline() == b"\n"


def test_no_more_than_a_few_read_at_the_same_time_and_who_leaves_makes_room(
    door: TelemetryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "LOG_SIGN_SECONDS", 0.1)
    readers = [ask_log(door, "?follow=1") for _ in range(tuning.LOG_READERS)]
    assert [reader.status for reader in readers] == [200] * tuning.LOG_READERS
    assert ask_log(door).status == 503
    for reader in readers:
        reader.close()
    assert eventually(lambda: ask_log(door).status == 200)


def test_a_server_without_a_log_has_none_to_tell(server: TelemetryServer) -> None:
    assert ask_log(server).status == 404


# --- what Prometheus is told ---


def test_prometheus_is_told_what_to_scrape() -> None:
    targets = [{"targets": ["10.0.0.1:9464"], "labels": {"node": "a", "role": "head"}}]
    server = serving(targets=lambda: targets)
    server.start()
    try:
        response, body = get(server, "/sd")
        assert (response.status, json.loads(body)) == (200, targets)
        assert response.headers["Content-Type"] == "application/json"
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("host", "address", "told"),
    [
        ("127.0.0.1", "127.0.0.1", "http://127.0.0.1:0"),
        ("127.0.0.1", "10.0.0.7", ""),
        ("0.0.0.0", "10.0.0.7", "http://10.0.0.7:0"),
        ("10.0.0.7", "10.0.0.7", "http://10.0.0.7:0"),
        ("10.9.0.7", "10.0.0.7", "http://10.9.0.7:0"),
    ],
)
def test_others_are_told_an_address_by_which_they_reach_it(host: str, address: str, told: str) -> None:
    assert serving(host=host).url_for_others(address) == told
