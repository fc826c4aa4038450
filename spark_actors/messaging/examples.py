"""An example of every message and view, made from its fields: for the documentation and for tests."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

_INSTANT = datetime(2026, 1, 3, 18, 15, 5, tzinfo=UTC)
_NUMBER = 21_000


class Examples:
    """Makes instances of message and view dataclasses with plausible values; the same one each time."""

    def __init__(self, words: Mapping[str, object]) -> None:
        """*words* are values of fields, by their names; those that have none get one by their type."""
        self._words = words

    def __call__(self, cls: type[T]) -> T:
        hints = typing.get_type_hints(cls)
        fields = dataclasses.fields(typing.cast(Any, cls))
        return cls(**{field.name: self._value(field.name, hints[field.name]) for field in fields})

    def _value(self, name: str, hint: Any) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self._value(name, arguments[0])
        if origin is tuple:
            return (self._value(name, arguments[0]),)
        if origin is dict:
            return {"number": _NUMBER}
        if dataclasses.is_dataclass(hint):
            return self(typing.cast(type, hint))
        if isinstance(hint, type) and issubclass(hint, Enum):
            return next(iter(hint))
        return self._words.get(name, _plain(name, hint))


def _plain(name: str, hint: Any) -> object:
    plain: dict[Any, object] = {str: f"{name.removesuffix('_id')}-1", int: _NUMBER, bool: True, datetime: _INSTANT}
    return plain[hint]
