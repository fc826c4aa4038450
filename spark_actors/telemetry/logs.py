"""Structured logs: one JSON line a fact, from every process and library, without secrets.

Each line has `event` (a short snake_case word for what happened), `timestamp` (UTC), `level`, `logger`, `process`, and,
where one is known, `correlation_id`; the rest are fields. What libraries log through the
standard library comes as event `library_message` with their text in `message`.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import MutableMapping
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from spark_actors.telemetry.masking import mask_secrets

LogFormat = Literal["auto", "console", "json"]

CHATTY_LIBRARIES = ("ray", "nats", "psycopg", "asyncio", "uvicorn")
"""Logged from warnings up, whatever the level: at the levels below they talk about every call."""

FIRST_FIELDS = ("timestamp", "level", "event", "process", "correlation_id")
"""At the left, where the eye looks for them."""


def configure_logging(process: str, file: Path | None, level: str, *, format: LogFormat = "json") -> None:
    """Send what this process logs to *file*, which many processes may share, or to stderr in *format*.

    stderr is used when there is no file or its folder does not exist (on another machine of the cluster).
    *process* is the actor's name, *level* one of debug, info, warning, error. May be called again; call it after the
    import of libraries that bring log handlers of their own (ray), as these are taken off.
    """
    handler, minimum = _handler(file), logging.getLevelNamesMapping()[level.upper()]
    renderer = renderer_for("json") if isinstance(handler, WholeLineHandler) else renderer_for(format, sys.stderr)
    common = _common_processors(process)
    finish: list[Processor] = [ProcessorFormatter.remove_processors_meta, mask_secrets, renderer]
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=[_name_library_message, *common], processors=finish))
    _route_standard_library(handler, minimum)
    structlog.configure(
        processors=[*common, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a logger may be used before this is called, and this called again
    )


def renderer_for(format: LogFormat, stream: TextIO | None = None) -> Processor:
    """How a line looks; `auto` is for people on a terminal and JSON otherwise. Colours only on a terminal."""
    terminal = stream is not None and stream.isatty()
    if format == "json" or (format == "auto" and not terminal):
        return structlog.processors.JSONRenderer(serializer=_one_line)
    return structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)


class WholeLineHandler(WatchedFileHandler):
    """Appends to a file that other processes append to as well; lines never mix.

    Each line is one write (CPython's buffers pass on whole what is longer than they are), and with O_APPEND the
    kernel keeps writes apart.
    Follows the name: when the file is renamed or removed, the next line goes to a new one (mode 0600).
    """

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def _common_processors(process: str) -> list[Processor]:
    """What every line gets, whoever logs it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _ProcessName(process),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


class _ProcessName:
    """Adds the actor's name to each line."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        event["process"] = self._process
        return event


def _handler(file: Path | None) -> logging.Handler:
    if file is not None and file.parent.is_dir():
        return WholeLineHandler(file)
    return logging.StreamHandler(sys.stderr)


def _route_standard_library(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for previous in root.handlers[:]:
        root.removeHandler(previous)
        if isinstance(previous, WholeLineHandler):
            previous.close()
    root.addHandler(handler)
    root.setLevel(level)
    for library in CHATTY_LIBRARIES:
        logger = logging.getLogger(library)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(level, logging.WARNING))


def _name_library_message(logger: object, method: str, event: MutableMapping[str, Any]) -> EventDict:
    return {**event, "event": "library_message", "message": event["event"]}


def _one_line(event: EventDict, **_: Any) -> str:
    event = {**{name: event[name] for name in FIRST_FIELDS if name in event}, **event}
    return json.dumps(event, default=str, ensure_ascii=False)
