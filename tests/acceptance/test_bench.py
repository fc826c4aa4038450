"""The benchmark as a user runs it, at a size that only shows that it works."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.fixtures.daemon import environment


@pytest.mark.timeout(120)
def test_the_benchmark_measures_a_workload_and_finds_its_books_right() -> None:
    command = [sys.executable, "-m", "spark_actors.cli", "bench"]
    options = ["--only", "uniform", "--scale", "0.01", "--runs", "1", "--json"]
    done = subprocess.run([*command, *options], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout)
    (uniform,) = report["workloads"]
    assert (uniform["workload"], uniform["wrong"]) == ("uniform", [])
    assert min(uniform["rate"], uniform["ratio"], uniform["cpu_us_per_command"]) > 0
    assert len(report["reference"]["runs"]) == 2
