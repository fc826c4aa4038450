"""Strict schemas derived from the dataclasses of the domain: the door validates with them, the catalogue prints them.

They take parsed JSON. The rules are few and go by type and field name, so that the domain needs no annotations for
the wire: `*_id` is an id; `description` is long text with line breaks; any other string is one line; `limit` is 1 to
200; other integers fit 64 bits; instants are RFC 3339 with a zone, between the years 2000 and 9000.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from domain.shared.messages import Message
from spark_actors.messaging.cloudevents import SPEC_VERSION, event_type

ID_CHARACTERS = 200
LINE_CHARACTERS = 2_000
STORY_CHARACTERS = 800
"""A story is named after the sender, the source and the id of its first message."""
TEXT_CHARACTERS = 10_000
LIMIT_MAXIMUM = 200
"""The most rows that a query may ask for."""
FIRST_YEAR, LAST_YEAR = 2000, 9000
INT64_MINIMUM, INT64_MAXIMUM = -(2**63), 2**63 - 1

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
# No control characters, no space but U+0020, nothing invisible: ids that differ should look different.
_ID_PATTERN = r"^[^\x00-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]*$"
_LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_TEXT_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]*$"  # a line with tabs and line feeds
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def _instant(value: object) -> datetime:
    """An instant in UTC. Narrower than pydantic's own reading, which also takes `"1700000000"` and a missing zone."""
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            instant = None
        if instant is not None and FIRST_YEAR <= instant.year < LAST_YEAR:
            return instant.astimezone(UTC)
    raise PydanticCustomError(
        "instant", f"expected an RFC 3339 date and time with zone, from {FIRST_YEAR} and before {LAST_YEAR}"
    )


Id = Annotated[str, StringConstraints(min_length=1, max_length=ID_CHARACTERS, pattern=_ID_PATTERN)]
StoryId = Annotated[str, StringConstraints(min_length=1, max_length=STORY_CHARACTERS, pattern=_ID_PATTERN)]
OptionalId = Annotated[str, StringConstraints(max_length=ID_CHARACTERS, pattern=_ID_PATTERN)]
Line = Annotated[str, StringConstraints(max_length=LINE_CHARACTERS, pattern=_LINE_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=TEXT_CHARACTERS, pattern=_TEXT_PATTERN)]
PasswordHash = Annotated[str, StringConstraints(max_length=512, pattern=r"^\$argon2(id|i|d)\$[\x21-\x7e]+$")]
"""So that a password in its place comes no further than the door."""
Int64 = Annotated[int, Field(ge=INT64_MINIMUM, le=INT64_MAXIMUM)]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAXIMUM)]
Instant = Annotated[datetime, PlainValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]


class CloudEvent(BaseModel):
    """The attributes around a command's data. `subject` is the key of the aggregate instance, as in the data."""

    model_config = _STRICT

    specversion: Literal["1.0"]
    id: Id = Field(description="Deduplication key: a command sent again under the same id takes effect once.")
    source: Id = Field(description="Who sends it.")
    type: str
    subject: Id = Field(description="Key of the aggregate instance; equals the key field of the data.")
    data: Any
    time: Instant | None = Field(None, description="When the producer made it; for information.")
    datacontenttype: Literal["application/json"] = "application/json"
    correlationid: Id | None = Field(None, description="The story it belongs to; its own id if left out.")
    causationid: Id | None = Field(None, description="The message that brought it about.")
    why: Line | None = Field(None, description="Why an operator moves money by hand; needed for that.")


class Schemas:
    """Derives each schema once. Raises TypeError for a field of a type that has no form on the wire."""

    def __init__(self) -> None:
        self._of: dict[type, type[BaseModel]] = {}
        self._events: dict[type, type[BaseModel]] = {}

    def of(self, cls: type) -> type[BaseModel]:
        """The schema of a dataclass' JSON."""
        if cls not in self._of:
            hints = typing.get_type_hints(cls)
            members: dict[str, Any] = {f.name: self._member(cls, f, hints[f.name]) for f in dataclasses.fields(cls)}
            self._of[cls] = create_model(
                cls.__name__, __config__=_STRICT, __doc__=own_docstring(cls), __module__=cls.__module__, **members
            )
        return self._of[cls]

    def event_of(self, cls: type[Message]) -> type[CloudEvent]:
        """The schema of a command as producers send it: its data with the CloudEvents attributes."""
        if cls not in self._events:
            self._events[cls] = create_model(
                f"{cls.__name__}Event",
                __base__=CloudEvent,
                __doc__=f"{cls.__name__} as a CloudEvent {SPEC_VERSION}.",
                __module__=cls.__module__,
                type=(_constant(event_type(cls.TYPE)), ...),
                data=(self.of(cls), ...),
            )
        return typing.cast("type[CloudEvent]", self._events[cls])

    def _member(self, cls: type, field: dataclasses.Field[Any], hint: Any) -> tuple[Any, Any]:
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            raise TypeError(f"{cls.__name__}.{field.name}: a default on the wire must be a plain value")
        form = OptionalId if default == "" and field.name.endswith("_id") else self._form(field.name, hint)
        return form, ... if default is dataclasses.MISSING else default

    def _form(self, name: str, hint: Any) -> Any:
        """What a field called *name* of type *hint* looks like on the wire."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return typing.Union[tuple(self._form(name, each) for each in arguments)]  # noqa: UP007 - built at run time
        if origin is tuple and arguments[1:] == (...,):
            return tuple[self._form(name, arguments[0]), ...]  # type: ignore[misc]  # built at run time
        if dataclasses.is_dataclass(hint):
            return self.of(typing.cast(type, hint))
        return _plain_form(name, hint)


def _constant(value: str) -> Any:
    return Literal.__getitem__(value)


def _plain_form(name: str, hint: Any) -> Any:
    if hint is str:
        # A transfer's reference names an instance of the context that asked for it: it becomes a key there.
        named = {"description": Text, "password_hash": PasswordHash, "reference": OptionalId}
        named["correlation_id"] = StoryId
        return named.get(name) or (Id if name.endswith("_id") else Line)
    if hint is int:
        return Limit if name == "limit" else Int64
    if hint is datetime:
        return Instant
    if hint in (bool, type(None)) or typing.get_origin(hint) in (dict, Literal):
        return hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return Annotated[hint, Field(strict=False)]  # its value as JSON has it, not only a member
    raise TypeError(f"field {name!r} of type {hint!r} has no form on the wire")


def own_docstring(cls: type) -> str | None:
    """The docstring that somebody wrote; `dataclass` makes one up (the signature) for a class that has none."""
    doc = cls.__doc__
    return None if doc is None or doc.startswith(f"{cls.__name__}(") else doc
