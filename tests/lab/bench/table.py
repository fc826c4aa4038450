"""The benchmark's report as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tests.lab.bench.figures import spread
from tests.lab.bench.results import GOALS, Goal, Measured, Report

if TYPE_CHECKING:
    from rich.console import RenderableType

SHARES = ("of_first", "of_uniform", "of_usual", "last_of_first")
PERCENTAGES = ("drop", "cpu_spread")


def render_report(report: Report) -> RenderableType:
    """The figures with their goals, what each kind of process costs, and on what it was measured."""
    return Group(_figures(report.workloads), *_costs(report.workloads), *_remarks(report))


def _figures(rows: Sequence[Measured]) -> Table:
    table = Table(title="Benchmark", title_justify="left", box=None, header_style="bold", padding=(0, 1))
    table.add_column("workload", no_wrap=True)
    for name in ("rate/s", "ratio", "settled/s", "spread", "CPU µs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("goal: reach, aim", no_wrap=True)
    table.add_column("notes")
    for row in rows:
        table.add_row(
            row.workload,
            _number(row.rate),
            _number(row.ratio),
            _number(row.settled_rate),
            "" if row.spread is None else f"{row.spread:.0%}",
            _number(row.cpu_us_per_command),
            Text("\n").join(_verdicts(row)),
            Text("; ".join(row.wrong), style="bold red") if row.wrong else _notes(row),
        )
    return table


def _costs(rows: Sequence[Measured]) -> Iterator[Table]:
    """A table by kinds of process; none if nobody's costs were measured."""
    kinds = sorted({kind for row in rows for kind in row.cpu_by_kind})
    if not kinds:
        return
    table = Table(title="\nCPU µs each", title_justify="left", box=None, header_style="bold", padding=(0, 1))
    table.add_column("workload", no_wrap=True)
    for kind in kinds:
        table.add_column(kind, justify="right", no_wrap=True)
    for row in rows:
        if row.cpu_by_kind:
            table.add_row(row.workload, *(_number(row.cpu_by_kind.get(kind)) for kind in kinds))
    yield table


def _verdicts(row: Measured) -> Iterator[Text]:
    """What was to be reached, and whether it was."""
    for goal in GOALS.get(row.workload, ()):
        value = row.figure(goal.figure)
        if value is not None:
            mark, style = _mark(goal, value)
            wanted = f"{_shown(goal.figure, goal.reach)}, {_shown(goal.figure, goal.aim)}"
            yield Text(f"{mark} {goal.figure} {_shown(goal.figure, value)} ({wanted})", style=style)


def _mark(goal: Goal, value: float) -> tuple[str, str]:
    if not goal.is_met(value):
        return "✗", "red"
    return ("★", "bold green") if goal.is_met(value, aim=True) else ("✓", "green")


def _notes(row: Measured) -> str:
    """Its note, and the figures that no goal is about."""
    judged = {goal.figure for goal in GOALS.get(row.workload, ())}
    others = [f"{name} {_shown(name, value)}" for name, value in row.figures.items() if name not in judged]
    return "; ".join([*([row.note] if row.note else []), *others])


def _remarks(report: Report) -> Iterator[Text]:
    if report.references:
        yield Text(
            f"\nreference: pgbench {median(report.references):,.0f} transactions/s, median of "
            f"{len(report.references)} runs, spread {spread(report.references):.0%}"
        )
    known = {**report.machine, **report.versions}
    yield Text(f"{report.date}  commit {report.commit}  in {report.seconds / 60:.1f} min")
    yield Text(", ".join(f"{name} {value}" for name, value in known.items()))


def _shown(name: str, value: float) -> str:
    if name in SHARES or name == "ratio":
        return f"{value:.2f} ×"
    if name in PERCENTAGES or name.endswith("_drop"):
        return f"{value:.0%}"
    return _number(value)


def _number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
