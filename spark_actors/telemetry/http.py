"""The HTTP endpoint of a daemon, or of a node: /metrics and /sd for Prometheus, /healthz and /readyz for probes,
/status and /logs for the command line.

/healthz says no when only starting the daemon anew helps; /readyz when some part does not work just now. All may be
read by whoever reaches the port, but for /logs, which asks for an operator's token.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from spark_actors.kernel.errors import SparkError
from spark_actors.telemetry import tuning
from spark_actors.telemetry.log_door import LogDoor, NoEntryError

ANY_HOST = ("0.0.0.0", "::")
Readiness = Mapping[str, str | None]
"""Each part that must work, and why it does not (None: it does)."""


class NotListeningError(SparkError):
    """The endpoint cannot listen where it should; `reason` is the machine's."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(host, port, reason)
        self.host, self.port, self.reason = host, port, reason

    def __str__(self) -> str:
        return f"no telemetry on {self.host}:{self.port}: {self.reason}; choose another http.host or http.port"


class Response(NamedTuple):
    """A response."""

    status: HTTPStatus
    content_type: str
    body: bytes


Endpoint = Callable[[], Response]
Targets = Callable[[], Sequence[Mapping[str, Any]]]
"""What Prometheus is to scrape, as its `http_sd_configs` take it."""


class TelemetryServer:
    """Serves in threads of its own, so it answers however busy the rest is. The callables must be safe for that.

    Nothing is protected but the logs: whoever reaches the port may read. A callable that raises becomes a 500 and a log
    line.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        metrics: Callable[[], bytes],
        liveness: Callable[[], Sequence[str]],
        readiness: Callable[[], Readiness],
        status: Callable[[], Mapping[str, Any]],
        logs: LogDoor | None = None,
        targets: Targets | None = None,
    ) -> None:
        self._host, self._wanted_port = host, port
        self._routes: dict[str, Endpoint] = {
            "/metrics": lambda: Response(HTTPStatus.OK, CONTENT_TYPE_LATEST, metrics()),
            "/healthz": lambda: _alive(liveness()),
            "/readyz": lambda: _ready(readiness()),
            "/status": lambda: _json(HTTPStatus.OK, status()),
        }
        if targets is not None:
            self._routes["/sd"] = lambda: _json(HTTPStatus.OK, targets())
        self._logs = logs
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 while stopped."""
        return int(self._server.server_address[1]) if self._server else 0

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return self._url(self._host)

    def url_for_others(self, address: str) -> str:
        """By which other machines reach it, who know this one by *address*; empty if none can."""
        if self._host in ANY_HOST:
            return self._url(address)
        is_own = self._host == address or not ipaddress.ip_address(socket.gethostbyname(self._host)).is_loopback
        return self.url if is_own else ""

    def _url(self, host: str) -> str:
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen, on a free port if the wanted one is taken (or 0). Starting twice does nothing.

        Raises NotListeningError if the host is not an address of this machine, or the port is not allowed.
        """
        if self._server is not None:
            return
        try:
            self._server = _listen(self._host, self._wanted_port, self._routes, self._logs)
        except OSError as error:
            raise NotListeningError(self._host, self._wanted_port, str(error)) from error
        self._thread = Thread(
            target=self._server.serve_forever, args=(tuning.HTTP_STOP_POLL_SECONDS,), name="telemetry-http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; answers under way are not waited for. Safe before start and after stop."""
        if self._server is None or self._thread is None:
            return
        self._server.is_ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], routes: Mapping[str, Endpoint], logs: LogDoor | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.routes, self.logs = routes, logs
        self.is_ending = Event()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for this machine's name, which can take minutes and is not used."""
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is no news; errors of routes are logged where they happen."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = tuning.HTTP_READ_SECONDS
    server_version, sys_version = "spark", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/logs" and self.server.logs is not None:
            self._tell_log(self.server.logs)
            return
        route = self.server.routes.get(path, lambda: _not_found([*self.server.routes, "/logs"]))
        self._answer(_guarded(path, route))

    def _tell_log(self, logs: LogDoor) -> None:
        """Lines as they are, for as long as the client wants them."""
        wanted = dict(parse_qsl(urlsplit(self.path).query))
        try:
            lines = logs.lines(self.headers.get("Authorization", ""), wanted, self.server.is_ending)
        except NoEntryError as error:
            self._answer(_json(error.status, {"error": error.detail}))
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/jsonl")
        self.end_headers()
        with closing(lines):
            for line in lines:
                self.wfile.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def _answer(self, response: Response) -> None:
        status, content_type, body = response
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes and scrapes are too many to log."""


def _listen(host: str, port: int, routes: Mapping[str, Endpoint], logs: LogDoor | None) -> _Server:
    try:
        return _Server((host, port), routes, logs)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    return _Server((host, 0), routes, logs)


def _guarded(path: str, route: Endpoint) -> Response:
    logger = structlog.get_logger(__name__)
    try:
        return route()
    except Exception:
        logger.exception("telemetry_request_failed", path=path)
        return _json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "see the log"})


def _alive(problems: Sequence[str]) -> Response:
    """*problems* are those that only a new start of the daemon solves."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return _json(status, {"alive": not problems, "problems": list(problems)})


def _ready(parts: Readiness) -> Response:
    ready = not any(parts.values())
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return _json(status, {"ready": ready, "parts": {part: reason or "ready" for part, reason in parts.items()}})


def _not_found(known: Sequence[str]) -> Response:
    return _json(HTTPStatus.NOT_FOUND, {"error": f"there are {', '.join(known)}"})


def _json(status: HTTPStatus, content: Mapping[str, Any] | Sequence[Any]) -> Response:
    return Response(status, "application/json", json.dumps(content, default=str).encode() + b"\n")
