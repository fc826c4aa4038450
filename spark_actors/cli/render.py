"""Views and answers as people like to read them: any JSON object as a list of fields and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from spark_actors.cli.output import amount, moment
from spark_actors.ingress.client import Answer
from spark_actors.kernel.decisions import Verdict

STYLES = {
    Verdict.DONE: "bold green",
    Verdict.REJECTED: "bold yellow",
    Verdict.FAILED: "bold red",
    Verdict.PARKED: "bold cyan",
}
FOR_MACHINES = ("payment_request", "payment_hash", "message_id", "causation_id")
"""Long columns that tables leave to --json."""
NOTHING = Text("–", style="dim")


def render_answer(answer: Answer) -> Text:
    """The outcome of a command in one line, with what was said beside it."""
    line = Text.assemble((answer.outcome.value, STYLES[answer.outcome]))
    if answer.reason:
        line.append(f": {answer.reason}")
    for name, value in answer.data.items():
        line.append(f"  {name}=").append(cell(name, value))
    return line.append(f"  ({answer.message_id})", style="dim")


def render_view(view: Mapping[str, Any], *, title: str) -> RenderableType:
    """A view: its plain fields first, then a table for each list in it."""
    whole = {
        name: value for name, value in view.items() if name != "truncated" or value
    }  # the usual is not worth a word
    plain = {name: value for name, value in whole.items() if not isinstance(value, (list, Mapping))}
    parts: list[RenderableType] = [_fields(plain)] if plain else []
    for name, value in view.items():
        if isinstance(value, Mapping):
            parts.append(render_view(value, title=heading(name)))
        elif isinstance(value, list):
            parts.append(render_rows(value, title=heading(name)))
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")


def render_rows(rows: Sequence[Any], *, title: str = "") -> RenderableType:
    """Rows of one form as a table, without the columns in which no row has a value, or that are for machines."""
    if not rows or not isinstance(rows[0], Mapping):
        return Text(f"{title}: {', '.join(map(str, rows)) or 'none'}", style="" if rows else "dim")
    columns = [name for name in rows[0] if name not in FOR_MACHINES and any(_says_something(row, name) for row in rows)]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", pad_edge=False, box=None)
    for name in columns:
        justify: JustifyMethod = "right" if _is_number(rows[0][name]) else "left"
        table.add_column(heading(name), justify=justify, overflow="fold", no_wrap=_is_moment(name))
    for row in rows:
        table.add_row(*(cell(name, _news(row, name)) for name in columns))
    return table


def heading(name: str) -> str:
    """A field's name as a heading, without its unit: `ended_at` is `ended`."""
    return amount(name, 0)[0].removesuffix("_at").replace("_", " ")


def cell(name: str, value: object) -> Text:
    """A field's value as text, by what its name says of its unit."""
    if value is None or value == "":
        return NOTHING.copy()
    if isinstance(value, bool):
        return Text("yes" if value else "no", style="green" if value else "")
    if name == "pid":
        return Text(str(value))
    if isinstance(value, int):
        return Text(amount(name, value)[1])
    if isinstance(value, datetime):
        return Text(moment(value))
    if _is_moment(name):
        return Text(moment(datetime.fromisoformat(value)) if isinstance(value, str) else str(value))
    if isinstance(value, Mapping):
        return Text(" ".join(f"{key}={cell(key, item).plain}" for key, item in value.items()))
    return Text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _fields(values: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(heading(name), cell(name, value))
    return table


def _says_something(row: Mapping[str, Any], name: str) -> bool:
    return _news(row, name) not in (None, "", {}, [])


def _news(row: Mapping[str, Any], name: str) -> Any:
    """A row's value; of an object, what the row does not say elsewhere."""
    value = row.get(name)
    if not isinstance(value, Mapping):
        return value
    said = [other for key, other in row.items() if key != name]
    return {key: item for key, item in value.items() if item not in said}


def _is_moment(name: str) -> bool:
    return name == "at" or name.endswith("_at")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
