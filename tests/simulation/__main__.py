"""`scripts/simulate`: play many seeds, repeat one, or show which bugs the simulation finds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.simulation.search import play_many, play_one, tries_until_caught
from tests.simulation.subject import SUBJECTS, USUAL, subject_of
from tests.simulation.world import Run

console = Console(highlight=False, soft_wrap=True)
FAILURES_SHOWN = 5


def simulate(
    application: Annotated[str, typer.Option(help=f"Which to play: {' or '.join(SUBJECTS)}.")] = USUAL,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to play.")] = 1000,
    first: Annotated[int, typer.Option(help="The first of them.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Play this seed alone and print its timeline.")] = None,
    bug: Annotated[str, typer.Option(help="Put this bug back (see --bugs).")] = "",
    bugs: Annotated[
        bool, typer.Option("--bugs", help="Table: each bug, and how many seeds until it is caught.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Play the system on a seeded scheduler with seeded faults, and check what must be true afterwards."""
    if application not in SUBJECTS:
        raise typer.BadParameter(f"{application}: expected {' or '.join(SUBJECTS)}", param_hint="--application")
    if bug and bug not in (known := subject_of(application).bugs):
        raise typer.BadParameter(f"{bug}: expected one of {', '.join(known)}", param_hint="--bug")
    if seed is not None:
        code = _repeat(application, seed, bug)
    elif bugs:
        code = _show_bugs(application, seeds, first, jobs)
    else:
        code = _search(application, range(first, first + seeds), bug, jobs)
    raise typer.Exit(code)


def _repeat(application: str, seed: int, bug: str) -> int:
    run = play_one(seed, bug, application=application, keep_timeline=True)
    for entry in run.timeline:
        console.print(str(entry), markup=False)
    console.print(
        f"\nseed {seed}: {run.commands} commands, {run.events} events, {run.deaths} processes killed in "
        f"{run.virtual_seconds:.1f} virtual seconds; digest {run.digest}"
    )
    _tell(application, run, bug)
    return 1 if run.violations else 0


def _search(application: str, seeds: range, bug: str, jobs: int) -> int:
    began = time.monotonic()
    runs: list[Run] = []
    failed: list[Run] = []
    columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("seeds", total=len(seeds), note="")
        for chunk in play_many(seeds, bug, application=application, jobs=jobs):
            runs += chunk
            failed += [run for run in chunk if run.violations]
            rate = len(runs) / (time.monotonic() - began) * 60
            progress.update(task, advance=len(chunk), note=f"{rate:,.0f} a minute, {len(failed)} failed")
            if len(failed) >= FAILURES_SHOWN:
                break
    _sum_up(runs, time.monotonic() - began, jobs)
    for run in sorted(failed, key=lambda run: run.seed)[:FAILURES_SHOWN]:
        _tell(application, run, bug)
    return 1 if failed else 0


def _sum_up(runs: Sequence[Run], seconds: float, jobs: int) -> None:
    console.print(
        f"{len(runs):,} seeds in {seconds:.1f} s on {jobs} processes, {len(runs) / seconds * 60:,.0f} a minute: "
        f"{sum(run.commands for run in runs):,} commands, {sum(run.events for run in runs):,} events, "
        f"{sum(run.deaths for run in runs):,} processes killed, "
        f"{sum(run.virtual_seconds for run in runs) / 3600:.1f} virtual hours; "
        f"{sum(bool(run.violations) for run in runs)} failed"
    )


def _tell(application: str, run: Run, bug: str) -> None:
    if not run.violations:
        return
    console.print(f"\nseed {run.seed} failed:", style="bold red")
    for violation in run.violations[:10]:
        console.print(f"  {violation}", markup=False)
    named = "" if application == USUAL else f" --application {application}"
    with_bug = f" --bug {bug}" if bug else ""
    console.print(f"  repeat it: scripts/simulate{named} --seed {run.seed}{with_bug}", markup=False)


def _show_bugs(application: str, limit: int, first: int, jobs: int) -> int:
    bugs = subject_of(application).bugs
    table = Table("bug", "seeds", "first seen as", "what is wrong")
    missed = 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        found = pool.map(partial(tries_until_caught, limit=limit, first=first, application=application), bugs)
        for (name, bug), (tries, run) in zip(bugs.items(), found, strict=True):
            missed += run is None
            also = f" (without {bug.also})" if bug.also else ""
            table.add_row(
                name, str(tries) if run else f"not in {limit}", run.violations[0][:90] if run else "", bug.story + also
            )
    Console(width=max(console.width, 170)).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    typer.run(simulate)
