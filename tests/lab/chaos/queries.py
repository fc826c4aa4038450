"""What the chaos run asks of the databases of the daemon that it hurts, and how it hurts them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.application import APPLICATION
from spark_actors.persistence.connections import Row, conninfo
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import filled, load

CONTEXTS = tuple(each.name for each in APPLICATION.writing)
"""Those with aggregates."""
MAINTENANCE = "postgres"
"""The database in which nothing is kept, to be connected to while another takes no connections."""


class ChaosQueries:
    """Connections to the databases of a daemon that keeps all contexts in one, the read models perhaps in another.

    Calls raise StorageError.
    """

    def __init__(self, dsn: Mapping[str, str]) -> None:
        self._dsn, self._views_dsn = dsn["accounting"], dsn["dashboard"]
        self._connection = _connected(self._dsn)
        self._sql = filled(load(__package__, "chaos.sql"), "accounting")
        self._by_context = {
            context: filled(load(__package__, "chaos.sql"), context) for context in (*CONTEXTS, "dashboard", "ingress")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def movements(self) -> dict[str, tuple[str, str, int]]:
        """The whole ledger: debit account, credit account and satoshis by idempotency key."""
        return {key: (debit, credit, amount) for key, debit, credit, amount in self._rows(self._sql["movements"])}

    def balances(self, *, seen: bool = False) -> dict[str, int]:
        """By account; *seen*: as the read model has them."""
        return dict(self._seen("seen_balances") if seen else self._rows(self._sql["balances"]))

    def campaigns(self, *, seen: bool = False) -> dict[str, tuple[int, int]]:
        """What each has raised and by how many donations; *seen*: as the read model has it."""
        rows = self._seen("seen_donations") if seen else self._rows(self._sql["donations"])
        return {campaign_id: (raised_sat, donations) for campaign_id, raised_sat, donations in rows}

    def registered(self) -> dict[str, tuple[str, int]]:
        """Campaign and satoshis of each registered donation."""
        rows = self._rows(self._sql["registered"])
        return {donation_id: (campaign_id, amount) for donation_id, campaign_id, amount in rows}

    def is_registered(self, donation_id: str) -> bool:
        """Whether the donation counts."""
        return bool(self._rows(self._sql["is_registered"], {"donation_id": donation_id})[0][0])

    def handled(self) -> dict[str, int]:
        """How often each message was handled, by all inboxes together."""
        handled: dict[str, int] = {}
        for context in CONTEXTS:
            for message_id, times in self._rows(self._by_context[context]["handled"]):
                handled[message_id] = handled.get(message_id, 0) + times
        return handled

    def waiting(self) -> list[str]:
        """What has not come to an end: events, those kept for who missed them, sagas, tasks."""
        return [row[0] for name in CONTEXTS for row in self._rows(self._by_context[name]["waiting"])]

    def letters(self) -> list[str]:
        """Messages that were given up."""
        contexts = (*CONTEXTS, "ingress")
        return [" ".join(row) for context in contexts for row in self._rows(self._by_context[context]["letters"])]

    def clients(self) -> set[int]:
        """The processes, other than this one, that say of themselves to have sessions."""
        return {int(pid) for (pid,) in self._rows(self._sql["clients"])} - {os.getpid()}

    def cut(self) -> int:
        """End every other session of the daemon's; how many."""
        return len(self._rows(self._sql["cut"]))

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """New transactions of others may only read, meanwhile."""
        self._set_read_only("on")
        try:
            yield
        finally:
            self._set_read_only("off")

    @contextmanager
    def refusing(self, state: str, share: float) -> Iterator[None]:
        """A share of the transactions that store events fails with this SQLSTATE, meanwhile."""
        for context in CONTEXTS:
            self._execute(self._by_context[context]["make_refusal"])
            self._execute(self._by_context[context]["accept"])
            text = (
                load(__package__, "chaos.sql")["refuse"].replace("%(state)s", "{state}").replace("%(share)s", "{share}")
            )
            query = sql.SQL(text).format(
                schema=sql.Identifier(context), state=sql.Literal(state), share=sql.Literal(str(share))
            )
            self._execute(query.as_bytes(None))
        try:
            yield
        finally:
            for context in CONTEXTS:
                self._execute(self._by_context[context]["accept"])

    @contextmanager
    def idle_in_transaction(self) -> Iterator[None]:
        """Another session holds a snapshot, a transaction id and a lock on an outbox row's table, and does nothing."""
        with translated(), psycopg.connect(self._dsn) as holder:  # without limits
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT pg_current_xact_id(), (SELECT count(*) FROM accounting.outbox)")
            yield
            holder.rollback()

    @contextmanager
    def account_locked(self, account_id: str) -> Iterator[None]:
        """Another session holds the row of an account, and does nothing."""
        with translated(), psycopg.connect(conninfo(self._dsn)) as holder:
            holder.execute(self._sql["lock_account"], {"account_id": account_id})
            yield
            holder.rollback()

    def waiting_for_locks(self) -> int:
        """How many sessions wait for a lock just now."""
        return int(self._rows(self._sql["waiting_for_locks"])[0][0])

    @contextmanager
    def views_away(self) -> Iterator[None]:
        """The database of the read models, which is one of their own, takes no connections meanwhile."""
        database = sql.Identifier(_name_of(self._views_dsn))
        setting = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with _connected(make_conninfo(self._views_dsn, dbname=MAINTENANCE)) as connection, translated():
            connection.execute(setting.format(database, sql.SQL("false")).as_bytes(None))
            try:
                connection.execute(self._sql["cut_database"], {"database": _name_of(self._views_dsn)})
                yield
            finally:
                connection.execute(setting.format(database, sql.SQL("true")).as_bytes(None))

    def _seen(self, statement: str) -> list[Row]:
        """Rows of the read models."""
        with _connected(self._views_dsn) as connection, translated():
            return connection.execute(self._sql[statement]).fetchall()

    def _set_read_only(self, value: str) -> None:
        database = sql.Identifier(_name_of(self._dsn))
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        self._execute(setting.format(database, sql.SQL(value)).as_bytes(None))
        self.cut()  # sessions that are open keep what they began with

    def _rows(self, query: bytes, params: Mapping[str, Any] | None = None) -> list[Row]:
        with translated():
            return self._connection.execute(query, params).fetchall()

    def _execute(self, query: bytes) -> None:
        with translated():
            self._connection.execute(query)


