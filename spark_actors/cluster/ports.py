"""What the root asks of the store and of Ray to know, and to say, where everything is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spark_actors.cluster.nodes import Common, Judgement, NodeRow, Sighting
from spark_actors.kernel.errors import SparkError


class SupersededError(SparkError):
    """A newer root works on this deployment: whoever gets this has nothing to say any more."""

    def __init__(self, root: int) -> None:
        super().__init__(root)
        self.root = root

    def __str__(self) -> str:
        return f"root {self.root} has a successor"


@dataclass(frozen=True)
class Seat:
    """Which actor fills a place, and where."""

    incarnation: int
    """Grows with each actor that is made for the place."""
    node_id: str
    wanted_node: str = ""
    """Where an operator wishes it to be; empty: wherever."""


@dataclass(frozen=True)
class ClusterRows:
    """What is written of the cluster."""

    root: int = 0
    """The number of the root that may write; 0 before the first."""
    is_open: bool = True
    """Whether the tree works; one that is only warm waits for another to hand over."""
    seats: Mapping[str, Seat] = field(default_factory=dict)
    """By place."""
    nodes: Mapping[str, NodeRow] = field(default_factory=dict)
    """By id."""
    slots: Mapping[str, int] = field(default_factory=dict)
    """By pool: how many slots an operator wishes it to have instead of what the settings say."""
    fenced: int = 0
    """Actors of the tree that had a successor and have ended themselves."""


class ClusterStore(Protocol):
    """The durable word on where everything is. Each call raises StorageUnavailableError while the store is away."""

    async def become_root(self) -> int:
        """A number higher than that of any root before; those may write no more from now on.

        Raises SupersededError if there is no such tree (any more).
        """

    async def read(self) -> ClusterRows:
        """All that is written."""

    async def seat(self, root: int, place: str, node_id: str) -> int:
        """Note that an actor is about to be made for *place* on that node; gives its incarnation.

        All earlier ones of the place have no right to it from now on. Raises SupersededError.
        """

    async def seat_again(self, root: int, place: str, seat: Seat) -> None:
        """Note that an actor that had the place before keeps it. Raises SupersededError."""

    async def vacate(self, root: int, place: str) -> None:
        """Note that there is no such place any more. Raises SupersededError."""

    async def note(self, root: int, sightings: Sequence[Sighting], judgements: Mapping[str, Judgement]) -> None:
        """Write what is held of these nodes, those among them that were only sighted. Raises SupersededError."""

    async def introduce(self, root: int, node_id: str, found: Common) -> None:
        """Write what was found out about a node that does not speak for itself. Raises SupersededError."""


class RayView(Protocol):
    """The cluster as Ray sees it."""

    async def nodes(self) -> Sequence[Sighting]:
        """All that Ray knows, also dead ones, the head first. Raises ActorUnavailableError if it cannot say."""

    async def examine(self, node_id: str) -> Common:
        """Look at a node that does not speak for itself. Raises ActorUnavailableError if nothing works there."""
