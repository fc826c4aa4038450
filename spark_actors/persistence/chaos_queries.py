"""What the chaos run asks of the databases of the daemon that it hurts, and how it hurts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from spark_actors.persistence.connections import Row, conninfo
from spark_actors.persistence.errors import translated
from spark_actors.persistence.operator_views import MESSAGING_CONTEXTS
from spark_actors.persistence.statements import load, load_for


class ChaosQueries:
    """One connection to the database of a daemon that keeps all contexts in one. Calls raise StorageError."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        with translated():
            self._connection = psycopg.connect(conninfo(dsn), autocommit=True)
            # It must still be able to write when all others may only read.
            self._connection.execute("SET default_transaction_read_only = off")
        self._sql = load_for("chaos", "accounting")
        self._by_context = {
            context: load_for("chaos", context) for context in (*MESSAGING_CONTEXTS, "dashboard", "ingress")
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
        return dict(self._rows(self._sql["seen_balances" if seen else "balances"]))

    def campaigns(self, *, seen: bool = False) -> dict[str, tuple[int, int]]:
        """What each has raised and by how many donations; *seen*: as the read model has it."""
        rows = self._rows(self._sql["seen_donations" if seen else "donations"])
        return {campaign_id: (raised_sat, donations) for campaign_id, raised_sat, donations in rows}

    def registered(self) -> dict[str, tuple[str, int]]:
        """Campaign and satoshis of each registered donation."""
        rows = self._rows(self._sql["registered"])
        return {donation_id: (campaign_id, amount) for donation_id, campaign_id, amount in rows}

    def handled(self) -> dict[str, int]:
        """How often each message was handled, by all inboxes together."""
        handled: dict[str, int] = {}
        for context in MESSAGING_CONTEXTS:
            for message_id, times in self._rows(self._by_context[context]["handled"]):
                handled[message_id] = handled.get(message_id, 0) + times
        return handled

    def waiting(self) -> list[str]:
        """What has not come to an end: events, sagas, tasks for the Lightning node."""
        contexts = [row[0] for name in MESSAGING_CONTEXTS for row in self._rows(self._by_context[name]["waiting"])]
        return [*contexts, *(row[0] for row in self._rows(self._sql["tasks"]))]

    def letters(self) -> list[str]:
        """Messages that were given up."""
        contexts = (*MESSAGING_CONTEXTS, "ingress")
        return [" ".join(row) for context in contexts for row in self._rows(self._by_context[context]["letters"])]

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
        for context in MESSAGING_CONTEXTS:
            self._execute(self._by_context[context]["make_refusal"])
            self._execute(self._by_context[context]["accept"])
            text = load("chaos")["refuse"].replace("%(state)s", "{state}").replace("%(share)s", "{share}")
            query = sql.SQL(text).format(
                schema=sql.Identifier(context), state=sql.Literal(state), share=sql.Literal(str(share))
            )
            self._execute(query.as_bytes(None))
        try:
            yield
        finally:
            for context in MESSAGING_CONTEXTS:
                self._execute(self._by_context[context]["accept"])

    @contextmanager
    def idle_in_transaction(self) -> Iterator[None]:
        """Another session holds a snapshot, a transaction id and a lock on an outbox row's table, and does nothing."""
        with translated(), psycopg.connect(self._dsn) as holder:  # without limits
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT pg_current_xact_id(), (SELECT count(*) FROM accounting.outbox)")
            yield
            holder.rollback()

    def _set_read_only(self, value: str) -> None:
        database = sql.Identifier(str(conninfo_to_dict(self._dsn)["dbname"]))
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        self._execute(setting.format(database, sql.SQL(value)).as_bytes(None))
        self.cut()  # sessions that are open keep what they began with

    def _rows(self, query: bytes, params: Mapping[str, Any] | None = None) -> list[Row]:
        with translated():
            return self._connection.execute(query, params).fetchall()

    def _execute(self, query: bytes) -> None:
        with translated():
            self._connection.execute(query)
