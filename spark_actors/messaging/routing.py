"""Where messages go: which AggregateActor hosts an instance, and which contexts read an event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.buckets import bucket_of, slots_by_bucket
from spark_actors.messaging.envelope import Envelope, decode_data


class Slot(NamedTuple):
    """A fixed place in the pool; the actor that fills it may be replaced, the slot stays."""

    pool: str
    """`shared`, or `dedicated-<context>`, or `own`."""
    number: int
    capacity: int
    """How many instances its actor holds at once (1: the instance has a whole actor to itself)."""

    @property
    def name(self) -> str:
        return f"{self.pool}-{self.number}"


@dataclass(frozen=True)
class Placement:
    """Maps every aggregate instance to one slot, the same in every process and for as long as the pools keep their
    sizes; when one grows or shrinks, no more move than must (`buckets.py`).

    Placement is only a matter of speed: should two actors ever hold one instance, the store accepts one of them.
    """

    shared_actors: int
    resident_instances: int
    """Capacity of each shared actor."""
    dedicated_kinds: Mapping[str, int] = field(default_factory=dict)
    """Contexts whose instances each have a whole actor while they are active, and how many such actors there are."""
    dedicated_instances: tuple[str, ...] = ()
    """`<context>:<key>` of instances that have an actor of their own for good."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every slot of the pool."""
        kinds = self.dedicated_kinds.items()
        dedicated = [self._dedicated(kind, index) for kind, count in kinds for index in range(count)]
        own = [self._own(index) for index in range(len(self.dedicated_instances))]
        return (*self._shared, *dedicated, *own)

    def slot_of(self, context: str, key: str) -> Slot:
        """The slot that hosts the instance *key* of *context*."""
        if self.dedicated_instances and f"{context}:{key}" in self.dedicated_instances:
            return self._own(self.dedicated_instances.index(f"{context}:{key}"))
        return self._by_bucket.get(context, self._shared_by_bucket)[bucket_of(key)]

    @cached_property
    def _shared(self) -> tuple[Slot, ...]:
        return tuple(Slot("shared", index, self.resident_instances) for index in range(self.shared_actors))

    @cached_property
    def _shared_by_bucket(self) -> tuple[Slot, ...]:
        return tuple(self._shared[number] for number in slots_by_bucket(self.shared_actors))

    @cached_property
    def _by_bucket(self) -> Mapping[str, tuple[Slot, ...]]:
        """Of the contexts whose instances each have a whole actor."""
        return {
            kind: tuple(self._dedicated(kind, number) for number in slots_by_bucket(count))
            for kind, count in self.dedicated_kinds.items()
            if count
        }

    def _dedicated(self, kind: str, index: int) -> Slot:
        return Slot(f"dedicated-{kind}", index, 1)

    def _own(self, index: int) -> Slot:
        return Slot("own", index, 1)


class Subscriptions:
    """Which contexts are handed which events."""

    def __init__(self, contexts: Iterable[BoundedContext], registry: MessageRegistry) -> None:
        self._registry = registry
        self._always: dict[str, tuple[str, ...]] = {}
        self._perhaps: dict[str, tuple[BoundedContext, ...]] = {}
        for context in sorted(contexts, key=lambda context: context.name):
            handled = {event.TYPE.name for event in (*context.steps, *context.tasks, *context.reads)}  # in some version
            for name in handled:
                self._always[name] = (*self._always.get(name, ()), context.name)
            for name in {event.TYPE.name for event in context.subscriptions} - handled:
                self._perhaps[name] = (*self._perhaps.get(name, ()), context)

    def of(self, envelope: Envelope) -> tuple[str, ...]:
        """The contexts that the event in *envelope* must be handed to.

        A context that would only track a saga by it gets it if it belongs to one. An event that
        cannot be read, is not known to this version, or makes a saga's code raise, goes to all who may want it: so it
        is seen, and parks where it cannot be taken.
        """
        if not self._registry.has(envelope.name, envelope.version):
            return tuple(sorted(self.subscribers_of(envelope.context)))
        always = self._always.get(envelope.name, ())
        perhaps = self._perhaps.get(envelope.name, ())
        if not perhaps:
            return always
        try:
            event = decode_data(self._registry, envelope)
            return (*always, *(context.name for context in perhaps if context.tracks(event)))
        except Exception:  # noqa: BLE001 - whatever the bytes hold or the domain does with them, it concerns this event alone
            return (*always, *(context.name for context in perhaps))

    def subscribers_of(self, publisher: str) -> frozenset[str]:
        """Every context that may be handed an event of *publisher*."""
        sure = {name for event, names in self._always.items() if _publisher(event) == publisher for name in names}
        perhaps = {c.name for event, cs in self._perhaps.items() if _publisher(event) == publisher for c in cs}
        return frozenset(sure | perhaps)


def _publisher(event_name: str) -> str:
    return event_name.partition(".")[0]
