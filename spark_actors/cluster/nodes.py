"""The nodes of a cluster: what Ray says of each, what it says of itself, and what follows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class NodeState(StrEnum):
    """What may happen at a node."""

    JOINING = "joining"
    """It is not known yet whether it fits; if that cannot be found out, the reason says why."""
    ACTIVE = "active"
    """Actors may be placed there."""
    SUSPECT = "suspect"
    """Silent: its actors are made anew elsewhere, before Ray says that it is dead."""
    DRAINING = "draining"
    """Nothing new goes there, and what is there moves away."""
    DRAINED = "drained"
    """Nothing is there any more: it may be taken away."""
    REFUSED = "refused"
    """It does not fit the others; the reason says how."""
    GONE = "gone"


@dataclass(frozen=True)
class Sighting:
    """A node as Ray sees it."""

    node_id: str
    """In hex."""
    name: str
    address: str
    is_alive: bool
    is_draining: bool = False
    """Ray was told to drain it."""


@dataclass(frozen=True)
class NodeRow:
    """A node as it has said itself, or as the root has noted it."""

    node_id: str
    name: str
    address: str
    release: str = ""
    """Empty: neither has it said so, nor has it been looked at."""
    fingerprint: str = ""
    """Of its settings, as far as they must be the same everywhere; empty as well."""
    epoch: int = 0
    """Of the tree for which it has read its settings; 0 for one that has not said so."""
    silent_seconds: float | None = None
    """Since its last heartbeat; None if nobody there sends any."""
    is_to_leave: bool = False
    state: NodeState = NodeState.JOINING
    reason: str = ""


@dataclass(frozen=True)
class Judgement:
    """What the root holds of a node."""

    state: NodeState
    reason: str = ""


@dataclass(frozen=True)
class Common:
    """What a node must have in common with the others."""

    release: str
    fingerprint: str
    epoch: int = 0
    """Of the tree, as far as it counts: settings may be others for the next one."""


def judge(
    sightings: Sequence[Sighting],
    rows: Mapping[str, NodeRow],
    expected: Common,
    *,
    own_node: str,
    silent: Collection[str],
    inhabited: Collection[str],
    patience_seconds: float,
) -> dict[str, Judgement]:
    """What to hold of every node, by its id.

    *own_node*: that of who asks, which is never suspected. *silent*: those whose actors have all been silent for too
    long; *inhabited*: those with actors. One whose heartbeats have ceased, for *patience_seconds*, is suspected if its
    actors are silent as well, or if it has none.
    """
    alive = {each.node_id: each for each in sightings if each.is_alive}
    judgements = {node_id: Judgement(NodeState.GONE) for node_id in rows if node_id not in alive}
    for node_id, sighting in alive.items():
        row = rows.get(node_id) or NodeRow(node_id, sighting.name, sighting.address)
        judgements[node_id] = _judge_one(
            sighting,
            row,
            expected,
            is_own=node_id == own_node,
            is_silent=_is_silent(row, patience_seconds, node_id in silent, node_id in inhabited),
            is_inhabited=node_id in inhabited,
        )
    return judgements


def _is_silent(row: NodeRow, patience_seconds: float, actors_are_silent: bool, is_inhabited: bool) -> bool:
    if row.silent_seconds is not None and row.silent_seconds <= patience_seconds:
        return False
    return actors_are_silent or (row.silent_seconds is not None and not is_inhabited)


def _judge_one(
    sighting: Sighting, row: NodeRow, expected: Common, *, is_own: bool, is_silent: bool, is_inhabited: bool
) -> Judgement:
    if not is_own and not row.release:
        return Judgement(NodeState.JOINING, row.reason)
    if not is_own and row.silent_seconds is not None and row.epoch < expected.epoch:
        return Judgement(NodeState.JOINING, "it has not read its settings for this tree yet")
    if not is_own and (reason := _misfit(row, expected)):
        return Judgement(NodeState.REFUSED, reason)
    if not is_own and is_silent:
        return Judgement(NodeState.SUSPECT, "neither its actors nor itself have answered")
    if row.is_to_leave or sighting.is_draining:
        return Judgement(NodeState.DRAINING if is_inhabited else NodeState.DRAINED)
    return Judgement(NodeState.ACTIVE)


def _misfit(row: NodeRow, expected: Common) -> str:
    """How the node does not fit; empty if it does, as far as is known."""
    if row.release and row.release != expected.release:
        return f"its release is {row.release}, expected {expected.release}"
    if row.fingerprint and row.fingerprint != expected.fingerprint:
        return f"its settings are others (fingerprint {row.fingerprint}, expected {expected.fingerprint})"
    return ""
