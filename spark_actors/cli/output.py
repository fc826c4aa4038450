"""What commands print: tables for people on a terminal, JSON for scripts."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console

PIPE_WIDTH = 160
"""Columns when the output is no terminal, so that nothing is cut short in a file."""


def console() -> Console:
    """The console for what a command was asked for."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH, soft_wrap=False)


def print_json(value: object) -> None:
    """One JSON document on standard output: indented on a terminal, one line otherwise."""
    print(json.dumps(value, default=_plain, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def amount(name: str, value: int) -> tuple[str, str]:
    """What a number is called, and as people read it: with its unit, if the end of its name is one."""
    from spark_actors.cli.vocabulary import application

    unit = next((unit for unit in application().units if name.endswith(f"_{unit}")), "")
    return (name.removesuffix(f"_{unit}"), f"{value:,} {unit}") if unit else (name, f"{value:,}")


def moment(at: datetime | None) -> str:
    """A time to the second, in UTC."""
    return "–" if at is None else at.strftime("%Y-%m-%d %H:%M:%S")


def span(duration: timedelta) -> str:
    """A duration in its largest fitting unit, e.g. `3 min`."""
    seconds = duration.total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return _as_dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _as_dict(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()}
