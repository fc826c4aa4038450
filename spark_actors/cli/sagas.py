"""`spark-actors sagas`: the long stories that cross contexts, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.desk import desk_of, listed
from spark_actors.cli.errors import CliError, UsageMistakeError
from spark_actors.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    LimitOption,
    TimeoutOption,
    TokenFileOption,
)
from spark_actors.cli.vocabulary import application
from spark_actors.kernel.sagas import SagaState

if TYPE_CHECKING:
    from spark_actors.messaging.ports import SagaRow
    from spark_actors.operations.messages import SagaLine

LIST_EXAMPLES = """
Examples:

[bold]spark-actors sagas list --state running --overdue[/]

[bold]spark-actors sagas list --kind KIND --limit 5 --json[/]
"""
SHOW_EXAMPLES = """
Example:

[bold]spark-actors sagas show KIND ID[/]
"""


def kinds(incomplete: str = "") -> list[str]:
    """The kinds of sagas that begin so."""
    names = {saga.name for context in application().bounded_contexts for saga in context.sagas}
    return sorted(name for name in names if name.startswith(incomplete))


def list_sagas(
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="Only of this kind.", metavar="KIND", autocompletion=kinds),
    ] = None,
    state: Annotated[SagaState | None, typer.Option("--state", help="Only in this state.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those that run past their deadline.")] = False,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List sagas, the newest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.operations.messages import ListSagas

    _check_kind(kind, "--kind")
    asked = ListSagas(kind or "", state or "", is_overdue=overdue)
    rows = listed(desk_of(Target(data_dir, config), token_file), asked, "sagas", limit)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        console().print(saga_table(rows, datetime.now(UTC)) if rows else "no such sagas")


def show_saga(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="As `sagas list` shows it.")],
    saga_id: Annotated[str, typer.Argument(metavar="ID", help="As `sagas list` shows it.")],
    limit: LimitOption = 20,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the stories of one saga, the newest first, each with its steps: every event of it, in order.

    A saga has one story, unless its id was used again: each use is a story of its own.
    """
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.timeline import render_timeline
    from spark_actors.operations.messages import LETTERS_AT_ONCE, ShowStory

    _check_kind(kind, "KIND")
    target = Target(data_dir, config)
    found = desk_of(target, token_file).ask(ShowStory(kind, saga_id, min(limit, LETTERS_AT_ONCE)))
    if found is None:
        raise CliError(f"there is no {kind} saga {saga_id!r}")
    stories = [(row, _timeline(target, token_file, row.correlation_id, timeout)) for row in found.sagas]
    if as_json:
        print_json([{**asdict(row), "timeline": lines} for row, lines in stories])
        return
    out = console()
    for row, lines in stories:
        out.print(saga_table([row], datetime.now(UTC)))
        out.print(render_timeline(lines))


def saga_table(rows: Sequence[SagaRow | SagaLine], now: datetime) -> Any:
    """Sagas as a table."""
    from rich.table import Table
    from rich.text import Text

    from spark_actors.cli.output import moment, span

    styles = {SagaState.RUNNING: "cyan", SagaState.COMPLETED: "green", SagaState.FAILED: "yellow"}
    table = Table(
        "kind", "id", "state", "step", "last event", "started", "took", "deadline", header_style="dim", box=None
    )
    for row in rows:
        is_running = row.state is SagaState.RUNNING
        is_late = is_running and row.deadline_at < now
        table.add_row(
            row.kind,
            Text(row.saga_id),
            Text(row.state, style=styles[row.state]),
            row.step,
            row.last_event,
            moment(row.started_at),
            span((now if is_running else row.updated_at) - row.started_at),
            Text(moment(row.deadline_at), style="bold red" if is_late else ""),
        )
    return table


def _check_kind(kind: str | None, what: str) -> None:
    if kind is not None and kind not in kinds():
        raise UsageMistakeError(f"{what}: expected {' or '.join(kinds())}, got {kind!r}")


def _timeline(target: Target, token_file: Path | None, correlation_id: str, timeout: float) -> list[dict[str, Any]]:
    if (timeline := target.application().timeline) is None:
        return []
    from spark_actors.cli.acting import who_acts

    acting = who_acts(target.place, token_file) if token_file else None
    view = target.talk(lambda client: client.view(timeline(correlation_id), timeout=timeout), acting)
    lines: list[dict[str, Any]] = view["lines"]
    return lines
