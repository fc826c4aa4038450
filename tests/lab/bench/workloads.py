"""The workloads that throw many commands at the daemon at once: how many a second, and does it stay that fast."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from tests.lab.bench.figures import last_of_first, slice_rates, spread
from tests.lab.bench.results import Measured, Run, of_runs
from tests.lab.bench.stage import STALL_SECONDS, Stage
from tests.lab.chaos.queries import ChaosQueries

SLICES = 10
SPREAD_PREFIX = "account-"
RELAY_WATCH_SECONDS = 0.1
TOO_MUCH = 2
"""Times the rate of uniform: more than can be sustained with replies."""
AWAY_STALL_SECONDS = 60.0
CROWD_SAT = 1_000
"""What each account of the crowd holds."""


def uniform(stage: Stage) -> list[Measured]:
    """Deposits over many accounts."""
    _warm_up(stage)
    runs = [run for runs in stage.beside_reference(lambda _: [_uniform_run(stage)], 5) for run in runs]
    stage.uniform_rate = median(run.rate for run in runs)
    return [of_runs("uniform", runs, note=f"{stage.sizes.commands:,} over {stage.sizes.accounts:,} accounts")]


def hot(stage: Stage) -> list[Measured]:
    """Deposits to one account: in turns to a new one and to one with a long history, so that noise hits both alike."""
    sizes = stage.sizes
    stage.say(f"giving an account a history of {sizes.hot_history:,} deposits")
    stage.deposit_to("hot-old", sizes.hot_history)

    def pair(number: int) -> list[Run]:
        return [stage.deposit_to(account, sizes.commands) for account in (f"hot-new-{number}", "hot-old")]

    young, old = zip(*stage.beside_reference(pair, 3), strict=True)
    of_first = median(later.rate / first.rate for first, later in zip(young, old, strict=True))
    return [
        of_runs("hot", young, note=f"{sizes.commands:,} to one account"),
        of_runs("hot, long history", old, note=f"{sizes.hot_history:,} before", of_first=of_first),
    ]


def donation(stage: Stage) -> list[Measured]:
    """Donations, from publish until all are in the campaigns' totals in the write side."""
    stage.open_donors()
    _donation_run(stage)  # not counted: the first opens what later ones have at hand
    runs = [run for runs in stage.beside_reference(lambda _: [_donation_run(stage)], 5) for run in runs]
    sizes = stage.sizes
    note = f"{sizes.donations:,} of {sizes.donors:,} donors to {sizes.campaigns:,} campaigns"
    return [of_runs("donation", runs, note=note)]


def crowd(stage: Stage) -> list[Measured]:
    """Deposits to so many accounts that few of them find theirs in memory."""
    sizes = stage.sizes
    _warm_up(stage)
    usual = median(_uniform_run(stage).rate for _ in stage.repeat(3))
    stage.say(f"storing {sizes.crowd_accounts:,} accounts")
    stage.queries.add_accounts("crowd-", sizes.crowd_accounts, CROWD_SAT)
    stage.expected.deposit(sizes.crowd_accounts, CROWD_SAT)
    before = stage.processes.memory_mib()
    run = stage.deposit_over("crowd-", sizes.crowd_touched, sizes.crowd_touched)
    after = stage.processes.memory_mib()
    return [
        replace(
            _sliced("crowd", run),
            figures={
                "of_uniform": run.rate / usual,
                "uniform_rate": usual,
                "actors_before_mib": before["AggregateActor"],
                "actors_after_mib": after["AggregateActor"],
                "memory_before_mib": sum(before.values()),
                "memory_after_mib": sum(after.values()),
            },
            note=f"AggregateActors {before['AggregateActor']:.0f} → {after['AggregateActor']:.0f} MiB",
        )
    ]


def backlog_of_commands(stage: Stage) -> list[Measured]:
    """Commands that have queued up in the broker while nobody took them."""
    _warm_up(stage)
    stage.say(f"queueing {stage.sizes.backlog:,} commands")
    run = stage.deposit_over(SPREAD_PREFIX, stage.sizes.accounts, stage.sizes.backlog, held_back=True)
    return [_sliced("backlog of commands", run)]


def backlog_of_events(stage: Stage) -> list[Measured]:
    """Events that wait in an outbox; they appear all at once, by one commit."""
    before = stage.processes.cpu_seconds()
    stage.queries.add_pending_events("relayed-", stage.sizes.backlog)
    began = time.perf_counter()
    samples = [(0.0, stage.sizes.backlog)]

    def is_relayed() -> bool:
        samples.append((time.perf_counter() - began, min(samples[-1][1], stage.queries.pending_span())))
        time.sleep(RELAY_WATCH_SECONDS)
        return samples[-1][1] == 0

    ended = stage.wait(is_relayed, "the relay to end") - began
    run = Run(stage.sizes.backlog, ended, stage.settle() - began, stage.used_since(before), tuple(samples))
    return [_sliced("backlog of events", run)]


