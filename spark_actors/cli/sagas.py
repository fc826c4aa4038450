"""`spark-actors sagas`: the long stories that cross contexts, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.desk import looked_at
from spark_actors.cli.errors import CliError, UsageMistakeError
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption, LimitOption, TimeoutOption
from spark_actors.cli.vocabulary import application
from spark_actors.kernel.sagas import SagaState

if TYPE_CHECKING:
    from spark_actors.messaging.ports import SagaRow
    from spark_actors.persistence.operator_views import OperatorViews

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
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List sagas, the newest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.persistence.operator_views import SagaFilter

    _check_kind(kind, "--kind")
    wanted = SagaFilter(kind=kind, state=state, overdue=overdue)
    rows = operator_views(Target(data_dir, config)).sagas(wanted, limit=limit)
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
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the stories of one saga, the newest first, each with its steps: every event of it, in order.

    A saga has one story, unless its id was used again: each use is a story of its own.
    """
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.timeline import render_timeline

    _check_kind(kind, "KIND")
    target = Target(data_dir, config)
    stories = [(row, _timeline(target, row.correlation_id, timeout)) for row in _find(target, kind, saga_id, limit)]
    if as_json:
        print_json([{**asdict(row), "timeline": lines} for row, lines in stories])
        return
    out = console()
    for row, lines in stories:
        out.print(saga_table([row], datetime.now(UTC)))
        out.print(render_timeline(lines))


def operator_views(target: Target) -> OperatorViews:
    """The tables of the daemon, or of the settings. Raises NoDaemonError if neither says where they are."""
    from spark_actors.persistence.operator_views import OperatorViews

    return OperatorViews(looked_at(known_dsns(target)))


def saga_table(rows: Sequence[SagaRow], now: datetime) -> Any:
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


def _find(target: Target, kind: str, saga_id: str, limit: int) -> Sequence[SagaRow]:
    from spark_actors.persistence.operator_views import SagaFilter

    rows = operator_views(target).sagas(SagaFilter(kind=kind, saga_id=saga_id), limit=limit)
    if not rows:
        raise CliError(f"there is no {kind} saga {saga_id!r}")
    return rows


def _timeline(target: Target, correlation_id: str, timeout: float) -> list[dict[str, Any]]:
    if (timeline := target.application().timeline) is None:
        return []
    view = target.talk(lambda client: client.view(timeline(correlation_id), timeout=timeout))
    lines: list[dict[str, Any]] = view["lines"]
    return lines
