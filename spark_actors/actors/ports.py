"""What the actors ask of the actor runtime, and a relay of all outside. The Ray adapters are in `references`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from spark_actors.messaging.crash_points import PassPoint, pass_unharmed
from spark_actors.messaging.ports import Clock, OutboxReader, Telemetry, WakeUps
from spark_actors.messaging.routing import Slot


class Report(msgspec.Struct, frozen=True):
    """What an actor says of itself when asked whether it is well."""

    actor: str
    incarnation: str
    """Tells a replacement from the actor that it replaces."""
    pid: int
    metrics: bytes
    """A snapshot for the metrics board."""
    problems: list[str] = []
    """Why it cannot do its work just now; empty when it can."""
    children: list[Report] = []
    unmoved_seconds: float = 0.0
    """For how long what it has in hand has not moved, although nobody keeps it waiting; 0 when nothing is in hand."""


class Hosts(Protocol):
    """The pool of AggregateActors."""

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        """Have the actor in *slot* take a turn with packed envelopes; gives packed replies.

        *version*: of the placement by which these are sent there. One that knows a newer one may answer MOVED.
        Raises ActorUnavailableError or StorageUnavailableError: what happened is then unknown, and handing the same
        batch over again is safe.
        """

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        """As `take_turn`, with nothing else in the actor's hand, in or before it: if it dies now, this is why.

        Raises ActorUnavailableError if that cannot be just now.
        """

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        """Have packed envelopes fail, unread, under which that actor dies again and again; else like `take_turn`."""


class Releases(Protocol):
    """The pool of AggregateActors, as somebody sees it who has what waits in it worked off."""

    async def release(self, slot: Slot, context: str, keys: Sequence[str], at_once: int) -> list[str]:
        """Have the actor in *slot* handle the first of what waits for these released keys, *at_once* of each at most.

        Gives the keys for which more waits. Raises like `Hosts.take_turn`.
        """


class Subscribers(Protocol):
    """The ContextActors that events are handed to."""

    async def take_events(self, subscriber: str, payload: bytes, *, alone: bool = False) -> bytes:
        """Hand packed envelopes to a context's actor; gives packed deliveries. Raises like `Hosts.take_turn`.

        *alone*: while it has nothing else in hand; ActorUnavailableError if it has, or is alone with something else.
        """


@dataclass(frozen=True)
class RelayPorts:
    """All that the relay of one outbox does I/O with: the outbox behind it, the subscribers before it, time, chance."""

    outbox: OutboxReader
    wake_ups: WakeUps
    subscribers: Subscribers
    clock: Clock
    telemetry: Telemetry
    pass_point: PassPoint = pass_unharmed
    draw: Callable[[], float] = lambda: 0.5
    """A random number from 0 to 1, for the jitter of its back-offs."""


@dataclass(frozen=True)
class ActorSpec:
    """An actor that is to be kept alive."""

    name: str
    kind: str
    """The class that it shows in process lists: AggregateActor, ContextActor, Supervisor, Ingress."""
    build: Callable[..., object]
    """Makes the plain object inside the actor, in its process. Picklable: a function of the composition root."""


class Children(Protocol):
    """Starts and watches actors. Each call raises ActorUnavailableError when the actor is not there."""

    async def start(self, spec: ActorSpec, patience_seconds: float) -> None:
        """Make the actor, or adopt the one that lives under this name; returns once it has started its work.

        One that lives already and does not answer within *patience_seconds* is not adopted.
        """

    async def report(self, spec: ActorSpec, patience_seconds: float) -> Report:
        """Ask how it is: it answers beside its work. One that does not in time raises ActorUnavailableError too."""

    async def kill(self, spec: ActorSpec) -> None:
        """End it at once, if it is there."""

    async def stop(self, spec: ActorSpec, grace_seconds: float) -> None:
        """Let it finish what it has in hand, then end it; after *grace_seconds* it is ended anyway."""
