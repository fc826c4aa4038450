"""The repository on Postgres: one class serves all aggregates, by the declaration of how each lies in its tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

from spark_actors.messaging.unit_of_work import Change, Effect, Unreadable, Versioned
from spark_actors.persistence.connections import Row, SqlText, Statement, TurnConnection
from spark_actors.persistence.rules import Rule, Values, changed_by, claims_by_rule, offenders, probe
from spark_actors.persistence.tables import AggregateTable, Book

S = TypeVar("S")


class PostgresRepository(Generic[S]):
    """Port `Repository`. What is saved goes to *queue*, which the unit of work commits."""

    def __init__(
        self, table: AggregateTable[S], sql: Mapping[str, SqlText], connection: TurnConnection, queue: list[Statement]
    ) -> None:
        self._table, self._sql, self._connection, self._queue = table, sql, connection, queue

    def load(self, keys: Sequence[str]) -> Mapping[str, Versioned[S]]:
        rows = self._connection.fetch(Statement(self._sql["load"], {"keys": list(keys)}))
        found = {row[0]: Versioned(self._state(row), row[1]) for row in rows}
        return {key: found.get(key) or Versioned(None, 0) for key in keys}

    def _state(self, row: Row) -> Any:
        try:
            return self._table.state((row[0], *row[2:]))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with this row, it is nobody else's
            return Unreadable(error)

    def locked(self, keys: Sequence[str]) -> frozenset[str]:
        rows = self._connection.fetch(Statement(self._sql["locked"], {"keys": list(keys)}))
        return frozenset(row[0] for row in rows)

    def save(
        self,
        changes: Sequence[Change[S]],
        records: Sequence[object],
        unchanged: Mapping[str, int],
        senders: Sequence[str] = (),
    ) -> None:
        # In the order of keys, so that two writers of the same rows meet at the first of them.
        ordered = sorted(changes, key=attrgetter("key"))
        table = self._table
        # Updates first: what one instance gives up in this turn another may have.
        self._add("update", _states(table, [change for change in ordered if change.expected_version > 0]))
        self._add("insert", _states(table, [change for change in ordered if change.expected_version == 0]))
        self._add("hold", _seen(unchanged))
        for book in self._table.books:
            self._add(book.table, _entries(book, records, senders))

    def offenders(self, effects: Sequence[Effect[S]]) -> Mapping[int, str]:
        rules = self._table.rules
        claims = claims_by_rule(rules, effects)
        asked = probe(rules, claims, self._table.types, changed_by(effects))
        if asked is None:
            return {}
        held: dict[Rule, dict[Values, list[str]]] = {}
        for number, place, key in self._connection.fetch(Statement(asked.text.encode(), asked.params)):
            rule = rules[number]
            held.setdefault(rule, {}).setdefault(claims[rule][place].values, []).append(key)
        return offenders(rules, effects, claims, held)

    def _add(self, name: str, params: Mapping[str, Sequence[object]]) -> None:
        if any(params.values()):
            self._queue.append(Statement(self._sql[name], params))


def arrays(columns: Collection[str], items: Iterable[object]) -> dict[str, list[object]]:
    """The items column by column, as `unnest` takes them."""
    if len(columns) == 1:
        (name,) = columns
        return {name: list(map(attrgetter(name), items))}
    rows = list(map(attrgetter(*columns), items))
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=bool(rows)))


def _states(table: AggregateTable[S], changes: Sequence[Change[S]]) -> dict[str, list[object]]:
    if not changes:
        return {}
    keys, expected, versions, states = map(list, zip(*changes, strict=True))
    return {"keys": keys, "expected": expected, "versions": versions, **arrays(table.columns, map(table.row, states))}


def _entries(book: Book, records: Sequence[object], senders: Sequence[str]) -> dict[str, list[object]]:
    places = [place for place, record in enumerate(records) if type(record) is book.record]
    entries = arrays(book.columns, [records[place] for place in places])
    if places and book.keeps_senders:
        entries["sent_by"] = [senders[place] if senders else "" for place in places]
    return entries


def _seen(unchanged: Mapping[str, int]) -> dict[str, Sequence[object]]:
    present = sorted(key for key, version in unchanged.items() if version > 0)
    absent = sorted(key for key, version in unchanged.items() if version == 0)
    return {"keys": present, "versions": [unchanged[key] for key in present], "absent": absent}
