"""The workloads that ask how long one has to wait: at rest, under load, and for a daemon to start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TypeVar

from domain.accounting.messages import Deposit, OpenAccount
from domain.crowdfunding.messages import DonateToCampaign
from spark_actors.embedded.data_dir import DaemonCard
from spark_actors.ingress.client import SparkClient
from spark_actors.kernel.messages import Command
from tests.lab.bench.commands import why_of
from tests.lab.bench.daemon import running_daemon
from tests.lab.bench.figures import percentile, spread
from tests.lab.bench.machine import ProcessTree
from tests.lab.bench.results import Measured
from tests.lab.bench.stage import Say, Stage, StalledError, client_of
from tests.lab.bench.workloads import SPREAD_PREFIX, sustainable_rate

C = TypeVar("C", bound=Command)
POLL_SECONDS = 0.002
REGISTERED_SECONDS = 30.0
WARM_UP = 10
"""Samples that are not counted."""
SUSTAINABLE_SHARE = 0.5
RAMP_SECONDS = 3.0
"""Of the load whose waits are not counted: Postgres still cleans up behind the overload by which the rate was found."""
REST_SECONDS = 3.0


def at_rest(stage: Stage) -> list[Measured]:
    """One command at a time, from publish to reply; one donation at a time, from publish to registered."""
    stage.open_donors()
    return [_single_commands(stage), _single_donations(stage)]


def under_load(stage: Stage) -> list[Measured]:
    """Commands at half of the sustainable rate, each sent at its appointed time whatever became of those before."""
    sizes, rate = stage.sizes, sustainable_rate(stage) * SUSTAINABLE_SHARE
    ramp, count = round(rate * RAMP_SECONDS), round(rate * (RAMP_SECONDS + sizes.load_seconds)) + 1
    messages = stage.commands.deposits_over(SPREAD_PREFIX, sizes.accounts, count)
    stage.expected.deposit(count)
    stage.say(f"{rate:,.0f} commands/s for {RAMP_SECONDS + sizes.load_seconds:.0f} s")
    before = stage.processes.cpu_seconds()
    waits = stage.produce(lambda producer: producer.open_loop(messages, rate))
    stage.settle()
    cpu = stage.cpu_us_since(before, count)
    note = "at half of the sustainable rate, publish to reply"
    return [_waiting("command under load", waits[ramp:], rate, cpu, note)]


def start(folder: Path | None, runs: int, say: Say) -> list[Measured]:
    """From the command to the first command done, and the memory of all processes at rest; on empty data dirs."""
    starts = [_start(folder, say) for _ in range(runs)]
    seconds, memory, idle = ([each[number] for each in starts] for number in range(3))
    figures = {"seconds": median(seconds), "memory_mib": median(memory), "idle_cpu_percent": median(idle)}
    return [Measured("start", spread=spread(seconds), figures=figures, note="first command done; memory as PSS")]


def _single_commands(stage: Stage) -> Measured:
    count = stage.sizes.single_commands + WARM_UP
    commands = [stage.commands.deposit(f"{SPREAD_PREFIX}{number}") for number in range(count)]
    stage.expected.deposit(count)

    async def until_reply(client: SparkClient, command: Deposit) -> None:
        await client.send(command, why=why_of(command))

    return _one_at_a_time(stage, "command at rest", commands, until_reply, "publish to reply")


def _single_donations(stage: Stage) -> Measured:
    """The write side is asked by key every 2 ms: the cheapest way to see it that wakes none of the daemon's actors."""
    sizes = stage.sizes
    count = sizes.single_donations + WARM_UP
    commands = [stage.commands.donation(sizes.donors, sizes.campaigns) for _ in range(count)]
    stage.expected.donations += count

    async def until_registered(client: SparkClient, command: DonateToCampaign) -> None:
        await client.post(command)
        deadline = time.perf_counter() + REGISTERED_SECONDS
        while not stage.queries.is_registered(command.donation_id):
            if time.perf_counter() > deadline:
                raise StalledError("a donation to be registered", REGISTERED_SECONDS)
            await asyncio.sleep(POLL_SECONDS)

    return _one_at_a_time(stage, "donation at rest", commands, until_registered, "publish to registered")


def _one_at_a_time(
    stage: Stage,
    workload: str,
    commands: Sequence[C],
    act: Callable[[SparkClient, C], Awaitable[None]],
    note: str,
) -> Measured:
    """Do each when the one before is done; the first few do not count."""
    stage.say(f"{workload}: {len(commands)}, one at a time")

    async def conversation(client: SparkClient) -> list[float]:
        waits = []
        for command in commands:
            begin = time.perf_counter()
            await act(client, command)
            waits.append(time.perf_counter() - begin)
        return waits

    before = stage.processes.cpu_seconds()
    waits = stage.talk(conversation)
    stage.settle()
    cpu = stage.cpu_us_since(before, len(commands))
    return _waiting(workload, waits[WARM_UP:], 1 / fmean(waits[WARM_UP:]), cpu, f"one at a time, {note}")


def _waiting(workload: str, waits: Sequence[float], rate: float, cpu: Mapping[str, float], note: str) -> Measured:
    """A row from seconds of waiting."""
    return Measured(
        workload,
        rate=rate,
        cpu_us_per_command=sum(cpu.values()),
        cpu_by_kind=cpu,
        figures={f"p{share}_ms": percentile(waits, share / 100) * 1000 for share in (50, 90, 99)},
        note=f"{note}, {len(waits):,} samples",
    )


def _start(folder: Path | None, say: Say) -> tuple[float, float, float]:
    """Seconds to the first command done, MiB at rest, and percent of one CPU used at rest."""

    async def first_command(card: DaemonCard) -> None:
        async with await client_of(card) as client:
            await client.send(OpenAccount(account_id="first"))

    with running_daemon(folder, {}) as (card, started):
        asyncio.run(first_command(card))
        seconds = time.perf_counter() - started
        time.sleep(REST_SECONDS)  # not to await anything: nothing shall happen
        processes = ProcessTree(card.pid)
        before = sum(processes.cpu_seconds().values())
        time.sleep(REST_SECONDS)
        idle = (sum(processes.cpu_seconds().values()) - before) / REST_SECONDS * 100
        memory = sum(processes.memory_mib().values())
    say(f"  first command done after {seconds:.1f} s, {memory:.0f} MiB and {idle:.0f} % of a CPU at rest")
    return seconds, memory, idle
