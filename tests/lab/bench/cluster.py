"""What becomes of commands while nodes come, go and die, and what a command costs on more of them.

Each run has a cluster of its own under a steady load: a head with nodes beside it, each in a network of its own or,
where only root may make these, at a loopback address; then no node is cut off. The machines of a real cluster have
processors of their own; here all share these, so rates say nothing.

There is no row for the driver alone: it is the head's process, and what it has started ends with it.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import psutil

from domain.application import APPLICATION
from domain.bitcoin.adapters.simulated import SimulatedBooks
from spark_actors.cli.audit import checks_of
from spark_actors.embedded.addresses import Address, is_answering
from spark_actors.embedded.ray_node import DEFAULT_PORT, GCS
from spark_actors.persistence.operator_desk import Operator
from tests.lab.bench.figures import percentile, spread
from tests.lab.bench.machine import ACTORS, ProcessTree, kind_of
from tests.lab.bench.results import Measured
from tests.lab.bench.sizes import Sizes
from tests.lab.bench.stage import Say, StalledError
from tests.lab.chaos.orders import Cast, Orders
from tests.lab.chaos.producer import Producer
from tests.lab.chaos.queries import ChaosQueries
from tests.lab.chaos.target import OWN_ADDRESS, is_alive
from tests.lab.chaos.verify import objections
from tests.lab.cluster.cluster import Cluster
from tests.lab.cluster.machines import HEAD
from tests.lab.cluster.network import Loopback, Namespaces
from tests.lab.load.steady import SteadyLoad, longest_silence, refused, served_again, waits

MACHINES = 3
"""The head and two nodes."""
SLOTS = 3
"""One for each, so that each has its share."""
SETTINGS = f"{OWN_ADDRESS}\n[placement]\naggregate_actors = {SLOTS}\n"
NODE = MACHINES
"""To which node things happen: the last one."""
RUNS = 5
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.1
CALM_SECONDS = 3.0
OPERATOR = Operator("bench", "to measure it")
MAIN: Mapping[str, str] = {
    "node joins": "share_seconds",
    "node drained": "empty_seconds",
    "GCS killed": "gcs_back_seconds",
    "head killed": "ready_seconds",
}
"""The figure of an event that tells most; of others, when all keys are served again."""
SERVED = "served_seconds"
Figures = Mapping[str, float]


@dataclass
class OneRun:
    """What one run has given."""

    events: dict[str, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    costs: dict[int, tuple[Mapping[str, float], Figures]] = field(default_factory=dict)
    """By number of machines: CPU microseconds of a command by kind of process, and what it waited."""
    commands: int = 0
    refused: list[str] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By kind of objection."""
    is_over: bool = False

    @property
    def is_sound(self) -> bool:
        return self.is_over and not any(self.wrong.values())


def cluster(folder: Path | None, sizes: Sizes, runs: int | None, say: Say) -> list[Measured]:
    """All events, each once a run and some several times, on a cluster of its own each run."""
    return rows([asyncio.run(_run(folder, sizes, number, say)) for number in range(runs or RUNS)])


def rows(runs: Sequence[OneRun]) -> list[Measured]:
    """A row for each number of machines and for each event, and one for the books."""
    costs = [_cost_row(machines, [run.costs[machines] for run in runs]) for machines in runs[0].costs]
    events = [_event_row(name, [each for run in runs for each in run.events[name]]) for name in runs[0].events]
    return [*costs, *events, _books_row(runs)]


def _cost_row(machines: int, found: Sequence[tuple[Mapping[str, float], Figures]]) -> Measured:
    by_kind = {kind: median(costs.get(kind, 0.0) for costs, _ in found) for kind in found[0][0]}
    return Measured(
        f"cluster of {machines}",
        cpu_us_per_command=median(sum(costs.values()) for costs, _ in found),
        cpu_by_kind=by_kind,
        figures=_medians([figures for _, figures in found]),
        note="at the same load",
    )


def _event_row(name: str, found: Sequence[Figures]) -> Measured:
    main = MAIN.get(name, SERVED)
    each = [figures[main] for figures in found]
    return Measured(
        name, spread=spread(each), figures=_medians(found), note=f"{main} {', '.join(f'{one:.1f}' for one in each)}"
    )


def _books_row(runs: Sequence[OneRun]) -> Measured:
    wrong = [f"{kind}: {text}" for run in runs for kind, texts in run.wrong.items() for text in texts]
    figures = {
        "commands": sum(run.commands for run in runs),
        "refused": sum(len(run.refused) for run in runs),
        **{kind: sum(len(run.wrong[kind]) for run in runs) for kind in ("lost", "doubled", "late")},
    }
    return Measured("cluster, in all", figures=figures, note=f"{len(runs)} runs", wrong=wrong[:20])


def _medians(found: Sequence[Figures]) -> Figures:
    return {name: median(figures[name] for figures in found) for name in found[0]}


