"""The benchmark as a user runs it, at a size that only shows that it works."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.fixtures.daemon import environment
from tests.lab.bench.machine import ROOT


def benchmark(*options: str) -> dict[str, Any]:
    """The report of a run."""
    command = [sys.executable, "-m", "tests.lab", "bench", "--runs", "1", "--json", *options]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.timeout(120)
def test_the_benchmark_measures_a_workload_and_finds_its_books_right() -> None:
    report = benchmark("--only", "uniform", "--scale", "0.01")
    (uniform,) = report["workloads"]
    assert (uniform["workload"], uniform["wrong"]) == ("uniform", [])
    assert min(uniform["rate"], uniform["ratio"], uniform["cpu_us_per_command"]) > 0
    assert len(report["reference"]["runs"]) == 4, "around the workload, and around its run"


@pytest.mark.long
@pytest.mark.timeout(150)
def test_three_times_what_settles_waits_in_the_broker_and_is_caught_up_with() -> None:
    deposits, donations = benchmark("--only", "overload", "--scale", "0.02", "--seconds", "3")["workloads"]
    for row in (deposits, donations):
        assert row["wrong"] == []
        assert row["highest_backlog"] > 0
        assert row["memory_growth"] < 1.5
        assert row["p99_ms"] < 20_000


@pytest.mark.long
@pytest.mark.timeout(150)
def test_donations_go_on_while_the_read_models_are_away_and_these_catch_up() -> None:
    (row,) = benchmark("--only", "subscriber-away", "--scale", "0.05")["workloads"]
    assert (row["workload"], row["wrong"]) == ("subscriber away", [])
    assert row["of_usual"] > 0
    assert row["memory_growth"] < 1.5


@pytest.mark.long
@pytest.mark.timeout(900)
def test_what_happens_to_nodes_under_load_is_measured_and_no_command_is_refused_for_it() -> None:
    rows = {row["workload"]: row for row in benchmark("--only", "cluster", "--scale", "0.3")["workloads"]}
    assert {"cluster of 3", "node joins", "node drained", "node killed", "GCS killed", "head killed"} <= rows.keys()
    assert rows["cluster, in all"]["wrong"] == []
    assert rows["cluster, in all"]["refused"] == 0
    assert rows["cluster of 3"]["cpu_us_per_command"] > 0
    assert rows["head killed"]["zombies"] == 0