def long_transaction(stage: Stage) -> list[Measured]:
    """Uniform while another session sits idle in transaction, so that nothing that is dead can be cleaned up.

    Compared with runs before and, once it was cleaned up, after: the machine does not stay as fast as it was.
    """
    _warm_up(stage)
    usual = [_uniform_run(stage) for _ in stage.repeat(3)]
    held: list[Run] = []
    with stage.queries.idle_in_transaction():
        began = time.perf_counter()
        while len(held) < len(usual) or time.perf_counter() - began < stage.sizes.held_seconds:
            held.append(_uniform_run(stage))
        seconds = time.perf_counter() - began
    late = held[-max(len(usual), len(held) // 3) :]
    stage.queries.clean_up()
    usual += [_uniform_run(stage) for _ in stage.repeat(3)]
    figures = {
        "drop": 1 - _median_rate(late) / _median_rate(usual),
        "cpu_rise": median(run.cpu_us for run in late) / median(run.cpu_us for run in usual) - 1,
        "settled_drop": 1 - median(run.settled_rate for run in late) / median(run.settled_rate for run in usual),
        "usual_rate": _median_rate(usual),
        "held_seconds": seconds,
    }
    return [of_runs("long transaction", late, note=f"the last of {len(held)} runs in {seconds:.0f} s", **figures)]


def subscriber_away(stage: Stage) -> list[Measured]:
    """Donations while the read models' database is away, in runs as before it was; then it comes back.

    Nobody but the read models may notice, however much passes, and these must catch up.
    """
    stage.open_donors()
    _donation_run(stage)  # not counted, as for `donation`
    usual = [_donation_run(stage) for _ in stage.repeat(3)]
    before, away = stage.processes.memory_mib(), []
    with ChaosQueries(stage.card.dsn) as databases:
        with databases.views_away():
            for _ in range(max(1, stage.sizes.away_donations // stage.sizes.donations)):
                away.append(_donation_run(stage, is_away=True))
            after = stage.processes.memory_mib()
        back = time.perf_counter()
        caught_up = stage.wait(lambda: _are_views_right(databases), "the views to catch up") - back
    stage.settle()
    figures = {
        "of_usual": _median_rate(away) / _median_rate(usual),
        "usual_rate": _median_rate(usual),
        "memory_growth": after["Supervisor"] / before["Supervisor"],
        "caught_up_seconds": caught_up,
    }
    return [of_runs("subscriber away", away, note=f"{len(away)} runs while it was away", **figures)]


def _are_views_right(databases: ChaosQueries) -> bool:
    """Whether the read models show what the books say."""
    return (
        databases.campaigns(seen=True) == databases.campaigns()
        and databases.balances(seen=True) == databases.balances()
    )


def hosts(stage: Stage, actors: int) -> list[Measured]:
    """Uniform with this many AggregateActors, once."""
    _warm_up(stage)
    return [of_runs(f"hosts: {actors}", [_uniform_run(stage)], note=f"{actors} AggregateActors")]


def hosts_together(rows: Sequence[Measured]) -> list[Measured]:
    """How far the settings are apart in what a command costs; nothing if there are no settings to compare.

    Costs count in reference transactions (`Measured.cpu_in_references`): time lies between the settings, and the
    machine does not stay as fast as it was.
    """
    compared = [row.cpu_in_references for row in rows if row.cpu_in_references is not None]
    costs = [row.cpu_us_per_command for row in rows if row.cpu_us_per_command is not None]
    if len(compared) < 2:
        return []
    figures = {"cpu_spread": _above_lowest(compared), "cpu_us_spread": _above_lowest(costs)}
    note = "highest cost over the lowest, in reference transactions; in microseconds"
    return [Measured("hosts", cpu_us_per_command=median(costs), figures=figures, note=note)]


def _above_lowest(costs: Sequence[float]) -> float:
    return max(costs) / min(costs) - 1


def sustainable_rate(stage: Stage) -> float:
    """Commands a second that are answered, with all that follows from them done, while more are sent than that."""
    if not stage.sustainable_rate:
        _warm_up(stage)
        count = stage.sizes.commands
        messages = stage.commands.deposits_over(SPREAD_PREFIX, stage.sizes.accounts, count)
        stage.expected.deposit(count)
        too_fast, began = stage.uniform_rate * TOO_MUCH, time.perf_counter()
        stage.produce(lambda producer: producer.open_loop(messages, too_fast))
        stage.sustainable_rate = count / (stage.settle() - began)
    return stage.sustainable_rate


def _warm_up(stage: Stage) -> None:
    """A run that is not counted: it makes the accounts."""
    if not stage.uniform_rate:
        stage.say("warming up")
        stage.uniform_rate = _uniform_run(stage).rate


def _uniform_run(stage: Stage) -> Run:
    return stage.deposit_over(SPREAD_PREFIX, stage.sizes.accounts, stage.sizes.commands)


def _donation_run(stage: Stage, *, is_away: bool = False) -> Run:
    """*is_away*: with a subscriber that cannot take its events, so that not all of them leave the outboxes."""
    sizes = stage.sizes
    messages = stage.commands.donations(sizes.donors, sizes.campaigns, sizes.donations)
    stage.expected.donations += sizes.donations
    wanted = stage.expected.donations
    return stage.drive(
        messages,
        until=lambda: stage.queries.donations()[0] >= wanted,
        settles=not is_away,
        stall_seconds=AWAY_STALL_SECONDS if is_away else STALL_SECONDS,
    )


def _sliced(workload: str, run: Run) -> Measured:
    """A row from one long run, whose slices tell whether it stays as fast as it began."""
    rates = slice_rates(run.samples, min(SLICES, run.count))
    row = of_runs(workload, [run], last_of_first=last_of_first(rates))
    return replace(row, runs=rates, spread=spread(rates), note=f"slices {', '.join(f'{rate:,.0f}' for rate in rates)}")


def _median_rate(runs: Sequence[Run]) -> float:
    return median(run.rate for run in runs)
