"""The durable word on where everything is, in memory: for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from spark_actors.cluster.nodes import Common, Judgement, NodeRow, NodeState, Sighting
from spark_actors.cluster.ports import ClusterRows, Seat, SupersededError


class MemoryClusterStore:
    """Port `ClusterStore`, and what nodes and operators write. Of one tree: it knows no other."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._root = 0
        self._seats: dict[str, Seat] = {}
        self._issued: dict[str, int] = {}
        self._nodes: dict[str, NodeRow] = {}
        self._heard_at: dict[str, float] = {}
        """By node: when its last heartbeat came."""
        self._slots: dict[str, int] = {}

    async def become_root(self) -> int:
        self._root += 1
        return self._root

    async def read(self) -> ClusterRows:
        nodes = {
            node_id: replace(row, silent_seconds=self._now() - self._heard_at[node_id])
            if node_id in self._heard_at
            else row
            for node_id, row in self._nodes.items()
        }
        return ClusterRows(self._root, True, dict(self._seats), nodes, dict(self._slots))

    async def seat(self, root: int, place: str, node_id: str) -> int:
        self._check(root)
        self._issued[place] = number = self._issued.get(place, 0) + 1
        self._seats[place] = replace(self._seats.get(place, Seat(0, "")), incarnation=number, node_id=node_id)
        return number

    async def seat_again(self, root: int, place: str, seat: Seat) -> None:
        self._check(root)
        self._seats[place] = replace(self._seats[place], incarnation=seat.incarnation, node_id=seat.node_id)

    async def vacate(self, root: int, place: str) -> None:
        self._check(root)
        self._seats.pop(place, None)

    async def note(self, root: int, sightings: Sequence[Sighting], judgements: Mapping[str, Judgement]) -> None:
        self._check(root)
        by_id = {each.node_id: each for each in sightings}
        for node_id, judgement in judgements.items():
            seen = by_id.get(node_id)
            row = self._nodes.get(node_id) or NodeRow(node_id, seen.name if seen else "", seen.address if seen else "")
            self._nodes[node_id] = replace(row, state=judgement.state, reason=judgement.reason)

    async def introduce(self, root: int, node_id: str, found: Common) -> None:
        self._check(root)
        self._nodes[node_id] = replace(self._nodes[node_id], release=found.release, fingerprint=found.fingerprint)

    def _check(self, root: int) -> None:
        if root != self._root:
            raise SupersededError(root)

    def knows(self, node_id: str) -> bool:
        return node_id in self._nodes

    def state(self, node_id: str) -> NodeState:
        """What is held of a node; one that nobody has heard of yet is joining."""
        return self._nodes[node_id].state if self.knows(node_id) else NodeState.JOINING

    def incarnation(self, place: str) -> int:
        """The newest of a place; 0 if there is no such place."""
        return self._seats[place].incarnation if place in self._seats else 0

    @property
    def root(self) -> int:
        """The number of the root that may write."""
        return self._root

    def heartbeat(self, row: NodeRow) -> None:
        """What a node says of itself."""
        known = self._nodes.get(row.node_id, row)
        self._nodes[row.node_id] = replace(
            row, is_to_leave=known.is_to_leave, state=known.state, reason=known.reason, silent_seconds=None
        )
        self._heard_at[row.node_id] = self._now()

    def leave(self, node_id: str) -> None:
        """A node is to be emptied."""
        self._nodes[node_id] = replace(self._nodes[node_id], is_to_leave=True)

    def wish(self, place: str, node_id: str) -> None:
        """An operator wants the actor of a place on that node."""
        self._seats[place] = replace(self._seats[place], wanted_node=node_id)

    @property
    def slots(self) -> Mapping[str, int]:
        """What operators wish, by pool."""
        return self._slots

    def scale(self, pool: str, slots: int) -> None:
        """An operator wants so many slots."""
        self._slots[pool] = slots
