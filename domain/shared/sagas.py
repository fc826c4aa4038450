"""Sagas by choreography: pure steps (event in, commands out) and the definition of their visible progress.

Steps move the saga on; a saga's progress row only lets people see it. The row is derived from events and merges in
any order: the step with the highest rank wins, so a repeated or overtaken event changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from domain.shared.messages import Command, Event

Step: TypeAlias = Callable[[Any], Sequence[Command]]
"""A saga step: a pure function from one event to the commands that follow from it (perhaps none)."""


class SagaState(StrEnum):
    """Where a saga stands."""

    RUNNING = "running"  # may become COMPLETED or FAILED
    COMPLETED = "completed"  # final: what was asked for has happened
    FAILED = "failed"  # final: it was refused or compensated; every satoshi is back where it belongs


@dataclass(frozen=True)
class SagaMilestone:
    """One event that moves a saga on, as its progress row shows it."""

    event: type[Event]
    step: str
    state: SagaState
    saga_id: Callable[[Any], str | None]
    """The saga that an event belongs to; None if it belongs to no saga of this kind."""


@dataclass(frozen=True)
class SagaKind:
    """A saga as its context tracks it. A milestone's rank is its place in *milestones*; the highest rank wins."""

    name: str
    patience: timedelta
    """How long after its first event a saga is expected to have ended."""
    milestones: tuple[SagaMilestone, ...]


@dataclass(frozen=True)
class SagaProgress:
    """What one event tells about one saga; merged into its row by rank."""

    kind: str
    saga_id: str
    step: str
    rank: int
    state: SagaState
    last_event: str
    correlation_id: str
    at: datetime
    deadline_at: datetime


def progress_of(kinds: Sequence[SagaKind], event: Event, *, correlation_id: str, at: datetime) -> list[SagaProgress]:
    """What *event*, which happened at *at*, tells about the sagas in *kinds*."""
    return [
        SagaProgress(
            kind.name,
            saga_id,
            milestone.step,
            rank,
            milestone.state,
            event.TYPE.name,
            correlation_id,
            at,
            at + kind.patience,
        )
        for kind in kinds
        for rank, milestone in enumerate(kind.milestones)
        if milestone.event is type(event) and (saga_id := milestone.saga_id(event)) is not None
    ]
