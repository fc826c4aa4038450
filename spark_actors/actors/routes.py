"""Where the other actors are, as the root has last told this process. Nobody looks anything up for himself.

The root tells it inside the heartbeat that it asks for anyway. Who wants an actor to which there is no way, or whose
last call to it failed, waits for the next table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.messaging.routing import Placement

T = TypeVar("T")


class Route(NamedTuple):
    """The way to the actor that fills a place."""

    incarnation: int
    actor: Any
    """What calls are made on: a handle of the actor runtime."""


@dataclass(frozen=True)
class RouteTable:
    """All that a process needs to know of where the others are. Each is newer than the one before."""

    version: int
    placement: Placement
    routes: Mapping[str, Route] = field(default_factory=dict)
    """By place."""


class Routes:
    """The table of this process. Not safe for threads: it belongs to one event loop."""

    def __init__(self) -> None:
        self.version = 0
        """Of the newest table that was taken; 0 before the first."""
        self._routes: dict[str, Route] = {}
        self._broken: dict[str, int] = {}
        """By place: the incarnation to which the last call has failed."""
        self._changed = asyncio.Event()
        self._followers: list[Callable[[RouteTable], None]] = []

    def follow(self, take: Callable[[RouteTable], None]) -> None:
        """Have *take* called with each newer table."""
        self._followers.append(take)

    def take(self, table: RouteTable) -> None:
        """Go by this table from now on, unless it is older than the one that is known."""
        if table.version <= self.version:
            return
        self.version = table.version
        known, self._routes = self._routes, dict(table.routes)
        for place, route in known.items():
            if place in self._routes and self._routes[place].incarnation == route.incarnation:
                self._routes[place] = route
        for follower in self._followers:
            follower(table)
        self._changed.set()
        self._changed = asyncio.Event()

    async def find(self, place: str) -> Route:
        """The way to *place*. Waits a while for another one than that which has failed, or if there is none.

        Raises ActorUnavailableError if there is none then, either; one that has failed may work again.
        """
        try:
            async with asyncio.timeout(tuning.ROUTE_SECONDS):
                while not self._is_good(place):
                    await self._changed.wait()
        except TimeoutError:
            if place not in self._routes:
                raise ActorUnavailableError(place, "nobody has said where it is") from None
        self._broken.pop(place, None)
        return self._routes[place]

    def _is_good(self, place: str) -> bool:
        route = self._routes.get(place)
        return route is not None and self._broken.get(place) != route.incarnation

    async def call(self, place: str, call: Callable[[Any], Awaitable[T]]) -> T:
        """What the actor at *place* answers. What goes wrong between the two is remembered, and raised as it is."""
        route = await self.find(place)
        try:
            return await call(route.actor)
        except ActorUnavailableError:
            self._broken[place] = route.incarnation
            raise
