"""Sagas by choreography: pure steps (event in, commands out) and the definition of their visible progress.

Steps move the saga on; a saga's progress row only lets people see it. There is a row for each *story*, that is for each
correlation id under which a saga's id was used: what another story tells about the same id changes nothing in it. The
row is derived from events and merges in any order: the step with the highest rank wins, so a repeated or overtaken
event changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from spark_actors.kernel.messages import Command, Event, Message

Step: TypeAlias = Callable[[Any], Sequence[Command]]
"""A saga step: a pure function from one event to the commands that follow from it (perhaps none)."""


StoryKey: TypeAlias = tuple[str, str, str]
"""Kind of saga, its id and the correlation id of the story: what a progress row is found by."""


class SagaState(StrEnum):
    """Where a saga stands."""

    RUNNING = "running"  # may become COMPLETED or FAILED
    COMPLETED = "completed"  # final: what was asked for has happened
    FAILED = "failed"  # final: refused or compensated; nothing of this story is in transit


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

    def reached_by(self, event: Message) -> Iterator[tuple[int, SagaMilestone, str]]:
        """The milestones that *event* reaches: rank, milestone, and the saga that it belongs to."""
        for rank, milestone in self._by_event.get(type(event), ()):
            if (saga_id := milestone.saga_id(event)) is not None:
                yield rank, milestone, saga_id

    @cached_property
    def _by_event(self) -> Mapping[type[Message], Sequence[tuple[int, SagaMilestone]]]:
        by_event: dict[type[Message], list[tuple[int, SagaMilestone]]] = {}
        for rank, milestone in enumerate(self.milestones):
            by_event.setdefault(milestone.event, []).append((rank, milestone))
        return by_event


class SagaProgress(NamedTuple):
    """What events tell about one story of a saga; merged into its row by rank."""

    kind: str
    saga_id: str
    step: str
    rank: int
    state: SagaState
    last_event: str
    correlation_id: str
    started_at: datetime
    deadline_at: datetime
    updated_at: datetime

    @property
    def story(self) -> StoryKey:
        return (self.kind, self.saga_id, self.correlation_id)

    def merged(self, other: SagaProgress) -> SagaProgress:
        """Both together: the highest rank, the earliest start and deadline. To merge again changes nothing.

        The caller has made sure that both are of one story.
        """
        leader = other if other.rank > self.rank else self
        return leader._replace(
            started_at=min(self.started_at, other.started_at),
            deadline_at=min(self.deadline_at, other.deadline_at),
            updated_at=max(self.updated_at, other.updated_at),
        )


def progress_of(kinds: Sequence[SagaKind], event: Event, *, correlation_id: str, at: datetime) -> list[SagaProgress]:
    """What *event*, which happened at *at*, tells about the sagas in *kinds*."""
    return [
        SagaProgress(
            kind=kind.name,
            saga_id=saga_id,
            step=milestone.step,
            rank=rank,
            state=milestone.state,
            last_event=event.TYPE.name,
            correlation_id=correlation_id,
            started_at=at,
            deadline_at=at + kind.patience,
            updated_at=at,
        )
        for kind in kinds
        for rank, milestone, saga_id in kind.reached_by(event)
    ]


def merged_progress(progress: Iterable[SagaProgress]) -> list[SagaProgress]:
    """One for each story, ordered by kind, id and correlation id."""
    stories: dict[StoryKey, SagaProgress] = {}
    for item in progress:
        known = stories.get(item.story)
        stories[item.story] = known.merged(item) if known else item
    return [stories[key] for key in sorted(stories)]