async def _run(folder: Path | None, sizes: Sizes, number: int, say: Say) -> OneRun:
    """Its folder with all logs stays only if something is wrong."""
    home = Path(tempfile.mkdtemp(prefix="spark-bench-", dir=folder))
    network = Namespaces() if Namespaces.can_be_had() else Loopback()
    there, result = Cluster(home, SETTINGS, network), OneRun()
    try:
        await _Scene(there, sizes, number, say, result).play()
        return result
    finally:
        there.stop()
        if result.is_sound:
            shutil.rmtree(home, ignore_errors=True)
        else:
            say(f"the cluster's data and logs stay in {home}")


class _Scene:
    """One cluster under load, and what happens to it."""

    def __init__(self, there: Cluster, sizes: Sizes, number: int, say: Say, result: OneRun) -> None:
        self._there, self._sizes, self._say, self._result = there, sizes, say, result
        prefix = f"bench{number}"
        self._cast = Cast.of(prefix, sizes.cluster_accounts, sizes.cluster_campaigns)
        self._orders = Orders(self._cast, Random(number), prefix)
        self._producer = Producer(lambda: there.head.card, answer_seconds=5.0)
        self._load = SteadyLoad(self._producer, self._orders, self._cast, sizes.cluster_rate)

    async def play(self) -> None:
        """Everything once, then the reckoning. Raises StalledError, TargetError."""
        self._say("starting a head")
        await self._there.start(nodes=0)
        for order in self._orders.opening():
            await self._producer.ask(order)
        loading = asyncio.create_task(self._load.run())
        await asyncio.sleep(CALM_SECONDS)
        await self._cost(HEAD)
        for machines in range(HEAD + 1, MACHINES + 1):
            await self._event("node joins", self._joins(machines))
            await self._cost(machines)
        await self._event("node drained", self._drained)
        await self._event("node joins", self._joins(NODE))
        await self._event("node killed", self._killed)
        await self._event("node joins", self._joins(NODE))
        await self._event("node frozen", self._frozen)
        await self._back(self._there.nodes[NODE].thaw)
        if self._there.network.can_be_cut:
            await self._event("node cut off", self._cut_off)
            await self._back(lambda: self._there.network.heal(NODE))
        await self._event("GCS killed", self._gcs_killed)
        await self._event("head killed", self._head_killed)
        await self._load.stop(PATIENCE_SECONDS)
        await loading
        await self._producer.close()
        await self._reckon()
        self._result.is_over = True

    async def _event(self, name: str, act: Callable[[float], Awaitable[Figures]]) -> None:
        """Have something happen, at the moment that *act* is told, and see what becomes of the commands meanwhile."""
        since = time.monotonic()
        try:
            own = await act(since)
            await self._load.all_served(since, PATIENCE_SECONDS)
            await asyncio.sleep(max(0.0, since + self._sizes.event_seconds - time.monotonic()))
            until = time.monotonic()
            await self._load.all_answered(until, PATIENCE_SECONDS)
        except TimeoutError:
            raise StalledError(f"{name}: what is to follow", PATIENCE_SECONDS) from None
        figures = {
            **own,
            SERVED: max(served_again(self._load.sent, since).values()) - since,
            "silent_seconds": longest_silence(self._load.sent, since, until),
            "p99_ms": percentile(waits(self._load.sent, since, until), 0.99) * 1000,
            "refused": float(len(refused(self._load.sent, since, until))),
        }
        self._result.events[name].append(figures)
        self._say(f"  {name}: {', '.join(f'{what} {value:.3g}' for what, value in figures.items())}")
        await asyncio.sleep(CALM_SECONDS)

    async def _cost(self, machines: int) -> None:
        """What a command costs and waits with so many machines."""
        tops = [self._there.head.pid, *(node.pid for node in self._there.nodes.values())]
        trees = [ProcessTree(pid) for pid in tops]
        since, before = time.monotonic(), _cpu_seconds(trees)
        await asyncio.sleep(self._sizes.cluster_load_seconds)
        until, after = time.monotonic(), _cpu_seconds(trees)
        await self._load.all_answered(until, PATIENCE_SECONDS)
        waited = waits(self._load.sent, since, until)
        costs = {kind: seconds / len(waited) * 1e6 for kind, seconds in used(before, after).items()}
        figures = {f"p{share}_ms": percentile(waited, share / 100) * 1000 for share in (50, 99)}
        self._result.costs[machines] = costs, figures
        self._say(f"  {machines} machines: {sum(costs.values()):,.0f} µs of CPU a command")

    # --- the events; each is told its moment ---

    def _joins(self, number: int) -> Callable[[float], Awaitable[Figures]]:
        """A node is launched: until it is a member, and until it has its share of slots."""

        async def joins(since: float) -> Figures:
            await self._there.joined(number)
            member = time.monotonic() - since
            share = SLOTS // (1 + sum(not node.has_ended for node in self._there.nodes.values()))

            async def has_share() -> bool:
                return (await self._there.slots())[number] >= share

            await self._until(has_share)
            return {"member_seconds": member, "share_seconds": time.monotonic() - since}

        return joins

    async def _drained(self, since: float) -> Figures:
        """An operator wishes a node away: until nothing is there, and until it has ended."""
        desk = self._there.desk
        await asyncio.to_thread(lambda: desk.drain(desk.node(self._there.address(NODE)), OPERATOR))

        async def is_empty() -> bool:
            return await self._there.state(NODE) in ("drained", "gone")

        await self._until(is_empty)
        empty = time.monotonic() - since
        node = self._there.nodes[NODE]
        await self._there.head.until(lambda: node.has_ended, PATIENCE_SECONDS, "the node has ended")
        if node.exit_code:
            self._result.wrong["wrong"].append(f"a drained node ended with {node.exit_code}: {node.last_words()}")
        return {"empty_seconds": empty, "ended_seconds": time.monotonic() - since}

    async def _killed(self, since: float) -> Figures:
        """All processes of a node end."""
        self._there.nodes[NODE].lose_power()
        return {}

    async def _frozen(self, since: float) -> Figures:
        """All processes of a node stop."""
        self._there.nodes[NODE].freeze()
        return {}

    async def _cut_off(self, since: float) -> Figures:
        """Nothing goes to a node or comes from it any more, though all there runs."""
        self._there.network.cut(NODE)
        return {}

    async def _back(self, begin: Callable[[], None]) -> None:
        """Who was mute is a member again; one that has ended is started, as a service manager would."""
        node, since = self._there.nodes[NODE], time.monotonic()
        begin()

        async def is_back() -> bool:
            if node.has_ended:
                await self._there.joined(NODE)
            return await self._there.state(NODE) == "active" and (await self._there.slots())[NODE] > 0

        await self._until(is_back)
        self._say(f"  it has its share again after {time.monotonic() - since:.1f} s")

    async def _gcs_killed(self, since: float) -> Figures:
        """Ray's control service is killed: until another takes connections."""
        first = self._gcs()
        for process in first:
            process.kill()
        address = Address(self._there.address(HEAD), DEFAULT_PORT)

        async def is_back() -> bool:
            return bool(set(self._gcs()) - set(first)) and is_answering(address, LOOK_SECONDS)

        await self._until(is_back)
        return {"gcs_back_seconds": time.monotonic() - since}

    async def _head_killed(self, since: float) -> Figures:
        """All processes of the head end, and it is started at once: until it is ready, and what the old has left."""
        head = self._there.head
        old = await head.lose_power()
        head.launch()
        await head.ready()
        ready = time.monotonic() - since
        await asyncio.sleep(self._sizes.zombie_seconds)
        known = await self._there.pids()
        actors = {process.pid for process in self._actors()} | {each.pid for each in old if is_alive(each)}
        with ChaosQueries(head.dsn) as queries:
            sessions = {pid for pid in queries.clients() if pid not in known}
        return {"ready_seconds": ready, "zombies": len(actors - known), "zombie_sessions": len(sessions)}

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await condition():
                await asyncio.sleep(LOOK_SECONDS)

    # --- what is there ---

    def _gcs(self) -> list[psutil.Process]:
        return [process for process in self._there.head.processes if _name(process) == GCS]

    def _actors(self) -> list[psutil.Process]:
        nodes = [process for node in self._there.nodes.values() for process in node.processes]
        return [process for process in (*self._there.head.processes, *nodes) if _kind(process) in ACTORS]

    async def _reckon(self) -> None:
        """Hold what was done against what was asked for, once nothing waits any more."""

        async def has_settled() -> bool:
            with ChaosQueries(self._there.head.dsn) as queries:
                return not queries.waiting() and queries.balances() == queries.balances(seen=True)

        try:
            await self._until(has_settled)
        except TimeoutError:
            self._say("not all has come to its end")
        result, sent = self._result, self._producer.sent.values()
        result.commands = len(sent)
        result.refused = refused(self._load.sent, 0.0, float("inf"))
        with ChaosQueries(self._there.head.dsn) as queries:
            for objection in objections(sent, queries, SimulatedBooks(0, ())):
                result.wrong[objection.kind].append(objection.detail)
        for check in checks_of(APPLICATION, self._there.head.dsn):
            if not check.is_passed:
                result.wrong["audit"].append(f"{check.name}: {check.findings[0].subject} {check.findings[0].detail}")


def used(before: Mapping[tuple[int, str], float], after: Mapping[tuple[int, str], float]) -> dict[str, float]:
    """CPU seconds between the two looks, by kind of process; of those that are there in the end."""
    by_kind: defaultdict[str, float] = defaultdict(float)
    for (pid, kind), seconds in after.items():
        by_kind[kind] += seconds - before.get((pid, kind), 0.0)
    return by_kind


def _cpu_seconds(trees: Sequence[ProcessTree]) -> dict[tuple[int, str], float]:
    return {process: seconds for tree in trees for process, seconds in tree.cpu_by_process().items()}


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _kind(process: psutil.Process) -> str:
    try:
        return kind_of(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