class Superuser:
    """A session that may do everything to the server of a daemon. Calls raise StorageError."""

    def __init__(self, dsn: str) -> None:
        self._connection = _connected(dsn)
        self._sql = load(__package__, "chaos.sql")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @contextmanager
    def turned_read_only(self) -> Iterator[None]:
        """Every session may only read meanwhile, those that are open too, and none is cut."""
        self._execute("turn_read_only", "reload")
        try:
            yield
        finally:
            self._execute("turn_back", "reload")

    def fill_log(self, segments: int) -> None:
        """Have the server begin so many new segments of its log."""
        for _ in range(segments):
            self._execute("write_to_log", "next_segment")

    def _execute(self, *names: str) -> None:
        with translated():
            for name in names:
                self._connection.execute(self._sql[name])


def as_superuser(dsn: str, role: str, password: str) -> str:
    """How that role reaches the same server."""
    return make_conninfo(dsn, user=role, password=password, dbname=MAINTENANCE)


def _connected(dsn: str) -> psycopg.Connection[Row]:
    with translated():
        connection = psycopg.connect(conninfo(dsn), autocommit=True)
        # It must still be able to write when all others may only read.
        connection.execute("SET default_transaction_read_only = off")
        return connection


def _name_of(dsn: str) -> str:
    """The database."""
    return str(conninfo_to_dict(dsn)["dbname"])
