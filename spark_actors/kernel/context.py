"""A bounded context as the runtime sees it: its published messages and the tables that route them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from spark_actors.kernel.decisions import Decision
from spark_actors.kernel.messages import Command, Event, Message, Upcaster
from spark_actors.kernel.sagas import SagaKind, Step

Handler: TypeAlias = Callable[[Any, Any, datetime], Decision[Any]]
"""(state or None if the instance does not exist, command, time of the turn) -> decision. Pure."""

Refusal: TypeAlias = Callable[[Any, Any], Decision[Any]]
"""(state, command) -> the decision to take instead when a named constraint of the database refuses the first one."""


@dataclass(frozen=True)
class BoundedContext:
    """The whole flow of a context, readable in one place."""

    name: str
    messages: tuple[type[Message], ...]
    """The current version of each."""
    upcasters: tuple[Upcaster, ...] = ()
    """How older versions of its messages are read; never taken away while one may lie in an outbox or a broker."""
    commands: Mapping[type[Command], Handler] = field(default_factory=dict)
    """Each command has one handler."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """What the domain says when the named database constraint refuses a decision."""
    steps: Mapping[type[Event], Step] = field(default_factory=dict)
    """Which events, of any context, make this one send which commands."""
    sagas: tuple[SagaKind, ...] = ()
    """The sagas that start in this context; their progress rows live in its schema."""
    reads: tuple[type[Event], ...] = ()
    """Events that an adapter of this context takes in (a projection, a task list for the Lightning node)."""

    def tracks(self, event: Message) -> bool:
        """Whether *event* belongs to a saga that starts in this context."""
        return any(True for saga in self.sagas for _ in saga.reached_by(event))

    @property
    def subscriptions(self) -> frozenset[type[Event]]:
        """Every event, of any context, that this context must be handed."""
        tracked = {milestone.event for saga in self.sagas for milestone in saga.milestones}
        return frozenset({*self.steps, *tracked, *self.reads})
