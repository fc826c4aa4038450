"""On which node each actor lives. Pure: the same places, seats and nodes give the same answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A role that one actor at a time fills, on whichever node."""

    name: str
    kind: str
    """Places of one kind are spread over the nodes."""
    is_mobile: bool = False
    """Whether it moves to make the shares of the nodes even. The others move only if they must."""


@dataclass(frozen=True)
class Move:
    """An actor that is to live on another node."""

    place: str
    node_id: str


def choose(place: Place, seats: Mapping[str, str], places: Mapping[str, Place], usable: Sequence[str]) -> str:
    """The node for *place*: with the fewest of its kind, then the fewest at all, then the first of *usable*.

    *seats*: the node of each place that has one. Raises ValueError if nothing is usable.
    """
    others = {name: node for name, node in seats.items() if name != place.name}
    kin = Counter(node for name, node in others.items() if places[name].kind == place.kind)
    all_of = Counter(others.values())
    return min(usable, key=lambda node: (kin[node], all_of[node]))


def moves(
    places: Iterable[Place],
    seats: Mapping[str, str],
    usable: Sequence[str],
    leaving: Collection[str],
    wanted: Mapping[str, str],
) -> list[Move]:
    """What has to move: away from nodes that are *leaving*, to where it is *wanted*, and so that shares become even.

    Each usable node gets its share of the mobile places of a kind, rounded down or up.
    """
    if not usable:
        return []
    plan = _Plan({place.name: place for place in places}, seats)
    for name, node in wanted.items():
        if node in usable and plan.seats.get(name, node) != node:
            plan.move(name, node)
    for name, node in list(plan.seats.items()):
        if node in leaving:
            plan.move(name, choose(plan.places[name], plan.seats, plan.places, usable))
    settled = {name for name, node in wanted.items() if node in usable}
    for kind in sorted({place.kind for place in plan.places.values() if place.is_mobile}):
        plan.even_out(kind, usable, settled)
    return plan.moves


class _Plan:
    """Who sits where once everything has moved that is planned so far."""

    def __init__(self, places: Mapping[str, Place], seats: Mapping[str, str]) -> None:
        self.places = places
        self.seats = {name: node for name, node in seats.items() if name in places}
        self.moves: list[Move] = []

    def move(self, name: str, node_id: str) -> None:
        self.seats[name] = node_id
        self.moves.append(Move(name, node_id))

    def even_out(self, kind: str, usable: Sequence[str], settled: Collection[str]) -> None:
        """From the fullest node to the emptiest, while they are more than one apart; not those that are *settled*."""
        of_kind = [name for name in self.seats if self.places[name].kind == kind]
        while True:
            count = Counter(dict.fromkeys(usable, 0))
            count.update(self.seats[name] for name in of_kind if self.seats[name] in usable)
            emptiest = min(usable, key=lambda node: count[node])
            movable = [
                name
                for name in of_kind
                if name not in settled and self.seats[name] in usable and count[self.seats[name]] > count[emptiest] + 1
            ]
            if not movable:
                return
            self.move(max(movable, key=lambda name: count[self.seats[name]]), emptiest)
