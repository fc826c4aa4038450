"""Messages: frozen dataclasses with a registered wire name and version, and the registry that finds them.

A command is imperative and has one handler; an event is past tense and has many readers; a query reads a view.
The wire name is `<context>.<kebab-name>`; it is part of the published language and never changes for a version.
Fields are plain values (str, int, bool, datetime, str enums), so any language can write them as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, TypeAlias, TypeVar

from domain.shared.errors import UnknownMessageError

Kind = Literal["command", "event", "query"]


class Sender(StrEnum):
    """Who may send a message from outside, where that is nobody's account. Operators may send everything."""

    ANYBODY = "anybody"  # no token is needed
    LIGHTNING = "lightning"  # what watches the Lightning node
    OPERATOR = "operator"  # else only the sagas, whose own steps pass no door


@dataclass(frozen=True)
class OwnerOf:
    """A message that its account's owner may send: *field* names the account."""

    field: str
    of_result: bool = False
    """For a query: the field is one of its answer, because the question does not name the account."""


SentBy: TypeAlias = Sender | OwnerOf


@dataclass(frozen=True)
class MessageType:
    """What the registry knows of a message class."""

    name: str
    """Wire name, `<context>.<kebab-name>`."""
    version: int
    kind: Kind
    key_field: str
    """The field that names the aggregate instance (empty for a query)."""
    sent_by: SentBy | None = None
    """Who may send it from outside. None: nobody has said, so operators alone; an event is sent by nobody."""

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


M = TypeVar("M", bound=type[Message])


def command(name: str, *, key: str, sent_by: SentBy | None = None, version: int = 1) -> Callable[[M], M]:
    """Register the wire name of a command; *key* is the field that names the aggregate instance."""
    return _named(MessageType(name, version, "command", key, sent_by))


def event(name: str, *, key: str, version: int = 1) -> Callable[[M], M]:
    """Register the wire name of an event; *key* is the field that names the aggregate instance."""
    return _named(MessageType(name, version, "event", key))


def query(
    name: str, *, result: type, sent_by: SentBy | None = None, version: int = 1
) -> Callable[[type[Query]], type[Query]]:
    """Register the wire name of a query and the type of what it returns."""

    def register(cls: type[Query]) -> type[Query]:
        cls.RESULT = result
        return _named(MessageType(name, version, "query", "", sent_by))(cls)

    return register


def _named(message_type: MessageType) -> Callable[[M], M]:
    def register(cls: M) -> M:
        cls.TYPE = message_type
        return cls

    return register


class MessageRegistry:
    """Finds message classes by wire name and version. Built once, by the composition root."""

    def __init__(self, classes: Iterable[type[Message]]) -> None:
        self._by_name: dict[tuple[str, int], type[Message]] = {}
        for cls in classes:
            previous = self._by_name.setdefault((cls.TYPE.name, cls.TYPE.version), cls)
            if previous is not cls:
                raise ValueError(f"{cls.TYPE.name} v{cls.TYPE.version} is registered twice: {previous} and {cls}")

    def __iter__(self) -> Iterator[type[Message]]:
        return iter(self._by_name.values())

    def has(self, name: str, version: int = 1) -> bool:
        """Whether a message is known under this name and version."""
        return (name, version) in self._by_name

    def find(self, name: str, version: int = 1) -> type[Message]:
        """The class for a wire name. Raises UnknownMessageError."""
        try:
            return self._by_name[name, version]
        except KeyError:
            raise UnknownMessageError(name, version) from None
