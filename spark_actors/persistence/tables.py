"""How an aggregate lies in its tables: declared once, and the statements that load and store it are made from that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from spark_actors.persistence.rules import Rule

S = TypeVar("S")

Types: TypeAlias = Mapping[str, str]
"""Names that are attributes of an object and columns of its table alike, each with its type in SQL; in their order."""


@dataclass(frozen=True, kw_only=True)
class Book:
    """Where the records of one type are written, with the state that they explain."""

    record: type
    table: str
    """With its schema."""
    columns: Types
    keeps_senders: bool = False
    """Whether it says who sent the command behind each record, in the column `sent_by`."""
    insert: str = ""
    """A statement that writes them, where it takes more than an INSERT of *columns*."""


@dataclass(frozen=True, kw_only=True)
class AggregateTable(Generic[S]):
    """How one kind of aggregate lies in Postgres. The table has a column `version`, too, and is `<key>`'s by a primary
    key of the name that Postgres gives it."""

    table: str
    """With its schema."""
    key: str
    """The column, and attribute, that names the instance."""
    columns: Types
    """Of the state, less key and version."""
    state: Callable[[tuple[Any, ...]], S]
    """Builds a state from key and *columns*. Whatever it raises makes this one instance unreadable."""
    books: tuple[Book, ...] = ()
    """In the order in which they are written: what a record refers to comes before it."""
    rules: Sequence[Rule] = ()
    """Between rows, in the order in which they are told of a command that breaks several."""
    checks: Mapping[str, Callable[[S], bool]] = field(default_factory=dict)
    """What each row must fulfil, by the name of the check."""
    row: Callable[[S], object] = lambda state: state
    """Gives for a state what has *columns* as attributes; the state itself, unless it lies otherwise than it is."""
    is_document: bool = False
    """Whether the table is the runtime's own (see `documents`)."""

    @property
    def primary_key(self) -> str:
        """The name of the constraint."""
        return f"{self.table.partition('.')[2]}_pkey"

    @property
    def types(self) -> Types:
        """Of all columns that rules may speak of."""
        return {
            name: kind
            for columns in (self.columns, *(book.columns for book in self.books))
            for name, kind in columns.items()
        }


class _Document(NamedTuple):
    """A state as it lies in a table of documents."""

    state: str
    """As JSON."""


def documents(context: str, aggregate: type[S], unique: Mapping[str, tuple[str, ...]]) -> AggregateTable[S]:
    """How a dataclass of plain values lies in Postgres that nobody has made a table for: as a JSON document.

    *unique* are rules of the domain by their names, each the fields of which no two instances have the same values.
    """
    table = f"{context}.documents"
    return AggregateTable(
        table=table,
        key="key",
        columns={"state": "jsonb"},
        state=lambda row: msgspec.convert(row[1], aggregate, strict=False),
        row=lambda state: _Document(msgspec.json.encode(state).decode()),
        rules=tuple(
            Rule(
                name=name,
                constraint=name,
                of=aggregate,
                table=table,
                columns=fields,
                key="key",
                expressions={field: f"(held.state ->> '{field}')" for field in fields},
            )
            for name, fields in unique.items()
        ),
        is_document=True,
    )


def document_indexes(table: AggregateTable[Any]) -> Mapping[str, str]:
    """The statements, in the table's own schema, that make the unique index of each rule of a table of documents."""
    return {
        rule.name: f"CREATE UNIQUE INDEX {rule.name} ON documents ({_list(map(_member, rule.columns))})"
        for rule in table.rules
    }


def _member(name: str) -> str:
    return f"(state ->> '{name}')"


def aggregate_statements(table: AggregateTable[Any]) -> Mapping[str, bytes]:
    """The statements of one aggregate: `load`, `locked`, `insert`, `update`, `hold`, and one named after each book."""
    key, name, names = table.key, table.table, list(table.columns)
    expect_rows = f"{name.partition('.')[0]}.expect_rows"
    arrays = _arrays({"versions": "bigint", **table.columns})
    texts = {
        # The named instances; one that does not exist is missing from the result.
        "load": f"SELECT {_list([key, 'version', *names])} FROM {name} WHERE {key} = ANY(%(keys)s::text[])",
        # Those of the named instances that somebody else holds a lock on. Waits for no row.
        "locked": f"""
            WITH free AS MATERIALIZED (
                SELECT {key} FROM {name} WHERE {key} = ANY(%(keys)s::text[]) FOR NO KEY UPDATE SKIP LOCKED
            )
            SELECT {key} FROM {name}
            WHERE {key} = ANY(%(keys)s::text[]) AND {key} NOT IN (SELECT {key} FROM free)""",
        # New instances; the primary key refuses one that somebody else has made meanwhile.
        "insert": f"""
            INSERT INTO {name} ({_list([key, "version", *names])})
            SELECT * FROM unnest(%(keys)s::text[], {arrays})""",
        # New states, each only over the version that it was decided on.
        "update": f"""
            WITH saved AS (
                UPDATE {name} AS held
                SET {_list(f"{column} = new.{column}" for column in ("version", *names))}
                FROM unnest(%(keys)s::text[], %(expected)s::bigint[], {arrays})
                    AS new ({_list(["key", "expected", "version", *names])})
                WHERE held.{key} = new.key AND held.version = new.expected
                RETURNING 1
            )
            SELECT {expect_rows}(count(*), cardinality(%(keys)s::text[])) FROM saved""",
        # Refuse if what was only looked at has changed (version 0: has come to be); keep it so until commit.
        "hold": f"""
            WITH held AS (
                SELECT 1
                FROM {name} AS held JOIN unnest(%(keys)s::text[], %(versions)s::bigint[]) AS seen (key, version)
                    ON held.{key} = seen.key
                WHERE held.version = seen.version
                FOR SHARE OF held
            )
            SELECT
                {expect_rows}((SELECT count(*) FROM held), cardinality(%(keys)s::text[])),
                {expect_rows}((SELECT count(*) FROM {name} WHERE {key} = ANY(%(absent)s::text[])), 0)""",
        **{book.table: book.insert or _insert(book) for book in table.books},
    }
    return {statement: text.encode() for statement, text in texts.items()}


def _insert(book: Book) -> str:
    columns = {**book.columns, "sent_by": "text"} if book.keeps_senders else book.columns
    return f"INSERT INTO {book.table} ({_list(columns)}) SELECT * FROM unnest({_arrays(columns)})"


def _arrays(columns: Types) -> str:
    return _list(f"%({name})s::{kind}[]" for name, kind in columns.items())


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
