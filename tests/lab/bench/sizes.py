"""How much each workload does."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """The sizes of all workloads. Counts are of commands, accounts, … ; durations are in seconds."""

    commands: int = 20_000
    """Deposits of one run of uniform, hot, hosts and long transaction."""
    accounts: int = 10_000
    """Accounts that the uniform deposits spread over."""
    hot_history: int = 100_000
    """Deposits that the hot account has had when it is measured again."""
    donations: int = 2_000
    """Donations of one run."""
    donors: int = 900
    campaigns: int = 50
    single_commands: int = 400
    """Commands sent one at a time."""
    single_donations: int = 150
    """Donations made one at a time."""
    load_seconds: float = 15.0
    """For how long the latency under load is measured."""
    overload_seconds: float = 120.0
    """For how long three times the sustainable load is offered."""
    crowd_accounts: int = 1_000_000
    """Accounts stored."""
    crowd_touched: int = 200_000
    """Those of them that commands go to at random, and how many commands."""
    crowd_resident: int = 50_000
    """Those that the actors keep in memory together."""
    backlog: int = 200_000
    """Commands queued, and outbox rows pending."""
    held_seconds: float = 75.0
    """For how long the other session sits idle in transaction."""
    away_donations: int = 20_000
    """Donations while the read models are away: four events each, so many times what a relay may have in hand."""
    cluster_rate: int = 100
    """Commands a second of a cluster to which something happens: four deposits and a donation in turns."""
    cluster_accounts: int = 40
    cluster_campaigns: int = 10
    """Each of these instances has two commands a second, so it is seen so soon that it is served again."""
    cluster_load_seconds: float = 20.0
    """For how long the costs of a command are measured with so many nodes."""
    event_seconds: float = 10.0
    """How long commands are looked at from the moment at which something happens, at least."""
    zombie_seconds: float = 30.0
    """After a new start of the head nothing of the old one may be left by then."""
    reference_seconds: float = 5.0
    """Of one run of the reference."""

    def scaled(self, factor: float) -> Sizes:
        """All sizes times *factor*; at least one of each, and a duration is at least one second."""
        sizes: dict[str, Any] = {field.name: _scaled(getattr(self, field.name), factor) for field in fields(self)}
        return replace(self, **sizes)


def _scaled(size: float, factor: float) -> int | float:
    return max(1, round(size * factor)) if isinstance(size, int) else max(1.0, size * factor)
