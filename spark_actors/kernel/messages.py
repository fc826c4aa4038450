"""Messages: frozen dataclasses with a registered wire name and version, and the registry that finds them.

A command is imperative and has one handler; an event is past tense and has many readers; a query reads a view.
The wire name is `<context>.<kebab-name>`; it is part of the published language and never changes for a version.
Fields are plain values (str, int, bool, datetime, str enums), so any language can write them as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, TypeAlias, TypeVar

from spark_actors.kernel.errors import UnknownMessageError

Kind = Literal["command", "event", "query", "action", "task"]


class Sender(StrEnum):
    """Who may send a message from outside, where that is nobody's account. Operators may send everything, and readers
    may ask what operators may."""

    ANYBODY = "anybody"  # no token is needed
    KNOWN = "known"  # whoever has a token
    OPERATOR = "operator"  # else only the sagas, whose own steps pass no door


@dataclass(frozen=True)
class OwnerOf:
    """A message that its account's owner may send: *field* names the account."""

    field: str
    of_result: bool = False
    """For a query: the field is one of its answer, because the question does not name the account."""


@dataclass(frozen=True)
class Bearer:
    """A message that whoever has a token of this role may send: one of the application's own."""

    role: str


SentBy: TypeAlias = Sender | Bearer | OwnerOf


@dataclass(frozen=True)
class MessageType:
    """What the registry knows of a message class."""

    name: str
    """Wire name, `<context>.<kebab-name>`."""
    version: int
    kind: Kind
    key_field: str
    """The field that names the aggregate instance; empty for a query that asks for no single one."""
    sent_by: SentBy | None = None
    """Who may send it from outside. None: nobody has said, so operators alone; an event is sent by nobody."""
    needs_why: bool = False
    """Whether who sends it by hand must say why, and is remembered with it."""
    reasons: tuple[str, ...] = ()
    """Of a command: every reason for which its handler, or a refusal in its place, may refuse it."""
    is_former: bool = False
    """Of an event: only earlier releases said it. It is read while one may still wait somewhere, and not said again."""

    @property
    def context(self) -> str:
        return self.name.partition(".")[0]


class Message:
    """Base of all messages."""

    TYPE: ClassVar[MessageType]

    @property
    def key(self) -> str:
        """The key of the aggregate instance that this message is for, or from."""
        key: str = getattr(self, self.TYPE.key_field)
        return key


class Command(Message):
    """Asks one aggregate instance to do something."""


class Event(Message):
    """Says what happened to one aggregate instance."""


class Query(Message):
    """Asks for a view; its class names the result type in `RESULT`."""

    RESULT: ClassVar[type]


class Action(Query):
    """Asks the runtime itself to do something for an operator: answered like a query, and for operators alone."""


M = TypeVar("M", bound=type[Message])


def command(
    name: str,
    *,
    key: str,
    sent_by: SentBy | None = None,
    version: int = 1,
    needs_why: bool = False,
    reasons: tuple[str, ...] = (),
) -> Callable[[M], M]:
    """Register the wire name of a command; *key* is the field that names the aggregate instance.

    *needs_why* is for what an operator should not do without a word: only with a reason, which is kept. *reasons* are
    all for which its aggregate may refuse it.
    """
    return _named(MessageType(name, version, "command", key, sent_by, needs_why, reasons))


def event(name: str, *, key: str, version: int = 1, is_former: bool = False) -> Callable[[M], M]:
    """Register the wire name of an event; *key* is the field that names the aggregate instance."""
    return _named(MessageType(name, version, "event", key, is_former=is_former))


def query(
    name: str, *, result: type, key: str = "", sent_by: SentBy | None = None, version: int = 1
) -> Callable[[type[Query]], type[Query]]:
    """Register the wire name of a query and the type of what it returns.

    *key* is the field that names the aggregate instance, for a query that a context answers from one of its own.
    """

    def register(cls: type[Query]) -> type[Query]:
        cls.RESULT = result
        return _named(MessageType(name, version, "query", key, sent_by))(cls)

    return register


