"""What an aggregate answers to a command: an outcome, its next state, the events, and rows for its books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from spark_actors.kernel.messages import Event

S = TypeVar("S")


class Verdict(StrEnum):
    """How a command ended."""

    DONE = "done"
    REJECTED = "rejected"  # the business said no; final
    FAILED = "failed"  # the command could not be handled (a bug, or bytes nobody understands); it waits for an operator
    LOCKED = "locked"  # not now: somebody else holds a lock on the instance. Nothing was done; no producer is told this
    MOVED = "moved"  # not here: another slot has the instance now. Nothing was done; no producer is told this either
    PARKED = "parked"  # waits durably behind an earlier one of its key, and is handled once that key is released


@dataclass(frozen=True)
class Outcome:
    """How a command ended and why. A command delivered again answers the same outcome."""

    verdict: Verdict
    reason: str = ""
    """Machine-readable, snake case; empty when done."""
    data: Mapping[str, object] = field(default_factory=dict)
    """A few plain values for the one who asked."""


DONE = Outcome(Verdict.DONE)
PARKED = Outcome(Verdict.PARKED, "key_parked")
ID_REUSED = Outcome(Verdict.REJECTED, "id_reused")
"""The answer to a command under an id that its sender has used for something else. Nothing is done, nothing is kept."""


class Decision(NamedTuple, Generic[S]):
    """The answer of an aggregate to one command. Nothing in it has happened until it is committed."""

    outcome: Outcome
    state: S | None = None
    """The next state; None leaves the state as it was."""
    events: tuple[Event, ...] = ()
    records: tuple[object, ...] = ()
    """Rows for the aggregate's append-only books: committed with the
    state, never loaded with it, so that no list grows inside an aggregate."""


def done(state: S | None, *events: Event, records: tuple[object, ...] = (), **data: object) -> Decision[S]:
    """The command did what it asked for."""
    return Decision(Outcome(Verdict.DONE, data=data) if data else DONE, state, events, records)


def rejected(reason: str, *events: Event) -> Decision[S]:
    """The business says no: *reason* goes to the one who asked, the events to everyone else; the state stays."""
    return Decision(Outcome(Verdict.REJECTED, reason), None, events)
