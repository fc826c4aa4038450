"""What a workload gave, what it is measured against, and the whole as one JSON object. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from types import MappingProxyType
from typing import Any

from tests.lab.bench.figures import spread


@dataclass(frozen=True)
class Run:
    """One run of a workload. Durations are in seconds."""

    count: int
    """Commands, donations or events."""
    seconds: float
    """From the first one published until the last one was done."""
    settled_seconds: float
    """From the first one published until every outbox was empty: sagas, read models, everything."""
    cpu_seconds: Mapping[str, float]
    """Used by all processes until it had settled, by kind of process."""
    samples: tuple[tuple[float, int], ...] = ()
    """What was left to do, and when."""
    reference: float | None = None
    """Transactions a second of the reference, just before and just after; None where it was not taken for this run."""

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def settled_rate(self) -> float:
        return self.count / self.settled_seconds

    @property
    def cpu_us(self) -> float:
        """CPU time for each, in microseconds."""
        return sum(self.cpu_seconds.values()) / self.count * 1e6


@dataclass(frozen=True)
class Measured:
    """A row of the table. What does not apply is None, or not among the figures."""

    workload: str
    rate: float | None = None
    """A second; the median of the runs."""
    ratio: float | None = None
    """The rate to that of the reference runs before and after; the median, where each run has its own."""
    spread: float | None = None
    """Highest less lowest rate, as a share of the median."""
    settled_rate: float | None = None
    cpu_us_per_command: float | None = None
    """Summed over all processes, the median of the runs."""
    cpu_by_kind: Mapping[str, float] = field(default_factory=dict)
    """The same, by kind of process."""
    runs: Sequence[float] = ()
    """The rate of each run."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What else there is, with the unit in its name."""
    note: str = ""
    wrong: Sequence[str] = ()
    """What is wrong with the books; a figure whose books are wrong is worth nothing."""

    @property
    def cpu_in_references(self) -> float | None:
        """CPU time of one, counted in the time that one transaction of the reference beside it took.

        It changes less than the microseconds when the machine gets slower or faster meanwhile.
        """
        if self.cpu_us_per_command is None or not self.rate or not self.ratio:
            return None
        return self.cpu_us_per_command / 1e6 * (self.rate / self.ratio)

    def figure(self, name: str) -> float | None:
        """A figure by its name, `ratio` among them."""
        return self.ratio if name == "ratio" else self.figures.get(name)

    def compared(self, references: Sequence[float]) -> Measured:
        """With the ratio to the mean of the reference runs before and after, unless its runs have their own."""
        if self.rate is None or self.ratio is not None:
            return self
        return replace(self, ratio=self.rate / fmean(references))


@dataclass(frozen=True)
class Goal:
    """What a figure is to reach, and what it is to aim for."""

    figure: str
    reach: float
    aim: float
    at_most: bool = False
    """Less is better."""

    def is_met(self, value: float, *, aim: bool = False) -> bool:
        """Whether *value* reaches it, or even the aim."""
        wanted = self.aim if aim else self.reach
        return value <= wanted if self.at_most else value >= wanted


_OVERLOAD = (Goal("p99_ms", 3_000, 1_500, at_most=True), Goal("memory_growth", 1.5, 1.2, at_most=True))
_MUTE = (Goal("served_seconds", 4, 3, at_most=True), Goal("refused", 0, 0, at_most=True))
"""Two seconds until it is suspected, one until another is there, and half a second between the commands of a key."""
_MOVES = (Goal("p99_ms", 3_000, 1_000, at_most=True), Goal("refused", 0, 0, at_most=True))
GOALS: Mapping[str, tuple[Goal, ...]] = MappingProxyType(
    {
        "uniform": (Goal("ratio", 2.0, 3.0),),
        "hot": (Goal("ratio", 1.0, 2.0),),
        "hot, long history": (Goal("of_first", 0.9, 1.0),),
        "donation": (Goal("ratio", 0.3, 0.5),),
        "command at rest": (Goal("p50_ms", 8, 4, at_most=True), Goal("p99_ms", 25, 12, at_most=True)),
        "donation at rest": (Goal("p50_ms", 80, 40, at_most=True),),
        "command under load": (Goal("p99_ms", 100, 50, at_most=True),),
        "crowd": (Goal("of_uniform", 0.8, 1.0),),
        "backlog of commands": (Goal("last_of_first", 0.9, 1.0),),
        "backlog of events": (Goal("last_of_first", 0.9, 1.0),),
        "long transaction": (Goal("drop", 0.15, 0.05, at_most=True),),
        "subscriber away": (Goal("of_usual", 0.9, 1.0), Goal("memory_growth", 1.5, 1.2, at_most=True)),
        "overload": _OVERLOAD,
        "overload of sagas": _OVERLOAD,
        "hosts": (Goal("cpu_spread", 0.15, 0.05, at_most=True),),
        "node joins": (Goal("share_seconds", 10, 5, at_most=True), *_MOVES),
        "node drained": (Goal("empty_seconds", 10, 3, at_most=True), *_MOVES),
        "node killed": _MUTE,
        "node frozen": _MUTE,
        "node cut off": _MUTE,
        "GCS killed": (Goal("silent_seconds", 1, 0.5, at_most=True), Goal("gcs_back_seconds", 6, 3, at_most=True)),
        "head killed": (
            Goal("ready_seconds", 15, 10, at_most=True),
            Goal("zombies", 0, 0, at_most=True),
            Goal("zombie_sessions", 0, 0, at_most=True),
            Goal("refused", 0, 0, at_most=True),
        ),
        "start": (Goal("seconds", 15, 8, at_most=True), Goal("memory_mib", 1.2 * 1024, 800, at_most=True)),
    }
)


