"""What the actors ask of the actor runtime, and a relay of all outside. The Ray adapters are in `references`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import msgspec

from spark_actors.actors import names
from spark_actors.actors.fence import Fence
from spark_actors.actors.routes import RouteTable
from spark_actors.messaging.crash_points import PassPoint, pass_unharmed
from spark_actors.messaging.ports import Clock, OutboxReader, Telemetry, WakeUps
from spark_actors.messaging.routing import Slot


class Report(msgspec.Struct, frozen=True):
    """What an actor says of itself when asked whether it is well."""

    actor: str
    incarnation: str
    """Tells a replacement from the actor that it replaces."""
    pid: int
    release: str
    """Of the program that it runs."""
    metrics: bytes
    """A snapshot for the metrics board."""
    problems: list[str] = []
    """Why it cannot do its work just now; empty when it can."""
    warnings: list[str] = []
    """What operators should see to though it can."""
    routes: int = 0
    """The version of the route table that it goes by; 0 for one that calls nobody, or has not been told yet."""
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


class Overlap(Enum):
    """How an actor that moves hands over to the one that fills its place after it."""

    CALLS = "calls"
    """It does nothing but answer calls: both live until everybody calls the new one."""
    WORK = "work"
    """The new one takes its work over from the old one, which ends then."""
    WARM = "warm"
    """The new one begins when the old one has finished what it had in hand; it is warm by then."""


@dataclass(frozen=True)
class ActorSpec:
    """An actor that is to be kept alive."""

    place: str
    kind: str
    """The class that it shows in process lists: AggregateActor, ContextActor, Supervisor, Ingress."""
    build: Callable[..., object]
    """Makes the plain object inside the actor, in its process. Picklable, and without secrets: the actor runtime may
    write it to disk."""
    fence: Callable[[int], Fence]
    """Makes the fence of an incarnation, in its process; as picklable."""
    overlap: Overlap = Overlap.WARM
    """How much of two lives at once, when it moves."""


@dataclass(frozen=True)
class Actor:
    """One actor that fills, or has filled, a place."""

    spec: ActorSpec
    incarnation: int
    node_id: str
    handle: Any
    """What calls are made on."""

    def __str__(self) -> str:
        return names.incarnation(self.spec.place, self.incarnation)


class Children(Protocol):
    """Starts, watches and ends actors. Calls raise ActorUnavailableError when the actor is not there."""

    async def make(self, spec: ActorSpec, incarnation: int, node_id: str) -> Actor:
        """Make an actor on that node and no other; gives it once it is warm: all is there to begin at once."""

    async def begin(self, actor: Actor) -> None:
        """Have it begin its work. Beginning again does nothing."""

    async def find(self, spec: ActorSpec, incarnation: int, node_id: str) -> Actor:
        """One that was made before, by whomever."""

    async def report(self, actor: Actor, routes: RouteTable | None, patience_seconds: float) -> Report:
        """Ask how it is, and tell it newer routes: it answers beside its work.

        One that does not in time raises ActorUnavailableError too.
        """

    async def kill(self, actor: Actor) -> None:
        """End it at once, if it is there."""

    async def stop(self, actor: Actor, grace_seconds: float) -> bool:
        """Let it finish what it has in hand, then end it; after *grace_seconds* it is ended anyway.

        Gives whether it has finished: one that has not may be out of reach, and live on.
        """
