"""Rows are made of runs, compared to the reference, judged by their goals and written as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.lab.bench.results import GOALS, Goal, Measured, Report, Run, as_json, of_rounds, of_runs
from tests.lab.bench.workloads import hosts_together


def a_run(seconds: float, *, cpu: float = 0.2) -> Run:
    return Run(1_000, seconds, seconds * 2, {"Postgres": cpu, "NATS": cpu / 2})


def a_report(*rows: Measured, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "references": [5_000.0, 6_000.0],
        "commit": "abc",
        "date": "2026-01-01T00:00:00+00:00",
        "seconds": 60.0,
        "versions": {"python": "3.11"},
        "machine": {"cpus": 2},
    }
    return Report(rows, **{**values, **changes})


def test_a_row_holds_the_medians_of_its_runs() -> None:
    row = of_runs("uniform", [a_run(0.1), a_run(0.2, cpu=0.4), a_run(0.4, cpu=0.6)])
    assert (row.rate, row.settled_rate, row.spread) == (5_000, 2_500, 1.5)
    assert row.cpu_us_per_command == pytest.approx(600)
    assert dict(row.cpu_by_kind) == pytest.approx({"Postgres": 400, "NATS": 200})


def test_the_ratio_is_to_the_mean_of_the_reference_before_and_after() -> None:
    assert of_runs("uniform", [a_run(0.1)]).compared([4_000, 6_000]).ratio == pytest.approx(2.0)


def test_runs_with_a_reference_of_their_own_each_are_compared_to_that() -> None:
    runs = [replace(a_run(seconds), reference=rate) for seconds, rate in ((0.1, 5_000), (0.2, 5_000), (0.4, 1_000))]
    row = of_runs("uniform", runs)
    assert row.ratio == pytest.approx(2.0)
    assert row.compared([1.0]).ratio == row.ratio


def test_a_cost_in_reference_transactions_is_the_same_on_a_machine_half_as_fast() -> None:
    fast = of_runs("uniform", [a_run(0.1, cpu=0.2)]).compared([5_000, 5_000])
    slow = of_runs("uniform", [a_run(0.2, cpu=0.4)]).compared([2_500, 2_500])
    assert fast.cpu_in_references == slow.cpu_in_references == pytest.approx(300e-6 * 5_000)


def test_what_hosts_cost_is_compared_in_reference_transactions() -> None:
    fast = of_runs("hosts: 1", [a_run(0.1, cpu=0.2)]).compared([5_000, 5_000])
    slow = of_runs("hosts: 2", [a_run(0.2, cpu=0.44)]).compared([2_500, 2_500])
    (together,) = hosts_together([fast, slow])
    assert together.figures == pytest.approx({"cpu_spread": 0.1, "cpu_us_spread": 1.2})
    assert hosts_together([fast]) == []


def test_rounds_on_daemons_of_their_own_make_one_row_of_medians_that_keeps_what_was_wrong() -> None:
    rounds = [
        of_runs("hosts: 1", [a_run(0.1, cpu=0.2)]).compared([5_000]),
        replace(of_runs("hosts: 1", [a_run(0.2, cpu=0.4)]).compared([5_000]), wrong=["a coin too many"]),
        of_runs("hosts: 1", [a_run(0.4, cpu=0.6)]).compared([5_000]),
    ]
    row = of_rounds(rounds)
    assert (row.rate, row.ratio, row.spread) == (5_000, 1.0, 1.5)
    assert row.cpu_us_per_command == pytest.approx(600)
    assert dict(row.cpu_by_kind) == pytest.approx({"Postgres": 400, "NATS": 200})
    assert row.wrong == ["a coin too many"]


def test_a_row_without_a_rate_has_no_ratio() -> None:
    assert Measured("start").compared([5_000, 5_000]).ratio is None


@pytest.mark.parametrize(("value", "reached", "aimed"), [(9.0, False, False), (6.0, True, False), (4.0, True, True)])
def test_a_wait_meets_its_goal_when_it_is_short(value: float, reached: bool, aimed: bool) -> None:
    goal = Goal("p50_ms", 8, 4, at_most=True)
    assert (goal.is_met(value), goal.is_met(value, aim=True)) == (reached, aimed)


def test_a_ratio_meets_its_goal_when_it_is_high() -> None:
    (goal,) = GOALS["uniform"]
    assert [goal.is_met(value) for value in (1.9, 2.0)] == [False, True]


def test_the_json_has_what_every_reader_expects_of_each_workload() -> None:
    row = of_runs("uniform", [a_run(0.1)]).compared([5_000, 5_000])
    report = json.loads(json.dumps(as_json(a_report(row, Measured("start", figures={"seconds": 7.0})))))
    assert {"workload", "rate", "ratio", "cpu_us_per_command"} <= report["workloads"][1].keys()
    assert report["workloads"][0]["goals"] == [{"figure": "ratio", "reach": 2.0, "aim": 3.0, "met": True}]
    assert report["reference"]["rate"] == 5_500
    assert report["sound"] is True


def test_wrong_books_make_the_whole_report_unsound() -> None:
    assert not a_report(Measured("hot", wrong=["deposits: 9 instead of 10"])).is_sound


def test_a_report_without_any_reference_is_still_a_report() -> None:
    assert as_json(a_report(references=[]))["reference"]["rate"] is None
