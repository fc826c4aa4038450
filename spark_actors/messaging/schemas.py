"""Strict schemas derived from the dataclasses of the domain: the door validates with them, the catalogue prints them.

They take parsed JSON. The rules are few: `*_id` is an id (`kernel/ids.py`); what the domain has noted on a type
(`kernel/bounds.py`) holds; any other string is one line; other integers fit 64 bits; instants are RFC 3339 with
a zone, between the years 2000 and 9000.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError

from spark_actors.kernel.bounds import Between, Characters
from spark_actors.kernel.ids import MAX_ID_LENGTH, flaw_of_id, is_id
from spark_actors.kernel.messages import Message
from spark_actors.messaging.cloudevents import SPEC_VERSION, event_type, is_json

LINE_CHARACTERS = 2_000
STORY_CHARACTERS = 800
"""A story is named after the sender, the source and the id of its first message."""
EXTENSIONS = 32
"""Attributes of an event that the specification does not know, at most."""
EXTENSION_NAME_CHARACTERS = 64
EXTENSION_CHARACTERS = 1_024
ALL_EXTENSIONS_CHARACTERS = 4_096
"""Names and values together."""
FIRST_YEAR, LAST_YEAR = 2000, 9000
INT64_MINIMUM, INT64_MAXIMUM = -(2**63), 2**63 - 1

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
# What can be said of an id in a pattern that every regular expression engine knows; `flaw_of_id` says all.
_ID_PATTERN = (
    r"^[^\x00-\x20\x7f-\xa0\xad\u115f-\u1160\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    r"\u2800\u3000\u3164\ufe00-\ufe0f\ufeff]*$"
)
_LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_TEXT_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]*$"  # a line with tabs and line feeds
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def _instant(value: object) -> datetime:
    """An instant in UTC. Narrower than pydantic's own reading, which also takes `"1700000000"` and a missing zone."""
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value.upper())
        except ValueError:
            instant = None
        if instant is not None and FIRST_YEAR <= instant.year < LAST_YEAR:
            return instant.astimezone(UTC)
    raise PydanticCustomError(
        "instant", f"expected an RFC 3339 date and time with zone, from {FIRST_YEAR} and before {LAST_YEAR}"
    )


def _id(value: str) -> str:
    if not is_id(value):
        raise PydanticCustomError("id", flaw_of_id(value))
    return value


def _optional_id(value: str) -> str:
    return _id(value) if value else value


def _id_schema(least: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": least, "maxLength": MAX_ID_LENGTH, "pattern": _ID_PATTERN})


Id = Annotated[str, AfterValidator(_id), _id_schema(1)]
OptionalId = Annotated[str, AfterValidator(_optional_id), _id_schema(0)]
StoryId = Annotated[str, StringConstraints(min_length=1, max_length=STORY_CHARACTERS, pattern=_LINE_PATTERN)]
Line = Annotated[str, StringConstraints(max_length=LINE_CHARACTERS, pattern=_LINE_PATTERN)]
Int64 = Annotated[int, Field(ge=INT64_MINIMUM, le=INT64_MAXIMUM)]
Instant = Annotated[datetime, PlainValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]


def _json_type(value: str) -> str:
    if not is_json(value):
        raise PydanticCustomError("media_type", "expected application/json or another media type of JSON in UTF-8")
    return value


def _extension_name(name: str) -> str:
    if name == "data_base64":
        raise PydanticCustomError("attribute_name", "is not taken: expected JSON, in data")
    if len(name) > EXTENSION_NAME_CHARACTERS or not _ATTRIBUTE_NAME.fullmatch(name):
        expected = f"expected a to z and 0 to 9, at most {EXTENSION_NAME_CHARACTERS} of them"
        raise PydanticCustomError("attribute_name", f"is no name of an attribute: {expected}")
    return name


def _extension(value: object) -> bool | int | str:
    """A value of CloudEvents' types as JSON has them; whole numbers are of 32 bits there."""
    if isinstance(value, bool) or (isinstance(value, int) and INT32_MINIMUM <= value <= INT32_MAXIMUM):
        return value
    if isinstance(value, str) and len(value) <= EXTENSION_CHARACTERS and _EXTENSION_TEXT.fullmatch(value):
        return value
    raise PydanticCustomError(
        "extension",
        f"expected one line of at most {EXTENSION_CHARACTERS} characters, a whole number of 32 bits, true or false",
    )


_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]+", re.ASCII)
_EXTENSION_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")
INT32_MINIMUM, INT32_MAXIMUM = -(2**31), 2**31 - 1
JsonType = Annotated[str, StringConstraints(max_length=200), AfterValidator(_json_type)]
Uri = Annotated[str, StringConstraints(max_length=LINE_CHARACTERS, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$")]
ExtensionName = Annotated[str, AfterValidator(_extension_name)]
ExtensionText = Annotated[str, StringConstraints(max_length=EXTENSION_CHARACTERS, pattern=_LINE_PATTERN)]
Extension = Annotated[
    Any,
    PlainValidator(_extension),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": EXTENSION_CHARACTERS, "pattern": _LINE_PATTERN},
                {"type": "integer", "minimum": INT32_MINIMUM, "maximum": INT32_MAXIMUM},
                {"type": "boolean"},
            ]
        }
    ),
]


