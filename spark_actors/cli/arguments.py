"""Turns `<context>.<name> field=value …` into a message, by the type hints of its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from domain.shared.messages import Message
from spark_actors.cli.errors import UsageMistakeError

M = TypeVar("M", bound=Message)


def choose(classes: Iterable[type[M]], name: str) -> type[M]:
    """The class with this wire name. Raises UsageMistakeError with names that come close."""
    by_name = {cls.TYPE.name: cls for cls in classes}
    if name in by_name:
        return by_name[name]
    close = get_close_matches(name, by_name, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`spark-actors messages` lists them"
    raise UsageMistakeError(f"there is no {name!r}; {hint}")


def parse_message(cls: type[M], arguments: Sequence[str]) -> M:
    """The message that `field=value` words describe. Raises UsageMistakeError that names everything that is wrong."""
    values = split_fields(arguments)
    try:
        return TypeAdapter(cls).validate_strings(values, extra="forbid")
    except ValidationError as error:
        problems = [_problem(cls, values, dict(each)) for each in error.errors()]
        raise UsageMistakeError(f"{cls.TYPE.name}: {'; '.join(problems)}") from None


def split_fields(arguments: Sequence[str]) -> dict[str, str]:
    """The words `field=value` as a mapping; a value may hold `=` and may be empty. Raises UsageMistakeError."""
    values: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise UsageMistakeError(f"expected field=value, got {argument!r}")
        if name in values:
            raise UsageMistakeError(f"field {name} is given twice")
        values[name] = value
    return values


def usage(cls: type[Message]) -> str:
    """How a message is written on the command line; fields in brackets may be left out."""
    return " ".join([cls.TYPE.name, *(_placeholder(cls, field) for field in fields(cast(Any, cls)))])


def type_name(cls: type[Message], field_name: str) -> str:
    """The type of a field as people read it, e.g. `int` or `datetime`."""
    hint = get_type_hints(cls).get(field_name)
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("datetime.", "").replace(" | None", "")


def _placeholder(cls: type[Message], field: Field[Any]) -> str:
    text = f"{field.name}=<{type_name(cls, field.name)}>"
    return text if field.default is MISSING else f"[{text}]"


def _problem(cls: type[Message], values: Mapping[str, str], error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "missing":
        return f"field {name}=<{type_name(cls, name)}> is missing"
    if error["type"] == "unexpected_keyword_argument":
        known = ", ".join(field.name for field in fields(cast(Any, cls)))
        return f"there is no field {name!r} (there are: {known})"
    return f"field {name}: expected {type_name(cls, name)}, got {values.get(name, '')!r}"
