"""The account of a chaos run: each fault with its time to recover, and the table in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.lab.chaos.verify import Objection


@dataclass(frozen=True)
class Strike:
    """One fault as it went."""

    number: int
    fault: str
    at_seconds: float
    """Since the run began."""
    detail: str
    served_seconds: float | None
    """From the end of the fault until new commands for every slot were answered; None: not in time."""
    ended_seconds: float | None
    """Until a new donation had gone all its way into the view."""


@dataclass(frozen=True)
class Row:
    """All tries of one fault."""

    fault: str
    tries: int
    lost: int
    doubled: int
    served_median: float
    served_max: float
    ended_median: float
    ended_max: float


@dataclass
class Account:
    """What a run has seen."""

    seed: int
    seconds: float = 0.0
    orders: int = 0
    strikes: list[Strike] = field(default_factory=list)
    skipped: int = 0
    """Faults that could not be done, because what they would have hurt was away already."""
    objections: list[Objection] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)
    """What the audit finds wrong."""

    @property
    def is_sound(self) -> bool:
        is_served = all(strike.served_seconds is not None for strike in self.strikes)
        return is_served and not self.objections and not self.audit

    def rows(self) -> Iterator[Row]:
        """The table, by fault."""
        for fault in sorted({strike.fault for strike in self.strikes}):
            tries = [strike for strike in self.strikes if strike.fault == fault]
            served = [strike.served_seconds for strike in tries if strike.served_seconds is not None] or [-1.0]
            ended = [strike.ended_seconds for strike in tries if strike.ended_seconds is not None] or [-1.0]
            yield Row(
                fault,
                len(tries),
                self._count("lost", tries),
                self._count("doubled", tries),
                median(served),
                max(served),
                median(ended),
                max(ended),
            )

    def _count(self, kind: str, tries: Sequence[Strike]) -> int:
        numbers = {strike.number for strike in tries}
        return sum(objection.kind == kind and objection.fault in numbers for objection in self.objections)


HEADINGS = ("fault", "tries", "lost", "doubled", "served again s (median, max)", "saga to its end s (median, max)")


def table(account: Account) -> str:
    """The table as Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for row in account.rows():
        lines.append(
            f"| {row.fault} | {row.tries} | {row.lost} | {row.doubled} | {row.served_median:.1f}, {row.served_max:.1f} "
            f"| {row.ended_median:.1f}, {row.ended_max:.1f} |"
        )
    return "\n".join(lines)
