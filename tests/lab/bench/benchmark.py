"""The whole benchmark: which workload runs on which daemon, each beside the reference, and what comes of it all."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.kernel.errors import SparkError
from tests.lab.bench import cluster, latency, overload, peers, workloads
from tests.lab.bench.machine import commit, machine, versions
from tests.lab.bench.peers import common
from tests.lab.bench.queries import BenchQueries
from tests.lab.bench.reference import Reference
from tests.lab.bench.results import Measured, Report, of_rounds
from tests.lab.bench.sizes import Sizes
from tests.lab.bench.stage import Say, Stage, open_stage

Workload = Callable[[Stage], Sequence[Measured]]
ON_ONE_DAEMON: Mapping[str, Workload] = {
    "uniform": workloads.uniform,
    "hot": workloads.hot,
    "donation": workloads.donation,
    "latency": latency.at_rest,
    "load": latency.under_load,
}
ALONE: Mapping[str, Sequence[Workload]] = {
    "crowd": (workloads.crowd,),
    "backlog": (workloads.backlog_of_commands, workloads.backlog_of_events),
    "long-transaction": (workloads.long_transaction,),
    "subscriber-away": (workloads.subscriber_away,),
    "overload": (overload.of_deposits, overload.of_donations),
}
"""Each on a fresh daemon, so that what it leaves behind is in nobody's way."""
VIEWS_APART = frozenset({"subscriber-away"})
"""Need a database of the read models' own."""
HOSTS = (1, 2, 4, 8)
NAMES = (*ON_ONE_DAEMON, *ALONE, "hosts", "start", "cluster")
STARTS = 3
ROUNDS = 3


@dataclass(frozen=True)
class Wanted:
    """What to run."""

    names: Collection[str] = NAMES
    sizes: Sizes = field(default_factory=Sizes)
    runs: int | None = None
    """Of each workload that is run several times; None: as many as usual."""
    peers: bool = False
    folder: Path | None = None
    """Where data dirs are made; None: the system's temporary folder."""


