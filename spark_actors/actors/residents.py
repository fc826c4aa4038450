"""The instances that an AggregateActor has active: a cache, within a number of instances and of bytes."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from spark_actors.messaging.unit_of_work import Versioned


class Residents:
    """The active instances, most recently used last; those over the capacity passivate when a turn has ended.

    The capacity is a number of instances, and of bytes: users choose how long some texts are.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity, self._max_bytes = capacity, max_bytes
        self._instances: OrderedDict[tuple[str, str], Versioned[Any]] = OrderedDict()
        self._sizes: dict[tuple[str, str], int] = {}
        self._bytes = 0
        self._by_context: Counter[str] = Counter()

    def find(self, context: str, keys: Iterable[str]) -> dict[str, Versioned[Any]]:
        """Those of *keys* that are active."""
        return {key: held for key in keys if (held := self._instances.get((context, key)))}

    def keep(self, context: str, instances: Mapping[str, Versioned[Any]]) -> None:
        """Hold these as the most recently used."""
        for key, instance in instances.items():
            name = (context, key)
            if name not in self._instances:
                self._by_context[context] += 1
            self._instances[name] = instance
            self._instances.move_to_end(name)
            size = size_of(instance.state)
            if (before := self._sizes.get(name, 0)) != size:
                self._bytes += size - before
                self._sizes[name] = size

    def keys(self, context: str) -> list[str]:
        """Of the active instances of *context*."""
        return [key for of, key in self._instances if of == context]

    def forget(self, context: str, keys: Iterable[str]) -> None:
        """Let these go; they are loaded again when needed."""
        for key in keys:
            if self._instances.pop((context, key), None) is not None:
                self._by_context[context] -= 1
                self._bytes -= self._sizes.pop((context, key))

    def passivate(self) -> Counter[str]:
        """Let the longest unused go until the capacity is kept, but for the last; how many, by context."""
        passivated: Counter[str] = Counter()
        while len(self._instances) > self._capacity or (self._bytes > self._max_bytes and len(self._instances) > 1):
            name, _ = self._instances.popitem(last=False)
            self._bytes -= self._sizes.pop(name)
            passivated[name[0]] += 1
        self._by_context -= passivated
        return passivated

    def count(self, context: str) -> int:
        return self._by_context[context]


INSTANCE_BYTES = 500
"""What an instance takes besides its texts, roughly: its fields, its ids and its place among the others."""


def size_of(state: Any) -> int:
    """About how many bytes an active instance takes; its texts are what can be large."""
    size = INSTANCE_BYTES
    for name in _texts_of(type(state)):  # type: ignore[arg-type]  # classes can be hashed
        size += sys.getsizeof(getattr(state, name))
    return size


@cache
def _texts_of(cls: Any) -> tuple[str, ...]:
    """The fields of a state that hold texts other than ids, which are short. Many a kind of aggregate has none."""
    known = fields(cls) if is_dataclass(cls) else ()
    return tuple(each.name for each in known if "str" in str(each.type).split(" | ") and not each.name.endswith("_id"))
