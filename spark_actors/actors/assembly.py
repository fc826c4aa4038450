"""What runs inside one actor process: a service, and what it says of itself when asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spark_actors.actors.routes import Routes


class Service(Protocol):
    """Work that goes on until it is stopped. Starting twice and stopping twice do no harm."""

    async def start(self) -> None:
        """Begin; returns at once, whatever the outside world is like."""

    async def stop(self) -> None:
        """Finish what is in hand and begin nothing new."""

    def problems(self) -> list[str]:
        """Why it cannot do its work just now; empty when it can."""


async def _nothing() -> None:
    """Nothing to close."""


@dataclass(frozen=True)
class Assembly:
    """A service with everything that was built for it."""

    service: Service
    metrics: Callable[[], bytes]
    """A snapshot for the metrics board."""
    routes: Routes = field(default_factory=Routes)
    """By which it finds other actors; who calls none has one all the same."""
    close: Callable[[], Awaitable[None]] = field(default=_nothing)
    """Gives back connections, after the service has stopped."""
    warnings: Callable[[], Sequence[str]] = tuple
    """What operators should see to though it can do its work."""
