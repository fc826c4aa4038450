"""The daemon's HTTP endpoint: /metrics for Prometheus, /healthz and /readyz for probes, /status for the CLI.

/healthz says no when only starting the daemon anew helps; /readyz when some part does not work just now.
"""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Any, NamedTuple

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from spark_actors.kernel.errors import SparkError
from spark_actors.telemetry import tuning

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


class TelemetryServer:
    """Serves in threads of its own, so it answers however busy the rest is. The callables must be safe for that.

    Nothing is protected: whoever reaches the port may read. A callable that raises becomes a 500 and a log line.
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
    ) -> None:
        self._host, self._wanted_port = host, port
        self._routes: dict[str, Endpoint] = {
            "/metrics": lambda: Response(HTTPStatus.OK, CONTENT_TYPE_LATEST, metrics()),
            "/healthz": lambda: _alive(liveness()),
            "/readyz": lambda: _ready(readiness()),
            "/status": lambda: _json(HTTPStatus.OK, status()),
        }
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 while stopped."""
        return int(self._server.server_address[1]) if self._server else 0

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen, on a free port if the wanted one is taken (or 0). Starting twice does nothing.

        Raises NotListeningError if the host is not an address of this machine, or the port is not allowed.
        """
        if self._server is not None:
            return
        try:
            self._server = _listen(self._host, self._wanted_port, self._routes)
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
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], routes: Mapping[str, Endpoint]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.routes = routes
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
        route = self.server.routes.get(path, _not_found)
        status, content_type, body = _guarded(path, route)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes and scrapes are too many to log."""


def _listen(host: str, port: int, routes: Mapping[str, Endpoint]) -> _Server:
    try:
        return _Server((host, port), routes)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    return _Server((host, 0), routes)


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


def _not_found() -> Response:
    return _json(HTTPStatus.NOT_FOUND, {"error": "there are /metrics, /healthz, /readyz and /status"})


def _json(status: HTTPStatus, content: Mapping[str, Any]) -> Response:
    return Response(status, "application/json", json.dumps(content, default=str).encode() + b"\n")
