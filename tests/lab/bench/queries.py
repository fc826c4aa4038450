"""What the benchmark asks of the databases of a daemon that it has started, and what it puts there beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.application import APPLICATION
from spark_actors.persistence.connections import Row
from spark_actors.persistence.errors import translated
from spark_actors.persistence.outbox import hint_statement
from spark_actors.persistence.statements import filled, load

CONTEXTS = tuple(each.name for each in APPLICATION.writing)
"""Those with aggregates."""
RELAYED_ACCOUNTS = 10_000
"""Accounts that the pending events are of."""

UNSETTLED_POSITIONS = 10_000
"""So many of the last ones given out may still belong to transactions that nobody sees yet."""


@dataclass(frozen=True)
class Books:
    """What the ledger and the campaigns say; amounts in satoshis."""

    held_sat: int = 0
    """By all users together."""
    deposits: int = 0
    deposited_sat: int = 0
    in_transit_sat: int = 0
    donations: int = 0
    """Registered."""
    raised_sat: int = 0


class BenchQueries:
    """One connection to the database of a daemon that keeps all contexts in one. Calls raise StorageError."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        with translated():
            self._connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
        self._sql = filled(load(__package__, "bench.sql"), "accounting")
        self._floors = dict.fromkeys(CONTEXTS, 0)
        """Below these nothing waits, so the dead entries that an idle transaction leaves are not walked through."""
        self._by_context = {context: filled(load(__package__, "bench.sql"), context) for context in CONTEXTS}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def backend_pid(self) -> int:
        """The server's process that works for this connection."""
        return self._connection.info.backend_pid

    def is_settled(self) -> bool:
        """Whether no outbox has anything left to relay."""
        if any(self._first_waiting(context) for context in self._by_context):
            return False
        for context, statements in self._by_context.items():
            self._floors[context] = max(0, self._row(statements["last_position"])[0] - UNSETTLED_POSITIONS)
        return True

    def _first_waiting(self, context: str) -> Row:
        return self._row(self._by_context[context]["first_waiting"], {"floor": self._floors[context]})

    def dead_letters(self) -> int:
        """How many messages no subscriber took, or nobody understood."""
        contexts = (*CONTEXTS, "ingress")
        return sum(
            int(self._row(filled(load(__package__, "bench.sql"), context)["letters"])[0]) for context in contexts
        )

    def books(self) -> Books:
        """What the books say now."""
        held, deposits, deposited, in_transit = self._row(self._sql["books"])
        return Books(held, deposits, deposited, in_transit, *self.donations())

    def donations(self) -> tuple[int, int]:
        """How many donations are registered, and what they sum up to."""
        registered, raised_sat = self._row(self._sql["donations"])
        return registered, raised_sat

    def is_registered(self, donation_id: str) -> bool:
        """Whether the donation counts."""
        return bool(self._row(self._sql["is_registered"], {"donation_id": donation_id})[0])

    def add_accounts(self, prefix: str, count: int, amount_sat: int) -> None:
        """Store accounts `<prefix>0` to `<prefix><count - 1>` that hold *amount_sat* each, as if deposited."""
        values = {"prefix": prefix, "count": count, "amount_sat": amount_sat}
        with translated():
            with self._connection.transaction():
                for statement in ("add_accounts", "add_opening_deposits"):
                    self._connection.execute(self._sql[statement], values)
            self._connection.execute("VACUUM (ANALYZE) accounting.accounts, accounting.ledger")

    def add_pending_events(self, prefix: str, count: int) -> None:
        """Put events into the outbox of accounting, in one transaction, and wake the relay."""
        values = {"prefix": prefix, "count": count, "accounts": RELAYED_ACCOUNTS}
        with translated():
            self._connection.execute(self._sql["add_pending_events"], values)
            self._connection.execute(hint_statement("accounting").query)

    def pending_span(self) -> int:
        """How many positions lie between the first and the last event that waits in the outbox of accounting."""
        first, last = self._row(self._sql["pending_positions"])
        return 0 if first is None else last - first + 1

    def waiting_events(self) -> int:
        """Events in all outboxes."""
        return sum(int(self._row(statements["waiting"])[0]) for statements in self._by_context.values())

    @contextmanager
    def idle_in_transaction(self) -> Iterator[None]:
        """Another session that holds a snapshot and a transaction id and does nothing."""
        with translated(), closing(psycopg.connect(self._dsn)) as holder:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute(self._sql["hold"])
            yield
            holder.rollback()

    def clean_up(self) -> None:
        """Remove what is dead from all tables."""
        with translated():
            self._connection.execute("VACUUM")

    def make_database(self, name: str) -> str:
        """Make an empty database, in place of one that is there, and give its DSN."""
        with translated():
            for statement in (sql.SQL("DROP DATABASE IF EXISTS {}"), sql.SQL("CREATE DATABASE {}")):
                self._connection.execute(statement.format(sql.Identifier(name)))
        return make_conninfo(self._dsn, dbname=name)

    def _row(self, query: bytes, params: Mapping[str, object] | None = None) -> Row:
        with translated():
            row = self._connection.execute(query, params).fetchone()
        return () if row is None else row


class ReferenceTables:
    """The tables of the reference in a database of their own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def make(self) -> None:
        """Make them and fill in the accounts."""
        with translated(), psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(load(__package__, "bench_reference.sql")["make"])

    def empty(self) -> None:
        """Forget what a run has written, so that nothing of it has to be cleaned up during the next workload."""
        with translated(), psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("TRUNCATE inbox, outbox")
            connection.execute("VACUUM (FULL, ANALYZE) accounts")


def libpq_environment(dsn: str) -> dict[str, str]:
    """The DSN as the environment variables that programs of Postgres read: a password is not for command lines."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    return {names[key]: str(value) for key, value in conninfo_to_dict(dsn).items() if key in names}
