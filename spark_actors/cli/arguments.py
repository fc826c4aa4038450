"""Turns `<context>.<name> field=value …` into a message, by the type hints of its fields."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from spark_actors.cli.errors import UsageMistakeError, words_of
from spark_actors.kernel.messages import Message

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
    """The message that `field=value` words describe. Raises UsageMistakeError that names everything that is wrong.

    The value of a list or an object is JSON.
    """
    values = split_fields(arguments)
    parsed = {name: _parsed(value) for name, value in values.items() if _is_composite(get_type_hints(cls).get(name))}
    try:
        if parsed:
            return TypeAdapter(cls).validate_python({**values, **parsed}, extra="forbid")
        return TypeAdapter(cls).validate_strings(values, extra="forbid")
    except ValidationError as error:
        problems = [_problem(cls, values, dict(each)) for each in error.errors()]
        raise UsageMistakeError(f"{cls.TYPE.name}: {'; '.join(problems)}") from None


def parse_json(cls: type[M], file: Path) -> M:
    """The message whose fields are a JSON object in a file (`-`: standard input). Raises UsageMistakeError."""
    content = json_object(read_input(file))
    try:
        return TypeAdapter(cls).validate_json(json.dumps(content), strict=True, extra="forbid")
    except ValidationError as error:
        shown = {name: json.dumps(value) for name, value in content.items()}
        problems = [_problem(cls, shown, dict(each)) for each in error.errors()]
        raise UsageMistakeError(f"{cls.TYPE.name}: {'; '.join(problems)}") from None


def read_input(file: Path) -> bytes:
    """The content of a file that --data names; `-` is standard input. Raises UsageMistakeError."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UsageMistakeError(f"--data: {file} cannot be read: {words_of(error)}") from None


def json_object(text: bytes) -> dict[str, Any]:
    """A JSON object. Raises UsageMistakeError for anything else."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageMistakeError(f"--data: expected a JSON object: {error}") from None
    if not isinstance(content, dict):
        raise UsageMistakeError(f"--data: expected a JSON object, got {json.dumps(content)[:80]}")
    return content


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
    """The type of a field as people read it, e.g. `int` or `datetime`; `JSON` for a list or an object."""
    hint = get_type_hints(cls).get(field_name)
    if _is_composite(hint):
        return "JSON"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("datetime.", "").replace(" | None", "")


def _is_composite(hint: Any) -> bool:
    return get_origin(hint) in (tuple, dict) or is_dataclass(hint)


def _parsed(value: str) -> object:
    """What a text is as JSON; the text itself if it is none, which then is no list or object."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _placeholder(cls: type[Message], field: Field[Any]) -> str:
    text = f"{field.name}=<{type_name(cls, field.name)}>"
    return text if field.default is MISSING else f"[{text}]"


def _problem(cls: type[Message], values: Mapping[str, str], error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if len(error["loc"]) > 1:
        return f"field {'.'.join(map(str, error['loc']))}: {error['msg'][:1].lower()}{error['msg'][1:]}"
    if error["type"] == "missing":
        return f"field {name}=<{type_name(cls, name)}> is missing"
    if error["type"] == "unexpected_keyword_argument":
        known = ", ".join(field.name for field in fields(cast(Any, cls)))
        return f"there is no field {name!r} (there are: {known})"
    return f"field {name}: expected {type_name(cls, name)}, got {values.get(name, '')!r}"