class Benchmark:
    """One run of the benchmark. A workload that fails is reported as such and the others go on."""

    def __init__(self, wanted: Wanted, say: Say) -> None:
        self._wanted, self._say = wanted, say
        self._rows: list[Measured] = []
        self._references: list[float] = []

    def run(self) -> Report:
        """Run what is wanted."""
        began, date = time.monotonic(), datetime.now(UTC)
        for name, act in self._acts():
            try:
                act()
            except SparkError as error:
                self._say(f"{name} failed: {error}")
                self._rows.append(Measured(name, note="failed", wrong=[f"{type(error).__name__}: {error}"]))
        return Report(
            self._rows,
            self._references,
            commit(),
            date.isoformat(timespec="seconds"),
            time.monotonic() - began,
            versions(),
            machine(self._wanted.folder or Path(tempfile.gettempdir())),
        )

    def _acts(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is wanted, by daemons."""
        names = self._wanted.names
        together = [work for name, work in ON_ONE_DAEMON.items() if name in names]
        if together:
            yield "one daemon", partial(self._play, together, {})
        for name, alone in ALONE.items():
            if name in names:
                yield name, partial(self._play, alone, self._placement(name), views_apart=name in VIEWS_APART)
        if "hosts" in names:
            yield "hosts", self._hosts
        if "start" in names:
            yield "start", self._start
        if "cluster" in names:
            yield "cluster", self._cluster
        if self._wanted.peers:
            yield "peers", self._peers

    def _placement(self, name: str) -> Mapping[str, int]:
        """What a workload needs to be set."""
        actors = 2
        room = max(1, self._wanted.sizes.crowd_resident // actors)
        return {"aggregate_actors": actors, "resident_instances": room} if name == "crowd" else {}

    def _play(self, works: Sequence[Workload], placement: Mapping[str, int], *, views_apart: bool = False) -> None:
        """Run the workloads on a daemon of their own, with the reference before, between and after."""
        wanted = self._wanted
        with open_stage(
            wanted.folder, wanted.sizes, wanted.runs, self._say, placement, self._refer, views_apart=views_apart
        ) as stage:
            before = stage.refer()
            for work in works:
                rows, objections = work(stage), stage.objections()
                after = stage.refer()
                self._take([replace(row.compared([before, after]), wrong=objections) for row in rows])
                before = after
            if objections := stage.audit():
                self._rows[-1] = replace(self._rows[-1], wrong=[*self._rows[-1].wrong, *objections])
            self._say(f"audit {'failed' if objections else 'passed'}")

    def _hosts(self) -> None:
        """All settings in turns, round after round, so that a slow quarter of an hour hits them alike."""
        first = len(self._rows)
        for _ in range(self._wanted.runs or ROUNDS):
            for actors in HOSTS:
                self._play([partial(workloads.hosts, actors=actors)], {"aggregate_actors": actors})
        played = self._rows[first:]
        by_setting = [of_rounds(played[number :: len(HOSTS)]) for number in range(len(HOSTS))]
        self._rows[first:] = [*by_setting, *workloads.hosts_together(by_setting)]

    def _start(self) -> None:
        self._take(latency.start(self._wanted.folder, self._wanted.runs or STARTS, self._say))

    def _cluster(self) -> None:
        self._take(cluster.cluster(self._wanted.folder, self._wanted.sizes, self._wanted.runs, self._say))

    def _peers(self) -> None:
        """Others on the same Postgres, without a daemon beside it."""
        with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=self._wanted.folder) as home:
            postgres = EmbeddedPostgres(DataDir(Path(home) / "data"))
            try:
                postgres.start()
                with BenchQueries(postgres.dsn()) as queries:
                    reference = Reference(queries)
                    for module in peers.available():
                        self._peer(module, queries, reference)
            finally:
                postgres.stop()

    def _peer(self, module: str, queries: BenchQueries, reference: Reference) -> None:
        name = module.rpartition(".")[2]
        self._say(f"peer {name}")
        before = self._refer(reference)
        dsn = queries.make_database(f"bench_{name}")
        try:
            results: Sequence[common.PeerResult] = importlib.import_module(module).run(
                dsn, peer_sizes(self._wanted.sizes)
            )
        except Exception as error:  # noqa: BLE001 - another system's: it may raise anything
            self._say(f"{name} failed: {error}")
            results = []
            self._rows.append(Measured(name, note=f"failed: {type(error).__name__}: {error}"))
        after = self._refer(reference)
        self._take([of_peer(name, result).compared([before, after]) for result in results])

    def _refer(self, reference: Reference) -> float:
        """Run the reference."""
        rate = reference.measure(self._wanted.sizes.reference_seconds)
        self._references.append(rate)
        self._say(f"reference {rate:,.0f} transactions/s")
        return rate

    def _take(self, rows: Sequence[Measured]) -> None:
        for row in rows:
            rate = f"{row.rate:,.0f}/s" if row.rate is not None else ""
            ratio = f" = {row.ratio:.2f} × the reference" if row.ratio is not None else ""
            self._say(f"{row.workload}: {rate}{ratio} {'; '.join(row.wrong)}".rstrip())
        self._rows += rows


def peer_sizes(sizes: Sizes) -> common.Sizes:
    """What peers are given to do."""
    return common.Sizes(
        uniform_commands=sizes.commands,
        accounts=sizes.accounts,
        hot_commands=sizes.commands,
        hot_history=sizes.hot_history,
        donations=sizes.donations,
        donors=sizes.donors,
        campaigns=sizes.campaigns,
    )


def of_peer(name: str, result: common.PeerResult) -> Measured:
    """A peer's figure as a row."""
    lost = [f"{result.lost_or_doubled:,} lost or doubled"] if result.lost_or_doubled else []
    note = "; ".join([*lost, *([result.note] if result.note else [])])
    return Measured(f"{name}: {result.workload}", rate=result.rate, runs=[result.rate], note=note)
