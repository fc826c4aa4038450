"""How fast an Ingress takes commands in: within its limits, and slower while the relays are behind (back pressure)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from spark_actors.actors import tuning
from spark_actors.ingress.port import BrokerLag
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import ClocksCompared, IngressMeasured

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class IngressLimits:
    """How much an ingress takes in hand."""

    in_flight: int
    """Commands pulled and not acknowledged yet."""
    batch: int
    """Commands pulled at once."""
    relay_backlog: int
    """Events that may wait in an outbox before the ingress slows down (see `pause_for_relays`)."""
    leeway_seconds: float
    """By how much the clocks of those who make and check tokens may differ: half of it is worth a line in the log."""


class Pace:
    """Sees how far the ingress is behind the broker and the relays behind the ingress, and whether clocks agree."""

    def __init__(
        self, limits: IngressLimits, relay_backlog: Callable[[], Awaitable[int]], telemetry: Telemetry
    ) -> None:
        self._limits = limits
        self._relay_backlog = relay_backlog
        self._telemetry = telemetry
        self.pause_seconds = 0.0
        """To wait before each batch."""
        self._is_behind = False
        """Whether the relays have, or lately had, too much before them."""
        self._clocks_differ = False
        """Whether ours and the broker's are, or lately were, too far apart."""

    def room(self, in_flight: int) -> int:
        """How many commands may be pulled at once while so many are in hand; none, or less, if it is full."""
        return min(self._limits.in_flight - in_flight, self._limits.batch)

    def see_broker(self, lag: BrokerLag) -> None:
        """Tell how far the ingress is behind.

        A token is made by our clock and held against the broker's: the log says once that these drift apart.
        """
        self._telemetry(IngressMeasured(lag.waiting, lag.in_flight))
        were_apart, apart = self._clocks_differ, abs(lag.clock_ahead)
        self._telemetry(ClocksCompared(apart))
        worth_telling = max(tuning.SKEW_WORTH_TELLING_SECONDS, self._limits.leeway_seconds / 2)
        self._clocks_differ = apart > (worth_telling / 2 if were_apart else worth_telling)
        if self._clocks_differ != were_apart:
            log.warning(
                "clocks_differ" if self._clocks_differ else "clocks_agree",
                broker_ahead_seconds=round(lag.clock_ahead, 1),
                leeway_seconds=self._limits.leeway_seconds,
            )

    async def see_relays(self) -> None:
        """Find the pause that the relays need. Raises StorageUnavailableError."""
        events, allowed = await self._relay_backlog(), self._limits.relay_backlog
        self.pause_seconds = pause_for_relays(events, allowed)
        was_behind, self._is_behind = self._is_behind, events > (allowed / 2 if self._is_behind else allowed)
        if self._is_behind != was_behind:
            log.warning("relays_behind" if self._is_behind else "relays_caught_up", events=events)


def pause_for_relays(events: int, allowed: int) -> float:
    """Seconds to wait before each batch while *events* wait: none up to *allowed*, the longest from twice as many on.

    In between they grow with the square, so that the ingress finds the pace of the relays and does not swing between
    all it can and next to nothing: commands in hand would wait long each time.
    """
    excess = min(1.0, max(0.0, events / allowed - 1.0))
    return tuning.RELAYS_BEHIND_SECONDS * excess**2