def action(name: str, *, result: type, version: int = 1) -> Callable[[type[Action]], type[Action]]:
    """Register the wire name of an action and the type of what it answers."""

    def register(cls: type[Action]) -> type[Action]:
        cls.RESULT = result
        return _named(MessageType(name, version, "action", "", Sender.OPERATOR))(cls)

    return register


def task(name: str, *, key: str, version: int = 1) -> Callable[[M], M]:
    """Register the wire name of a task; *key* is the field that names the aggregate instance that it is for."""
    return _named(MessageType(name, version, "task", key))


def _named(message_type: MessageType) -> Callable[[M], M]:
    def register(cls: M) -> M:
        cls.TYPE = message_type
        return cls

    return register


Upcast = Callable[[Mapping[str, object]], Mapping[str, object]]
"""A pure function from the data of a message in one version to its data in the next."""


@dataclass(frozen=True)
class Upcaster:
    """Reads what was written before a message changed: in the outbox, among what is parked, in the broker."""

    name: str
    """Wire name."""
    from_version: int
    upcast: Upcast
    """Gives the data of *from_version* + 1."""


class MessageRegistry:
    """Finds message classes by wire name and version. Built once, by the composition root.

    A message has a class for its current version, and may have upcasters for older ones, without a gap.
    """

    def __init__(self, classes: Iterable[type[Message]], upcasters: Iterable[Upcaster] = ()) -> None:
        self._upcasters = {(each.name, each.from_version): each.upcast for each in upcasters}
        self._current: dict[str, type[Message]] = {}
        self._by_name: dict[tuple[str, int], type[Message]] = {}
        for cls in classes:
            previous = self._by_name.setdefault((cls.TYPE.name, cls.TYPE.version), cls)
            if previous is not cls:
                raise ValueError(f"{cls.TYPE.name} v{cls.TYPE.version} is registered twice: {previous} and {cls}")
            known = self._current.setdefault(cls.TYPE.name, cls)
            if known.TYPE.version < cls.TYPE.version:
                self._current[cls.TYPE.name] = cls
        self._chains = {name: self._chain(*name) for name in self._upcasters}

    def __iter__(self) -> Iterator[type[Message]]:
        """Every message that may be sent or said; former ones, and a context's own tasks, can be read and no more."""
        return (cls for cls in self._by_name.values() if not cls.TYPE.is_former and cls.TYPE.kind != "task")

    def has(self, name: str, version: int = 1) -> bool:
        """Whether a message of this name and version can be read."""
        return (name, version) in self._by_name or (name, version) in self._chains

    def current(self, name: str) -> type[Message]:
        """The class of a message's newest version. Raises UnknownMessageError."""
        try:
            return self._current[name]
        except KeyError:
            raise UnknownMessageError(name, 0) from None

    def find(self, name: str, version: int = 1) -> type[Message]:
        """The class that messages of this name and version are read as. Raises UnknownMessageError."""
        try:
            return self._by_name[name, version]
        except KeyError:
            if (name, version) in self._chains:
                return self._current[name]
            raise UnknownMessageError(name, version) from None

    def upcasts(self, name: str, version: int) -> Sequence[Upcast]:
        """What makes the data of an older version into that of the class that `find` gives; empty for its own."""
        return self._chains.get((name, version), ())

    @property
    def older_versions(self) -> Sequence[tuple[str, int]]:
        """Names and versions that are read through upcasters."""
        return list(self._chains)

    def _chain(self, name: str, version: int) -> tuple[Upcast, ...]:
        """Raises ValueError if it does not lead to the current version."""
        current = self._current.get(name)
        steps = range(version, current.TYPE.version if current else version)
        if not steps or any((name, step) not in self._upcasters for step in steps) or (name, version) in self._by_name:
            raise ValueError(f"the upcaster of {name} v{version} does not lead to a known version")
        return tuple(self._upcasters[name, step] for step in steps)