def of_runs(workload: str, runs: Sequence[Run], *, note: str = "", **figures: float) -> Measured:
    """A row from the runs of a workload."""
    rates = [run.rate for run in runs]
    ratios = [run.rate / run.reference for run in runs if run.reference]
    kinds = sorted({kind for run in runs for kind in run.cpu_seconds})
    return Measured(
        workload,
        rate=median(rates),
        ratio=median(ratios) if ratios else None,
        spread=spread(rates),
        settled_rate=median(run.settled_rate for run in runs),
        cpu_us_per_command=median(run.cpu_us for run in runs),
        cpu_by_kind={kind: median(run.cpu_seconds.get(kind, 0) / run.count * 1e6 for run in runs) for kind in kinds},
        runs=rates,
        figures=figures,
        note=note,
    )


def of_rounds(rows: Sequence[Measured]) -> Measured:
    """One row of several of the same workload, each from a daemon of its own: the medians of what all of them have."""
    runs = [rate for row in rows for rate in row.runs]
    return replace(
        rows[0],
        rate=median(row.rate or 0 for row in rows),
        ratio=median(row.ratio or 0 for row in rows),
        spread=spread(runs),
        settled_rate=median(row.settled_rate or 0 for row in rows),
        cpu_us_per_command=median(row.cpu_us_per_command or 0 for row in rows),
        cpu_by_kind={kind: median(row.cpu_by_kind.get(kind, 0) for row in rows) for kind in rows[0].cpu_by_kind},
        runs=runs,
        wrong=[objection for row in rows for objection in row.wrong],
    )


@dataclass(frozen=True)
class Report:
    """Everything that one run of the benchmark found out."""

    workloads: Sequence[Measured]
    references: Sequence[float]
    """Transactions a second, each run of it."""
    commit: str
    date: str
    """ISO 8601, UTC."""
    seconds: float
    """How long it took."""
    versions: Mapping[str, str]
    machine: Mapping[str, str | int | float]

    @property
    def is_sound(self) -> bool:
        """Whether every workload ran and all books were right."""
        return not any(row.wrong for row in self.workloads)


def as_json(report: Report) -> dict[str, Any]:
    """The report as one JSON object."""
    return {
        "workloads": [_row(row) for row in report.workloads],
        "reference": {
            "rate": _rounded(median(report.references)) if report.references else None,
            "spread": _rounded(spread(report.references)) if report.references else None,
            "runs": [_rounded(rate) for rate in report.references],
        },
        "commit": report.commit,
        "date": report.date,
        "seconds": _rounded(report.seconds),
        "versions": dict(report.versions),
        "machine": dict(report.machine),
        "sound": report.is_sound,
    }


def _row(row: Measured) -> dict[str, Any]:
    return {
        "workload": row.workload,
        "rate": _rounded(row.rate),
        "ratio": _rounded(row.ratio),
        "cpu_us_per_command": _rounded(row.cpu_us_per_command),
        "cpu_in_references": _rounded(row.cpu_in_references),
        "cpu_us_by_kind": {kind: _rounded(value) for kind, value in row.cpu_by_kind.items()},
        "settled_rate": _rounded(row.settled_rate),
        "spread": _rounded(row.spread),
        "runs": [_rounded(rate) for rate in row.runs],
        **{name: _rounded(value) for name, value in row.figures.items()},
        "goals": [
            {"figure": goal.figure, "reach": goal.reach, "aim": goal.aim, "met": goal.is_met(value)}
            for goal in GOALS.get(row.workload, ())
            if (value := row.figure(goal.figure)) is not None
        ],
        "note": row.note,
        "wrong": list(row.wrong),
    }


def _rounded(value: float | None) -> float | None:
    """To four significant digits: more is noise."""
    return None if value is None else float(f"{value:.4g}")
