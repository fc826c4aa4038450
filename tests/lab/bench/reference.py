"""The reference: Postgres with one deposit per transaction, as a good hand-written service would do it, by pgbench.

Every rate of a workload is reported as a ratio to this one, taken just before and just after on the same server.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from spark_actors.embedded.postgres import find_binaries
from spark_actors.kernel.errors import SparkError
from tests.lab.bench.queries import BenchQueries, ReferenceTables, libpq_environment

SCRIPT = Path(__file__).with_name("reference.sql")
DATABASE = "bench_reference"
CLIENTS = 32
THREADS = 2
START_SECONDS = 60.0
_RATE = re.compile(r"^tps = (?P<rate>\d+(\.\d+)?) \(without initial connection time\)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (?P<failed>\d+)", re.MULTILINE)
SHORTEST_SECONDS = 4
"""Beside other work its 32 clients may take longer than a second to be connected at all."""


class PgbenchError(SparkError):
    """pgbench did not run, or what it printed cannot be trusted."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output

    def __str__(self) -> str:
        return f"pgbench gave no rate: {self.output.strip()[-500:]}"


class Reference:
    """The reference on one server, in a database of its own."""

    def __init__(self, queries: BenchQueries) -> None:
        self._dsn = queries.make_database(DATABASE)
        self._tables = ReferenceTables(self._dsn)
        self._tables.make()

    def measure(self, seconds: float) -> float:
        """Transactions a second. Raises PgbenchError."""
        try:
            done = subprocess.run(
                _command(seconds),
                env={"PATH": os.defpath, "LC_ALL": "C", **libpq_environment(self._dsn)},
                capture_output=True,
                text=True,
                timeout=seconds + START_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PgbenchError(str(error)) from error
        self._tables.empty()
        if done.returncode != 0:
            raise PgbenchError(done.stdout + done.stderr)
        return parse_rate(done.stdout)


def parse_rate(output: str) -> float:
    """The transactions a second in what pgbench printed. Raises PgbenchError, also if any transaction failed."""
    rate, failed = _RATE.search(output), _FAILED.search(output)
    if rate is None or (failed is not None and int(failed["failed"])):
        raise PgbenchError(output)
    return float(rate["rate"])


def _command(seconds: float) -> list[str]:
    options = ["--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--jobs={THREADS}"]
    return [
        str(find_binaries() / "pgbench"),
        *options,
        f"--time={max(SHORTEST_SECONDS, round(seconds))}",
        f"--file={SCRIPT}",
    ]
