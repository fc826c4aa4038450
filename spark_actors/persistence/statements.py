"""Named SQL statements, read from files: those of the runtime in `sql/`, those of a context beside what sends them.

A file is a list of statements; each begins with its name and a description, and ends where the next one begins:

    -- settle
    -- Forget rows that every subscriber has.
    DELETE FROM {schema}.outbox WHERE position = ANY(%(positions)s)

Tables that several contexts have are written with `{schema}`, which `load_for` fills in; the rest name their schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import LiteralString, cast

from psycopg import sql

_STATEMENT = re.compile(
    r"^-- (?P<name>[a-z][a-z0-9_]*)\n(?:--[^\n]*\n)+(?P<text>.*?)(?=^-- [a-z][a-z0-9_]*\n--|\Z)",
    re.MULTILINE | re.DOTALL,
)


def load(package: str, file: str) -> Mapping[str, LiteralString]:
    """The statements of a file of *package* by their names. Raises ValueError for a file that breaks the form."""
    text = resources.files(package).joinpath(file).read_text("utf-8")
    return MappingProxyType(parse(file, text))


def load_for(name: str, schema: str) -> Mapping[str, bytes]:
    """The statements of the runtime's `sql/<name>.sql` for one schema."""
    return filled(load("spark_actors.persistence", f"sql/{name}.sql"), schema)


def filled(texts: Mapping[str, LiteralString], schema: str) -> Mapping[str, bytes]:
    """The statements with `{schema}` filled in, quoted as an identifier."""
    identifier = sql.Identifier(schema)
    return {name: sql.SQL(text).format(schema=identifier).as_bytes(None) for name, text in texts.items()}


def parse(source: str, text: str) -> dict[str, LiteralString]:
    """The statements in *text*; *source* names it in errors."""
    found: dict[str, LiteralString] = {}
    end = 0
    for match in _STATEMENT.finditer(text):
        if text[end : match.start()].strip() or match["name"] in found or not match["text"].strip():
            raise ValueError(f"{source}: statement {match['name']!r} is named twice, empty, or follows stray text")
        # The text comes from a file of this package, never from outside.
        found[match["name"]] = cast(LiteralString, match["text"].strip().rstrip(";").rstrip())
        end = match.end()
    if text[end:].strip():
        raise ValueError(f"{source}: expected '-- name', a description and a statement at {text[end:].strip()[:60]!r}")
    return found
