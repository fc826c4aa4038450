"""The repositories of the aggregates: each says how its states and books lie in their tables, one class serves all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar

from domain.accounting.account import Account, AccountStatus
from domain.auth.user import User
from domain.bitcoin.invoice import Invoice, InvoiceKind, InvoiceState
from domain.crowdfunding.campaign import Campaign
from domain.shared.ports import Change, Versioned
from spark_actors.persistence.connections import Query, Row, Statement, TurnConnection
from spark_actors.persistence.statements import load

S = TypeVar("S")

Columns: TypeAlias = dict[str, Callable[[Any], object]]
"""Column names, as the statements call them, and how to read each off an object."""


@dataclass(frozen=True)
class AggregateTable(Generic[S]):
    """How one kind of aggregate lies in Postgres."""

    sql: str
    """The file of its statements: load, insert, update, hold and, where it has a book, record."""
    state: Callable[[Row], S]
    """Builds a state from a row of `load`, less the version."""
    columns: Columns
    book: Columns
    """The columns of its records; empty where it has none."""


class PostgresRepository(Generic[S]):
    """Port `Repository`. What is saved goes to *queue*, which the unit of work commits."""

    def __init__(
        self, table: AggregateTable[S], sql: Mapping[str, Query], connection: TurnConnection, queue: list[Statement]
    ) -> None:
        self._table, self._sql, self._connection, self._queue = table, sql, connection, queue

    def load(self, keys: Sequence[str]) -> Mapping[str, Versioned[S]]:
        rows = self._connection.fetch(Statement(self._sql["load"], {"keys": list(keys)}))
        found = {row[0]: Versioned(self._table.state((row[0], *row[2:])), row[1]) for row in rows}
        return {key: found.get(key) or Versioned(None, 0) for key in keys}

    def save(self, changes: Sequence[Change[S]], records: Sequence[object], unchanged: Mapping[str, int]) -> None:
        # In the order of keys, so that two writers of the same rows meet at the first of them.
        ordered = sorted(changes, key=attrgetter("key"))
        self._add(
            "insert", _states(self._table.columns, [change for change in ordered if change.expected_version == 0])
        )
        self._add("update", _states(self._table.columns, [change for change in ordered if change.expected_version > 0]))
        self._add("hold", _seen(unchanged))
        self._add("record", arrays(self._table.book, records))

    def _add(self, name: str, params: Mapping[str, Sequence[object]]) -> None:
        if any(params.values()):
            self._queue.append(Statement(self._sql[name], params))


def arrays(columns: Columns, items: Iterable[object]) -> dict[str, list[object]]:
    """The items column by column, as `unnest` takes them."""
    held = list(items)
    return {name: [read(item) for item in held] for name, read in columns.items()}


def _states(columns: Columns, changes: Sequence[Change[S]]) -> dict[str, list[object]]:
    return arrays(_CHANGE, changes) | arrays(columns, [change.state for change in changes])


def _seen(unchanged: Mapping[str, int]) -> dict[str, Sequence[object]]:
    present = sorted(key for key, version in unchanged.items() if version > 0)
    absent = sorted(key for key, version in unchanged.items() if version == 0)
    return {"keys": present, "versions": [unchanged[key] for key in present], "absent": absent}


def _texts(*names: str) -> Columns:
    # Plain str, also of an enum: the driver takes no list of mixed types.
    return {name: _as(str, name) for name in names}


def _integers(*names: str) -> Columns:
    return {name: _as(int, name) for name in names}


def _others(*names: str) -> Columns:
    return {name: attrgetter(name) for name in names}


def _as(plain: Callable[[Any], object], name: str) -> Callable[[Any], object]:
    read = attrgetter(name)
    return lambda item: None if (value := read(item)) is None else plain(value)


_CHANGE: Columns = {
    "keys": attrgetter("key"),
    "expected": attrgetter("expected_version"),
    "versions": attrgetter("version"),
}

USERS = AggregateTable(
    sql="users",
    state=lambda row: User(*row),
    columns=_texts("username", "password_hash") | _others("registered_at"),
    book={},
)

ACCOUNTS = AggregateTable(
    sql="accounts",
    state=lambda row: Account(row[0], status=AccountStatus(row[1]), balance_sat=row[2]),
    columns=_texts("status") | _integers("balance_sat"),
    book=_texts("idempotency_key", "debit_account", "credit_account", "kind", "follows")
    | _integers("amount_sat")
    | _others("recorded_at"),
)

CAMPAIGNS = AggregateTable(
    sql="campaigns",
    state=lambda row: Campaign(*row),
    columns=_texts("account_id", "title", "description")
    | _integers("goal_sat", "raised_sat", "donations")
    | _others("created_at", "goal_reached"),
    book=_texts("donation_id", "campaign_id", "account_id") | _integers("amount_sat") | _others("registered_at"),
)

INVOICES = AggregateTable(
    sql="invoices",
    state=lambda row: Invoice(row[0], InvoiceKind(row[1]), InvoiceState(row[2]), *row[3:]),
    columns=_texts("kind", "state", "account_id", "payment_hash", "payment_request", "preimage")
    | _integers("amount_sat")
    | _others("requested_at", "expires_at"),
    book={},
)

TABLES: Mapping[str, AggregateTable[Any]] = {
    "auth": USERS,
    "accounting": ACCOUNTS,
    "crowdfunding": CAMPAIGNS,
    "bitcoin": INVOICES,
}
"""The aggregate of each context that has one."""


def statements_of(table: AggregateTable[Any]) -> Mapping[str, Query]:
    """The statements of one aggregate, ready to send."""
    return {name: text.encode() for name, text in load(table.sql).items()}
