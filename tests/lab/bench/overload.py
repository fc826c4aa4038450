"""The workload that is too much: three times what can be sustained, for minutes. What gives way, and what does not?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import TypeAlias

from tests.lab.bench.figures import percentile
from tests.lab.bench.results import Measured
from tests.lab.bench.stage import Stage
from tests.lab.bench.workloads import SPREAD_PREFIX, donation, sustainable_rate
from tests.lab.load.overload import Overload, flood
from tests.lab.load.producer import Message

Make: TypeAlias = Callable[[int], list[Message]]
"""Makes so many commands."""
FACTOR = 3
LOOK_SECONDS = 1.0
OUTSIDE = ("Postgres", "NATS")
"""Their memory is the operating system's cache of files, shared or mapped; what they store is bounded elsewhere."""


@dataclass
class _Seen:
    """What was seen from the beginning until all was acknowledged."""

    memory_mib: list[dict[str, float]] = field(default_factory=list)
    outbox: list[int] = field(default_factory=list)
    """Events that waited, at most."""

    def actors_mib(self, number: int) -> float:
        return sum(mib for kind, mib in self.memory_mib[number].items() if kind not in OUTSIDE)

    @property
    def highest_mib(self) -> float:
        return max(self.actors_mib(number) for number in range(len(self.memory_mib)))


def of_deposits(stage: Stage) -> list[Measured]:
    """Deposits at three times the sustainable rate."""
    sizes = stage.sizes

    def make(count: int) -> list[Message]:
        stage.expected.deposit(count)
        return stage.commands.deposits_over(SPREAD_PREFIX, sizes.accounts, count)

    return [_overload(stage, "overload", make, sustainable_rate(stage))]


def of_donations(stage: Stage) -> list[Measured]:
    """Donations at three times the rate at which their sagas end: each command makes a dozen events and commands."""
    sizes = stage.sizes
    (usual,) = donation(stage)

    def make(count: int) -> list[Message]:
        stage.expected.donations += count
        return stage.commands.donations(sizes.donors, sizes.campaigns, count)

    return [_overload(stage, "overload of sagas", make, usual.settled_rate or 1.0)]


def _overload(stage: Stage, workload: str, make: Make, sustainable: float) -> Measured:
    """The backlog is to stay in the broker."""
    rate, seconds = sustainable * FACTOR, stage.sizes.overload_seconds
    stage.say(f"{rate:,.0f} commands/s for {seconds:.0f} s: {FACTOR} × what it sustains")
    went, seen = asyncio.run(_flooded(stage, make, rate))
    settled = stage.settle()
    offered_until = went.began + went.offered_seconds
    figures = {
        "sustainable_rate": sustainable,
        "offered_rate": went.offered / went.offered_seconds,
        "highest_backlog": max(look.backlog for look in went.looks),
        "highest_outbox": max(seen.outbox),
        "caught_up_seconds": went.caught_up_seconds,
        "settled_seconds": settled - offered_until,
        **{f"p{share}_ms": percentile(went.waits, share / 100) * 1000 for share in (50, 99, 100)},
        "memory_before_mib": seen.actors_mib(0),
        "memory_highest_mib": seen.highest_mib,
        "memory_after_mib": seen.actors_mib(-1),
        "memory_growth": seen.highest_mib / seen.actors_mib(0),
    }
    _tell(stage, seen)
    done = went.offered / (went.looks[-1].at - went.began)
    settled_rate = went.offered / (settled - went.began)
    return Measured(workload, rate=done, settled_rate=settled_rate, figures=figures, note=_note(figures))


async def _flooded(stage: Stage, make: Make, rate: float) -> tuple[Overload, _Seen]:
    """Offer the load; look at memory and outboxes meanwhile, in a thread of their own."""
    seen = _Seen()

    def look() -> None:
        seen.memory_mib.append(stage.processes.memory_mib())
        seen.outbox.append(stage.queries.waiting_events())

    async def keep_looking() -> None:
        while True:
            await asyncio.to_thread(look)
            await asyncio.sleep(LOOK_SECONDS)

    look()
    looking = asyncio.create_task(keep_looking())
    try:
        went = await flood(
            stage.card.nats_url,
            stage.card.nats_token,
            stage.card.operator_token,
            make,
            rate,
            stage.sizes.overload_seconds,
        )
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    look()
    return went, seen


def _tell(stage: Stage, seen: _Seen) -> None:
    for kind in seen.memory_mib[0]:
        each = [memory.get(kind, 0.0) for memory in seen.memory_mib]
        stage.say(f"  {kind}: {each[0]:.0f} MiB before, {max(each):.0f} at most, {each[-1]:.0f} after")
    outbox = ", ".join(f"{rows:,}" for rows in seen.outbox[:: max(1, len(seen.outbox) // 10)])
    stage.say(f"  events in the outbox: {outbox}; median {median(seen.outbox):,.0f}")


def _note(figures: dict[str, float]) -> str:
    return (
        f"offered {figures['offered_rate']:,.0f}/s, {figures['highest_backlog']:,.0f} waited in the broker and "
        f"{figures['highest_outbox']:,.0f} in the outbox, all done {figures['caught_up_seconds']:.0f} s after the end, "
        f"memory of the actors {figures['memory_before_mib']:.0f} → {figures['memory_highest_mib']:.0f} MiB"
    )
