"""Lists of plain values as Postgres' binary arrays: the shape in which set-based statements get their rows.

psycopg's own dumper writes arrays as text, element by element with quoting; for turns of hundreds of rows that was a
third of an AggregateActor's time. The binary form (array_recv in PostgreSQL's arrayfuncs.c) is a header, then each
element with its length in front: https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from struct import Struct, error
from types import MappingProxyType
from typing import Any, NamedTuple

from psycopg import DataError, pq
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper, PyFormat

_HEADER = Struct("!iiIii").pack
"""Dimensions (1), whether there are nulls, element type, length, lower bound (1)."""
_LENGTH = Struct("!i").pack
_INT8 = Struct("!iq").pack
_INT4 = Struct("!ii").pack
_BOOL = Struct("!i?").pack
_NULL = _LENGTH(-1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH(len(encoded)) + encoded


def _integer(value: int) -> bytes:
    try:
        return _INT8(8, value)
    except error as cause:
        raise DataError(f"{value} does not fit into 64 bits") from cause


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _timestamp(value: datetime) -> bytes:
    since = value - _EPOCH
    return _INT8(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _date(value: date) -> bytes:
    return _INT4(4, (value - _EPOCH.date()).days)


class _Element(NamedTuple):
    """How values of one Python type become elements."""

    oid: int
    array_oid: int
    write: Callable[[Any], bytes]


_ELEMENTS: Mapping[type, _Element] = MappingProxyType(
    {
        str: _Element(25, 1009, _text),
        int: _Element(20, 1016, _integer),
        bool: _Element(16, 1000, lambda value: _BOOL(1, value)),
        bytes: _Element(17, 1001, _bytes),
        datetime: _Element(1184, 1185, _timestamp),
        date: _Element(1082, 1182, _date),
    }
)
"""Types by their object ids in pg_type.dat: text, bigint, boolean, bytea, timestamptz, date."""


class ArrayDumper(Dumper):
    """Dumps a list whose elements are None or all of one type (a subtype counts as its type).

    Raises TypeError for other elements, DataError for an integer beyond 64 bits. A list of nothing but None, and an
    empty one, is sent as text[]: statements cast their parameters, which turns it into what is wanted.
    """

    format = pq.Format.BINARY

    def __init__(self, cls: type, context: AdaptContext | None = None, element: _Element = _ELEMENTS[str]) -> None:
        super().__init__(cls, context)
        self._element = element
        self.oid = element.array_oid

    def get_key(self, obj: Sequence[Any], format: PyFormat) -> Any:
        return (self.cls, _element_of(obj).oid)

    def upgrade(self, obj: Sequence[Any], format: PyFormat) -> ArrayDumper:
        return ArrayDumper(self.cls, element=_element_of(obj))

    def dump(self, obj: Sequence[Any]) -> bytes:
        write, nulls = self._element.write, None in obj
        elements: Iterable[bytes] = (
            (_NULL if value is None else write(value) for value in obj) if nulls else map(write, obj)
        )
        return _HEADER(1, nulls, self._element.oid, len(obj), 1) + b"".join(elements) if obj else _EMPTY


_EMPTY = Struct("!iiI").pack(0, 0, 25)


def _element_of(values: Sequence[Any]) -> _Element:
    first = next((value for value in values if value is not None), "")
    for kind in type(first).__mro__:
        if kind in _ELEMENTS:
            return _ELEMENTS[kind]
    raise TypeError(f"a list of {type(first).__name__} cannot be sent as an array")
