"""What an application brings to a simulation of it: its crowd, what is outside of it, and what must be true of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, Self

from spark_actors.actors.loop import Loop
from spark_actors.application import Application
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.messages import Event, MessageRegistry
from spark_actors.kernel.tasks import Workers
from spark_actors.messaging.door import Door
from spark_actors.messaging.envelope import Envelope, decode_data
from spark_actors.messaging.identity import Guard, Principal, Role
from spark_actors.messaging.ports import CommandSender
from tests.simulation.bugs import Bug
from tests.simulation.crowd import Message
from tests.simulation.history import History, Onlooker
from tests.simulation.machine import Machine, Process

if TYPE_CHECKING:
    from tests.simulation.wiring import Deployment

MAX_BODY_BYTES = 65_536
SUBJECTS = {
    "satoshi-spark": "tests.simulation.satoshi_spark.subject",
    "shop": "tests.simulation.shop.subject",
}
"""By the names that people use; each module has a `SUBJECT`."""
USUAL = "satoshi-spark"


class Row(Protocol):
    """A row of a read model, as one event tells of it."""

    @property
    def key(self) -> str: ...
    def merged(self, other: Self, /) -> Self: ...


class Subject(ABC):
    """An application that is played. It holds no state: that is in the deployment of a run."""

    application: Application
    read_models: str
    """The context that only keeps read models: its store may be away while all others work."""
    bugs: Mapping[str, Bug]

    @abstractmethod
    def stories(self, random: Random) -> list[list[Message]]:
        """What each producer sends, in order; the first sets the scene."""

    def outside(self, machine: Machine) -> Any:
        """What the application works with that outlives its processes: `outside` of the run's deployment."""
        return None

    def loops(self, deployment: Deployment, name: str, process: Process, sender: CommandSender) -> Sequence[Loop]:
        """What a context works at on its own, beside its tasks."""
        return ()

    def workers(self, deployment: Deployment, name: str, process: Process) -> Workers:
        """Who does the durable tasks of the context *name* in a process of it."""
        raise NotImplementedError(f"nobody does the tasks of {name}")

    @abstractmethod
    def rows_of(self, envelope: Envelope, event: Event) -> Sequence[Row]:
        """The rows of the read models that an event tells of."""

    @abstractmethod
    def onlooker(self, deployment: Deployment, sent: Mapping[str, Message]) -> Onlooker:
        """Who says what must be true at every instant; *sent* is what producers have published, by label."""

    @abstractmethod
    async def verdict(self, deployment: Deployment, history: History) -> Iterable[str]:
        """Everything that is wrong with the application when a run is over, in words."""

    @cached_property
    def contexts(self) -> tuple[BoundedContext, ...]:
        return self.application.bounded_contexts

    @cached_property
    def writing(self) -> tuple[BoundedContext, ...]:
        """The contexts with aggregates."""
        return tuple(context for context in self.contexts if context.commands)

    @cached_property
    def registry(self) -> MessageRegistry:
        return self.application.registry

    @cached_property
    def door(self) -> Door:
        """It holds no state, and its schemas take long to make."""
        return Door(self.registry, MAX_BODY_BYTES)

    @cached_property
    def guard(self) -> Guard:
        """Everybody is an operator, each under a name of its own: who may do what is not what a run is about."""
        return Guard(self.registry, lambda authorization, at: Principal(authorization, frozenset({Role.OPERATOR})))

    def owed(self, envelope: Envelope) -> Sequence[str]:
        """Every context that must have an event before it may leave the outbox: said again, apart from the routing."""
        kind = self.registry.find(envelope.name, envelope.version)
        event = decode_data(self.registry, envelope)
        return [
            context.name
            for context in self.contexts
            if kind in context.steps or kind in context.tasks or kind in context.reads or context.tracks(event)
        ]


def subject_of(name: str) -> Subject:
    """The application of this name, from `SUBJECTS`."""
    subject: Subject = import_module(SUBJECTS[name]).SUBJECT
    return subject
