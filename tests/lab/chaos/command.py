"""`scripts/chaos`: hurts a daemon of its own under load for a while, and says what was lost or doubled."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_actors.cli.errors import ExitCode, UsageMistakeError
from spark_actors.cli.options import JsonOption
from tests.lab.progress import Progress, end_like_ctrl_c

if TYPE_CHECKING:
    from tests.lab.chaos.account import Account

EXAMPLES = """
It starts a daemon of its own on an empty folder and disturbs no other. Every fault of the catalogue comes once in a
random order, then all again, until the time is over. Then everything comes to its end and is held against what was
sent.

[bold]scripts/chaos --seconds 600[/] · [bold]scripts/chaos --seconds 60 --only "kill aggregate" --seed 7[/]

With [bold]--nodes 3[/]: a head and two nodes, all on this machine, and faults of these; any other may be asked for too.

Exit code: 0 nothing lost, nothing doubled, the audit has passed · 1 something is wrong, and what.
"""


def chaos(
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="For how long faults come.")] = 120.0,
    seed: Annotated[int | None, typer.Option("--seed", help="What is chosen at random.", show_default="random")] = None,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Commands a second.")] = 30.0,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, max=100, help="Machines: a head, and nodes to which things happen, too.")
    ] = 1,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this fault; may be repeated.")] = None,
    long: Annotated[
        float,
        typer.Option("--long", min=1, help="Seconds that services stay away; a transaction sits idle twice as long."),
    ] = 60.0,
    events: Annotated[
        int, typer.Option("--events", min=1, help="Events that pass while the read models are away.")
    ] = 50_000,
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
    """Hurt a daemon under load on purpose, then hold what it did against what it was asked for."""
    import asyncio

    from tests.lab.chaos.faults import ALL, FAULTS, OF_CLUSTERS
    from tests.lab.chaos.run import Wanted, run

    known, usual = (FAULTS, FAULTS) if nodes == 1 else (ALL, OF_CLUSTERS)
    if unknown := set(only or ()) - known.keys():
        raise UsageMistakeError(f"no such fault: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    end_like_ctrl_c()
    seed = seed if seed is not None else time.time_ns() % 1_000_000
    wanted = Wanted(
        seconds,
        seed,
        rate,
        tuple(only or usual),
        long_seconds=long,
        events=events,
        machines=nodes,
        folder=folder,
    )
    account = asyncio.run(run(wanted, Progress()))
    _show(account, as_json=as_json)
    if not account.is_sound:
        raise typer.Exit(ExitCode.REFUSED)


def _show(account: Account, *, as_json: bool) -> None:
    from spark_actors.cli.output import print_json
    from tests.lab.chaos.account import table

    if as_json:
        print_json(report(account))
        return
    print(table(account))
    print(
        f"\n{len(account.strikes)} faults in {account.seconds:.0f} s, {account.orders:,} commands, seed {account.seed}"
    )
    for objection in account.objections[:50]:
        print(
            f"{objection.kind}: {objection.detail}" + (f" (after fault {objection.fault})" if objection.fault else "")
        )
    print("the audit has passed" if not account.audit else f"the audit has failed: {'; '.join(account.audit)}")
    print("sound" if account.is_sound else "NOT SOUND")


def report(account: Account) -> dict[str, Any]:
    """The account for scripts."""
    return {**asdict(account), "sound": account.is_sound, "table": list(map(asdict, account.rows()))}
