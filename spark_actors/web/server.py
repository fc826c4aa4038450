"""The web process: serves until it is told to end, and then takes leave of who looks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from spark_actors.application import load_application
from spark_actors.telemetry.logs import configure_logging
from spark_actors.web import tuning
from spark_actors.web.api.late import LateApi
from spark_actors.web.app import site_of, web_app
from spark_actors.web.console.pages import PAGES as CONSOLE
from spark_actors.web.gateway import Gateway
from spark_actors.web.home import PAGES
from spark_actors.web.options import FindBroker, WebOptions
from spark_actors.web.streams import Streams

log = structlog.get_logger(__name__)


def serve(options: WebOptions, listening: socket.socket, find: FindBroker, on_ready: Callable[[], None]) -> None:
    """Serve on this socket until SIGTERM or Ctrl-C."""
    configure_logging("web", Path(options.log_file) if options.log_file else None, options.log_level)
    asyncio.run(_serve(options, listening, find, on_ready))


async def _serve(options: WebOptions, listening: socket.socket, find: FindBroker, on_ready: Callable[[], None]) -> None:
    application = load_application(options.application)
    streams = Streams(options.max_streams)
    gateway = Gateway(find, streams.is_lively)
    api = LateApi(application, gateway, streams)
    pages = (PAGES, CONSOLE, api.pages(), *([application.pages()] if application.pages else []))
    site = site_of(application.name, pages, gateway, streams, options)
    server = _server(web_app(site, pages, api.routes()))
    kept = asyncio.create_task(gateway.keep())

    def end() -> None:
        streams.close()  # first: a server that is to end waits for its streams
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    on_ready()
    log.info("web_started", url=options.url)
    await server.serve(sockets=[listening])
    kept.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await kept


class _Server(uvicorn.Server):
    """Without handlers of signals of its own: those wait for streams that do not end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: ASGIApp) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=tuning.FAREWELL_SECONDS,
            timeout_keep_alive=tuning.KEEP_ALIVE_SECONDS,
        )
    )


def kept_by_daemon(folder: Path, descriptor: int) -> None:
    """As the daemon of this machine starts it: with files in *folder*, and a socket that listens already."""
    import json

    from spark_actors.embedded.web_process import BROKER_FILE, OPTIONS_FILE, PID_FILE
    from spark_actors.web.options import broker_in

    options = WebOptions(**json.loads((folder / OPTIONS_FILE).read_text("utf-8")))
    pid_file = folder / PID_FILE
    serve(
        options,
        socket.socket(fileno=descriptor),
        broker_in(folder / BROKER_FILE),
        lambda: _write(pid_file, str(os.getpid())),
    )


def _write(file: Path, text: str) -> None:
    file.write_text(text, "ascii")
