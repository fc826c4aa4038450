"""Forms made of JSON Schemas: which fields they have, and what was typed into them as the JSON that the schema wants.

Text becomes a value by the type that the schema gives; whether that value is right, whoever takes it decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.scrubbing import is_secret_name

LONG_CHARACTERS = 400
"""Texts that may be longer get a field with several lines."""
JsonSchema = Mapping[str, Any]


class Kind(StrEnum):
    """How a field is filled in."""

    LINE = "line"
    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    MOMENT = "moment"
    JSON = "json"
    SECRET = "secret"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a form."""

    name: str
    kind: Kind
    is_required: bool
    told: str
    """Its type and bounds, in words."""
    choices: tuple[str, ...] = ()
    default: str = ""
    """What holds if it is left empty, as text."""


class FieldsError(SparkError):
    """Fields cannot be read; *flaws* says of each what was expected."""

    def __init__(self, flaws: Mapping[str, str]) -> None:
        super().__init__(flaws)
        self.flaws = flaws

    def __str__(self) -> str:
        return "; ".join(f"{name}: {flaw}" for name, flaw in self.flaws.items())


def fields_of(schema: JsonSchema) -> tuple[Field, ...]:
    """The fields of a form for an object of this schema, in its order."""
    needed = schema.get("required", ())
    return tuple(_field(name, _plain(schema, each), name in needed) for name, each in _properties(schema).items())


def values_of(schema: JsonSchema, texts: Mapping[str, str], *, is_empty_left_out: bool = True) -> dict[str, Any]:
    """The object that was typed in: *texts* by the names of fields. Those that the schema does not have stay texts.

    *is_empty_left_out*: an empty field is one that nobody has filled in. Raises FieldsError.
    """
    values: dict[str, Any] = {}
    flaws: dict[str, str] = {}
    for name, text in texts.items():
        if not text and is_empty_left_out:
            continue
        property_ = _properties(schema).get(name)
        try:
            values[name] = text if property_ is None else _value(_plain(schema, property_), text)
        except ValueError as error:
            flaws[name] = str(error)
    if flaws:
        raise FieldsError(flaws)
    return values


def _properties(schema: JsonSchema) -> Mapping[str, JsonSchema]:
    found: Mapping[str, JsonSchema] = schema.get("properties", {})
    return found


def _plain(schema: JsonSchema, each: JsonSchema) -> JsonSchema:
    """The schema of a field with what it refers to put in; of one that may be null, that of its value."""
    options = [_resolved(schema, option) for option in each.get("anyOf", ())]
    values = [option for option in options if option.get("type") != "null"]
    found = values[0] if len(values) == 1 else {"type": "any"} if values else _resolved(schema, each)
    return {**found, **{name: each[name] for name in ("default", "description") if name in each}}


def _resolved(schema: JsonSchema, each: JsonSchema) -> JsonSchema:
    if reference := each.get("$ref"):
        found: JsonSchema = schema["$defs"][reference.rpartition("/")[2]]
        return found
    return each


def _field(name: str, schema: JsonSchema, is_required: bool) -> Field:
    default = schema.get("default")
    kind = Kind.SECRET if is_secret_name(name) else _kind(schema)
    return Field(
        name=name,
        kind=kind,
        is_required=is_required,
        told=_told(schema, kind),
        choices=_choices(schema),
        default="" if default is None else default if isinstance(default, str) else json.dumps(default),
    )


def _choices(schema: JsonSchema) -> tuple[str, ...]:
    return ("true", "false") if schema.get("type") == "boolean" else tuple(map(str, schema.get("enum", ())))


def _kind(schema: JsonSchema) -> Kind:
    if _choices(schema):
        return Kind.CHOICE
    match schema.get("type"):
        case "integer":
            return Kind.NUMBER
        case "string" if schema.get("format") == "date-time":
            return Kind.MOMENT
        case "string":
            return Kind.TEXT if schema.get("maxLength", 0) > LONG_CHARACTERS else Kind.LINE
        case _:
            return Kind.JSON


def _told(schema: JsonSchema, kind: Kind) -> str:
    said = schema.get("description", "").partition("\n")[0] if kind is not Kind.CHOICE else ""
    facts = [said] if said else []
    match kind:
        case Kind.NUMBER:
            facts.append("a whole number")
            facts += [f"{word} {schema[key]:,}" for key, word in _BOUNDS.items() if abs(schema.get(key, 2**63)) < 2**53]
        case Kind.MOMENT:
            facts.append("a time as 2026-01-03T18:15:05Z")
        case Kind.JSON:
            facts.append("a list, as JSON" if schema.get("type") == "array" else "JSON")
        case Kind.CHOICE:
            facts.append("one of " + ", ".join(_choices(schema)))
        case _:
            facts.append(f"at most {schema['maxLength']:,} characters" if "maxLength" in schema else "a text")
    return "; ".join(facts)


_BOUNDS = {"minimum": "at least", "maximum": "at most"}


def _value(schema: JsonSchema, text: str) -> Any:
    """Raises ValueError with what was expected."""
    match schema.get("type"):
        case "string":
            return text
        case "integer":
            return _number(text)
        case "boolean":
            if text not in ("true", "false"):
                raise ValueError("expected true or false")
            return text == "true"
        case _:
            return _json(text)


def _number(text: str) -> int:
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < _DIGITS):
        raise ValueError("expected a whole number")
    return int(text)


_DIGITS = 20
"""More than 64 bits have."""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("expected JSON") from None
