"""The repositories of the aggregates: each says how its states and books lie in their tables, one class serves all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from domain.accounting.account import Account, AccountStatus, Movement
from domain.auth.user import User
from domain.bitcoin.invoice import Invoice, InvoiceKind, InvoiceState
from domain.crowdfunding.campaign import Campaign, Donation, DonationRequest
from domain.shared.ports import Change, Effect, Unreadable, Versioned
from spark_actors.persistence.connections import Query, Row, Statement, TurnConnection
from spark_actors.persistence.rules import RULES, Columns, Rule, Values, claims_by_rule, offenders, probe
from spark_actors.persistence.statements import load

S = TypeVar("S")


@dataclass(frozen=True)
class Book:
    """Where records of one type are written."""

    record: type
    statement: str
    columns: Columns
    keeps_senders: bool = False
    """Whether it says who sent the command behind each record."""


@dataclass(frozen=True)
class AggregateTable(Generic[S]):
    """How one kind of aggregate lies in Postgres."""

    sql: str
    """The file of its statements: load, locked, insert, update, hold and, where it has books, theirs."""
    state: Callable[[Row], S]
    """Builds a state from a row of `load`, less the version."""
    columns: Columns
    books: tuple[Book, ...] = ()
    """In the order in which they are written: what a record refers to comes before it."""
    rules: Sequence[Rule] = ()
    """What the domain answers to when the store refuses it."""


class PostgresRepository(Generic[S]):
    """Port `Repository`. What is saved goes to *queue*, which the unit of work commits."""

    def __init__(
        self, table: AggregateTable[S], sql: Mapping[str, Query], connection: TurnConnection, queue: list[Statement]
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
        columns = self._table.columns
        # Updates first: what one instance gives up in this turn another may have.
        self._add("update", _states(columns, [change for change in ordered if change.expected_version > 0]))
        self._add("insert", _states(columns, [change for change in ordered if change.expected_version == 0]))
        self._add("hold", _seen(unchanged))
        for book in self._table.books:
            self._add(book.statement, _entries(book, records, senders))

    def offenders(self, effects: Sequence[Effect[S]]) -> Mapping[int, str]:
        rules = self._table.rules
        claims = claims_by_rule(rules, effects)
        asked = probe([(rule, claims[rule.name]) for rule in rules])
        if asked is None:
            return {}
        held: dict[str, dict[Values, str]] = {}
        for name, place, key in self._connection.fetch(Statement(asked.text.encode(), asked.params)):
            held.setdefault(name, {})[claims[name][place - 1].values] = key
        return offenders(rules, effects, claims, held)

    def _add(self, name: str, params: Mapping[str, Sequence[object]]) -> None:
        if any(params.values()):
            self._queue.append(Statement(self._sql[name], params))


def arrays(columns: Columns, items: Iterable[object]) -> dict[str, list[object]]:
    """The items column by column, as `unnest` takes them. Of two columns at least."""
    rows = list(map(attrgetter(*columns), items))
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=bool(rows)))


def _states(columns: Columns, changes: Sequence[Change[S]]) -> dict[str, list[object]]:
    if not changes:
        return {}
    keys, expected, versions, states = map(list, zip(*changes, strict=True))
    return {"keys": keys, "expected": expected, "versions": versions, **arrays(columns, states)}


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


USERS = AggregateTable(
    sql="users",
    state=lambda row: User(*row),
    columns=("username", "password_hash", "registered_at"),
    rules=RULES["auth"],
)

ACCOUNTS = AggregateTable(
    sql="accounts",
    state=lambda row: Account(row[0], status=AccountStatus(row[1]), balance_sat=row[2]),
    columns=("status", "balance_sat"),
    books=(
        Book(
            Movement,
            "record",
            (
                *("idempotency_key", "debit_account", "credit_account", "amount_sat"),
                *("kind", "follows", "payee", "recorded_at"),
            ),
            keeps_senders=True,
        ),
    ),
    rules=RULES["accounting"],
)

CAMPAIGNS = AggregateTable(
    sql="campaigns",
    state=lambda row: Campaign(*row),
    columns=(
        *("account_id", "title", "description", "goal_sat", "created_at"),
        *("raised_sat", "donations", "goal_reached"),
    ),
    books=(
        Book(
            DonationRequest,
            "record_requests",
            ("donation_id", "campaign_id", "account_id", "amount_sat", "requested_at"),
        ),
        Book(
            Donation,
            "record_donations",
            ("donation_id", "campaign_id", "account_id", "amount_sat", "registered_at"),
        ),
    ),
    rules=RULES["crowdfunding"],
)

INVOICES = AggregateTable(
    sql="invoices",
    state=lambda row: Invoice(row[0], InvoiceKind(row[1]), InvoiceState(row[2]), *row[3:]),
    columns=(
        *("kind", "state", "account_id", "amount_sat", "requested_at"),
        *("payment_hash", "payment_request", "preimage", "expires_at", "reason", "settled_at"),
    ),
    rules=RULES["bitcoin"],
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
