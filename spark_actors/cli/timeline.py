"""The events of one story as people read them: when, in which context, what, and to whom it happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import cycle
from typing import Any

from rich.table import Table
from rich.text import Text

from spark_actors.cli.output import amount
from spark_actors.cli.vocabulary import application

STYLES = ("magenta", "green", "cyan", "yellow", "blue", "red")
"""Of the contexts, in their order."""

Naming = Callable[[str], str]
"""Makes an id readable."""


def render_timeline(lines: Sequence[Mapping[str, Any]], *, naming: Naming = str, title: str = "timeline") -> Table:
    """The lines of a story, each with the milliseconds since the first."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None)
    table.add_column("+ms", justify="right")
    for heading in ("context", "aggregate", "event", ""):
        table.add_column(heading, overflow="fold")
    contexts = application().bounded_contexts
    aggregates = {each.name: each.aggregate.__name__ for each in contexts if each.aggregate}
    styles = dict(zip((each.name for each in contexts), cycle(STYLES), strict=False))
    start = min((_at(line) for line in lines), default=None)
    for line in lines:
        context, _, event = str(line["event"]).partition(".")
        passed = (_at(line) - start).total_seconds() * 1000 if start else 0
        table.add_row(
            f"{passed:,.0f}",
            Text(context, style=styles.get(context, "")),
            Text.assemble(aggregates.get(context, ""), " ", (naming(str(line["key"])), "bold")),
            event.replace("-", " "),
            Text(_details(line["data"]), style="dim"),
        )
    return table


def _at(line: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(line["at"])


def _details(data: Mapping[str, Any]) -> str:
    """What an event says besides who it is about: amounts, balances, reasons."""
    numbers = ((name, value) for name, value in data.items() if type(value) is int)
    told = [" ".join(amount(name, value)) for name, value in numbers]
    return ", ".join([*told, *([str(data["reason"])] if data.get("reason") else [])])
