"""`scripts/bench`: how fast it is here, each figure beside a reference taken in the same run."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spark_actors.cli.errors import ExitCode
from spark_actors.cli.options import JsonOption
from tests.lab.progress import Progress, end_like_ctrl_c

EXAMPLES = """
It starts daemons of its own on empty folders and disturbs no other. Rates are compared to [bold]pgbench[/] with one
deposit per transaction on the same Postgres, run before and after; with fsync and synchronous_commit on.

[bold]scripts/bench --quick[/]  a few minutes · [bold]scripts/bench[/]  all but overload and cluster, about 20 minutes

[bold]scripts/bench --only uniform --only hot --runs 3[/] · [bold]scripts/bench --only cluster[/]  a head and two nodes

Exit code: 0 measured, and all books were right · 1 a workload failed, or its books were wrong.
"""


class Workload(StrEnum):
    """What can be measured."""

    UNIFORM = "uniform"
    HOT = "hot"
    DONATION = "donation"
    LATENCY = "latency"
    LOAD = "load"
    CROWD = "crowd"
    BACKLOG = "backlog"
    LONG_TRANSACTION = "long-transaction"
    SUBSCRIBER_AWAY = "subscriber-away"
    OVERLOAD = "overload"
    HOSTS = "hosts"
    START = "start"
    CLUSTER = "cluster"


QUICK = (Workload.UNIFORM, Workload.HOT, Workload.DONATION, Workload.LATENCY)
TABLE = tuple(workload for workload in Workload if workload not in (Workload.OVERLOAD, Workload.CLUSTER))
"""The usual ones; each of the others takes as long as all of these."""
QUICK_RUNS = 3


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Only uniform, hot, donation and latency at rest.")] = False,
    only: Annotated[list[Workload] | None, typer.Option("--only", help="Only this; may be repeated.")] = None,
    runs: Annotated[
        int | None, typer.Option("--runs", min=1, help="Runs of each workload (default: 3 to 5).", show_default=False)
    ] = None,
    scale: Annotated[float, typer.Option("--scale", min=0.0001, help="Multiplies all sizes; for trying it out.")] = 1.0,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="How long the overload lasts.", show_default="120")
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Other systems too, where they are installed.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            help="Where the data is kept meanwhile (default: the system's temporary folder).",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, with workloads run end to end on daemons of its own."""
    from spark_actors.cli.output import console, print_json
    from tests.lab.bench.benchmark import Benchmark, Wanted
    from tests.lab.bench.results import as_json as plain
    from tests.lab.bench.sizes import Sizes
    from tests.lab.bench.table import render_report

    names = tuple(only or (QUICK if quick else TABLE))
    runs = runs or (QUICK_RUNS if quick else None)
    sizes = Sizes().scaled(scale)
    if seconds is not None:
        sizes = replace(sizes, overload_seconds=seconds)
    wanted = Wanted(names, sizes, runs, peers, folder)
    end_like_ctrl_c()
    report = Benchmark(wanted, Progress()).run()
    if as_json:
        print_json(plain(report))
    else:
        console().print(render_report(report))
    if not report.is_sound:
        raise typer.Exit(ExitCode.REFUSED)
