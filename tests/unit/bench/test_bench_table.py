"""The table says what was measured, against which goal, and what is wrong."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from tests.lab.bench.results import Measured, Report
from tests.lab.bench.table import render_report


def shown(*rows: Measured) -> str:
    report = Report(rows, [5_000.0], "abc123", "2026-01-01T00:00:00+00:00", 90.0, {"ray": "2.60.0"}, {"cpus": 2})
    console = Console(width=200, record=True, file=StringIO())
    console.print(render_report(report))
    return console.export_text()


def line_of(text: str, workload: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(workload))


def test_a_row_shows_its_figures_and_whether_the_goal_is_reached() -> None:
    line = line_of(
        shown(Measured("uniform", rate=11_000.0, ratio=2.2, spread=0.1, cpu_us_per_command=150.0)), "uniform"
    )
    assert all(figure in line for figure in ("11,000", "2.2", "10%", "150", "✓ ratio 2.20 × (2.00 ×, 3.00 ×)"))


def test_a_goal_that_is_missed_and_one_that_is_surpassed_look_different() -> None:
    text = shown(Measured("uniform", ratio=1.0), Measured("donation", ratio=0.6))
    assert "✗" in line_of(text, "uniform")
    assert "★" in line_of(text, "donation")


def test_wrong_books_are_shown_in_place_of_the_notes() -> None:
    line = line_of(shown(Measured("hot", rate=1.0, note="all is well", wrong=["deposits: 9 instead of 10"])), "hot")
    assert "deposits: 9 instead of 10" in line
    assert "all is well" not in line


def test_it_says_on_what_it_was_measured() -> None:
    text = shown()
    assert all(fact in text for fact in ("abc123", "ray 2.60.0", "cpus 2", "5,000 transactions/s", "2026-01-01"))


def test_costs_by_kind_of_process_have_a_table_where_they_were_measured() -> None:
    assert "CPU µs each" not in shown(Measured("overload"))
    costs = shown(Measured("hot", cpu_by_kind={"Postgres": 46.0})).partition("CPU µs each")[2]
    assert line_of(costs, "hot").split() == ["hot", "46"]