def _with_attribute_names(schema: dict[str, Any]) -> None:
    schema["propertyNames"] = {"pattern": "^[a-z0-9]+$", "maxLength": EXTENSION_NAME_CHARACTERS}


class CloudEvent(BaseModel):
    """The attributes around a command's data. What else is there is an extension: taken if it has the form of one."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, json_schema_extra=_with_attribute_names)
    __pydantic_extra__: dict[ExtensionName, Extension]

    specversion: Literal["1.0"]
    id: Id = Field(description="Deduplication key: a command sent again under the same id takes effect once.")
    source: Id = Field(description="Who sends it.")
    type: str
    subject: Id | None = Field(None, description="Key of the aggregate instance; if given, the key field of the data.")
    data: Any
    time: Instant | None = Field(None, description="When the producer made it; for information.")
    datacontenttype: JsonType = Field("application/json", description="A media type of JSON.")
    dataschema: Uri | None = Field(None, description="Which schema the data follows; for information.")
    correlationid: Id | None = Field(
        None, description="The story it belongs to. If left out: the trace of its traceparent, or else its own id."
    )
    causationid: Id | None = Field(None, description="The message that brought it about.")
    traceparent: ExtensionText | None = Field(None, description="W3C Trace Context; one that is malformed is ignored.")
    why: ExtensionText | None = Field(None, description="Why an operator does by hand what asks for a reason.")


def flaw_of_extensions(extensions: typing.Mapping[str, object]) -> str:
    """Why there is too much in the attributes that nobody knows here, in words; empty if there is not."""
    if len(extensions) > EXTENSIONS:
        return f"{len(extensions)} extension attributes: expected at most {EXTENSIONS}"
    size = sum(len(name) + len(str(value)) for name, value in extensions.items())
    if size > ALL_EXTENSIONS_CHARACTERS:
        return f"extension attributes of {size} characters together: expected at most {ALL_EXTENSIONS_CHARACTERS}"
    return ""


class Schemas:
    """Derives each schema once. Raises TypeError for a field of a type that has no form on the wire."""

    def __init__(self) -> None:
        self._of: dict[type, type[BaseModel]] = {}
        self._events: dict[type, type[BaseModel]] = {}

    def of(self, cls: type) -> type[BaseModel]:
        """The schema of a dataclass' JSON."""
        if cls not in self._of:
            hints = typing.get_type_hints(cls, include_extras=True)
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
        if origin is Annotated:
            return _bounded(arguments[0], arguments[1:]) or self._form(name, arguments[0])
        if origin in (typing.Union, types.UnionType):
            return typing.Union[tuple(self._form(name, each) for each in arguments)]  # noqa: UP007 - built at run time
        if origin is tuple and arguments[1:] == (...,):
            members: Any = tuple[self._form(name, arguments[0]), ...]  # type: ignore[misc]  # built at run time
            return Annotated[members, Field(strict=False)]  # JSON has no tuples: an array, of members as strict as ever
        if dataclasses.is_dataclass(hint):
            return self.of(typing.cast(type, hint))
        return _plain_form(name, hint)


def _constant(value: str) -> Any:
    return Literal.__getitem__(value)


def _bounded(hint: Any, notes: typing.Sequence[object]) -> Any:
    """The form of a text or number with bounds of its own; None if nothing is noted that is known here."""
    for note in notes:
        if hint is str and isinstance(note, Characters):
            pattern = note.pattern or (_TEXT_PATTERN if note.has_lines else _LINE_PATTERN)
            told = Field(description=note.told_as or None)
            return Annotated[str, StringConstraints(max_length=note.most, pattern=pattern), told]
        if hint is int and isinstance(note, Between):
            return Annotated[int, Field(ge=note.least, le=note.most)]
    return None


def _plain_form(name: str, hint: Any) -> Any:
    if hint is str:
        # A transfer's reference names an instance of the context that asked for it: it becomes a key there.
        # What brought a message about may be named after its sender, as a story is.
        named = {"reference": OptionalId, "correlation_id": StoryId, "causation_id": StoryId}
        return named.get(name) or (Id if name.endswith("_id") else Line)
    if hint is int:
        return Int64
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
