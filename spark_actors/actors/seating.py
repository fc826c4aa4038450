"""Who sits where: what all keepers share, and tell the actors in one table of routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import Actor
from spark_actors.actors.routes import Route, RouteTable
from spark_actors.cluster.placing import Place, choose
from spark_actors.cluster.ports import ClusterStore, Seat
from spark_actors.messaging.routing import Placement


class Seating:
    """The seats of all places, as the store knows them and as the actors are told."""

    def __init__(self, store: ClusterStore, own_node: str = "") -> None:
        """*own_node*: on which the root itself lives."""
        self._store = store
        self._own_node = own_node
        self._root = 0
        self._seats: dict[str, str] = {}
        self._inherited: dict[str, Seat] = {}
        self.places: Mapping[str, Place] = {}
        self.usable: Sequence[str] = ()
        """Nodes on which actors may be placed, the one to be filled first in front."""
        self.doubted: dict[str, float] = {}
        """By node from which an actor was lost: when, by the root's clock; until the node has been heard of since."""
        self.table = RouteTable(0, Placement(1, 1))
        self.is_known: Callable[[int], bool] = lambda version: True
        """Whether all who call others have been told a table of this version."""
        self.on_change: Callable[[], None] = lambda: None
        self.opened = asyncio.Event()
        """Set once the tree works; until then its actors are only warm."""
        self.empty_from: dict[str, float] = {}
        """By node from which an actor was lost: when that has ended for sure, by the root's clock."""
        self._endings: dict[asyncio.Task[None], str] = {}
        """With the node of the actor that ends."""

    def begin(self, root: int, seats: Mapping[str, Seat], placement: Placement, *, version: int) -> None:
        """From now on as this root, on what an earlier one has left. Tables are newer than *version*."""
        self._root, self._inherited = root, dict(seats)
        self._seats = {place: seat.node_id for place, seat in seats.items() if place in self.places}
        self.table = RouteTable(version, placement)

    @property
    def seats(self) -> Mapping[str, str]:
        """The node of each place that has an actor, or is getting its first."""
        return self._seats

    @property
    def inhabited(self) -> AbstractSet[str]:
        """Nodes with actors, also such as are about to end."""
        return {*self._seats.values(), *self._endings.values()}

    def node_of(self, place: str) -> str:
        return self._seats.get(place, "")

    def inherited(self, place: str) -> Seat | None:
        """Who sat there when this root began, asked for the first time."""
        return self._inherited.pop(place, None)

    def choose(self, place: str) -> str:
        """The node for *place*, which counts as its own from now on. Raises ActorUnavailableError if there is none."""
        if not self.usable:
            raise ActorUnavailableError(place, "no node is there to place it on")
        self._seats[place] = choose(self.places[place], self._seats, self.places, self.usable)
        return self._seats[place]

    def doubt(self, node_id: str, at: float) -> None:
        """An actor there was lost, perhaps with its machine: what may be elsewhere is placed elsewhere for now.

        Ray says only seconds later that a node is dead; what is to be made there hangs until then. Not of the root's
        own node, which is there.
        """
        if node_id != self._own_node:
            self.doubted[node_id] = at
            self.usable = [each for each in self.usable if each != node_id] or self.usable

    async def seat(self, place: str, node_id: str) -> int:
        """Note durably that an actor is about to be made there; gives its incarnation.

        Raises StorageUnavailableError, SupersededError.
        """
        return await self._store.seat(self._root, place, node_id)

    async def seat_again(self, actor: Actor) -> None:
        """Note durably that this actor keeps its place, since its successor never came to be. Raises like `seat`."""
        self._seats[actor.spec.place] = actor.node_id
        await self._store.seat_again(self._root, actor.spec.place, Seat(actor.incarnation, actor.node_id))

    def publish(self, actor: Actor) -> None:
        """Have everybody told the way to this actor."""
        route = Route(actor.incarnation, actor.handle)
        self._seats[actor.spec.place] = actor.node_id
        routes = {**self.table.routes, actor.spec.place: route}
        self._changed(RouteTable(self.table.version + 1, self.table.placement, routes))

    def place(self, placement: Placement) -> None:
        """Have everybody told that instances live by this placement from now on."""
        self._changed(RouteTable(self.table.version + 1, placement, self.table.routes))

    async def vacate(self, place: str) -> None:
        """Note durably, and have everybody told, that there is no such place any more.

        Raises StorageUnavailableError, SupersededError.
        """
        await self._store.vacate(self._root, place)
        self._seats.pop(place, None)
        routes = {each: route for each, route in self.table.routes.items() if each != place}
        self._changed(RouteTable(self.table.version + 1, self.table.placement, routes))

    def _changed(self, table: RouteTable) -> None:
        self.table = table
        self.on_change()

    async def known_everywhere(self, version: int) -> None:
        """Wait until everybody knows a table of this version, but not for ever: one who is away learns it later."""
        try:
            async with asyncio.timeout(tuning.ROUTES_SECONDS):
                while not self.is_known(version):
                    await asyncio.sleep(tuning.ROUTES_LOOK_SECONDS)
        except TimeoutError:
            return

    def end(self, actor: Actor, ending: Coroutine[Any, Any, None]) -> None:
        """Let an actor end beside everything else."""
        task = asyncio.create_task(ending)
        self._endings[task] = actor.node_id
        task.add_done_callback(self._endings.pop)

    async def all_ended(self) -> None:
        if self._endings:
            await asyncio.wait(self._endings)
