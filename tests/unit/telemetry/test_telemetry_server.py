"""The HTTP endpoint answers scrapes, probes and the command line."""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPResponse

import pytest

from spark_actors.telemetry.http import NotListeningError, Readiness, TelemetryServer

READY: Readiness = {"postgres": None, "nats": None}


def serving(
    readiness: Callable[[], Readiness] = lambda: READY,
    port: int = 0,
    liveness: Callable[[], Sequence[str]] = list,
) -> TelemetryServer:
    return TelemetryServer(
        "127.0.0.1",
        port,
        metrics=lambda: b"spark_x 1\n",
        liveness=liveness,
        readiness=readiness,
        status=lambda: {"actors": 3},
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
