"""The events of one story as people read them: when, in which context, what, and to whom it happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from spark_actors.cli.output import sats

CONTEXT_STYLES = {"auth": "magenta", "accounting": "green", "crowdfunding": "cyan", "bitcoin": "yellow"}
AGGREGATES = {"auth": "User", "accounting": "Account", "crowdfunding": "Campaign", "bitcoin": "Invoice"}
"""What hosts the events of a context."""

Naming = Callable[[str], str]
"""Makes an id readable."""


def render_timeline(lines: Sequence[Mapping[str, Any]], *, naming: Naming = str, title: str = "timeline") -> Table:
    """The lines of the view `dashboard.timeline`, each with the milliseconds since the first."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None)
    table.add_column("+ms", justify="right")
    for heading in ("context", "aggregate", "event", ""):
        table.add_column(heading, overflow="fold")
    start = min((_at(line) for line in lines), default=None)
    for line in lines:
        context, _, event = str(line["event"]).partition(".")
        passed = (_at(line) - start).total_seconds() * 1000 if start else 0
        table.add_row(
            f"{passed:,.0f}",
            Text(context, style=CONTEXT_STYLES.get(context, "")),
            Text.assemble(AGGREGATES.get(context, ""), " ", (naming(str(line["key"])), "bold")),
            event.replace("-", " "),
            Text(_details(line["data"]), style="dim"),
        )
    return table


def _at(line: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(line["at"])


def _details(data: Mapping[str, Any]) -> str:
    """What an event says besides who it is about: amounts, balances, reasons."""
    told = [f"{name.removesuffix('_sat')} {sats(value)}" for name, value in data.items() if name.endswith("_sat")]
    return ", ".join([*told, *([str(data["reason"])] if data.get("reason") else [])])
