"""What operators look up in the tables of a running deployment. It reads, and never waits behind a writer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row

from spark_actors.kernel.sagas import SagaState
from spark_actors.messaging.ports import INGRESS, SagaRow
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


@dataclass(frozen=True)
class SagaFilter:
    """Which sagas are asked for; None lets everything through."""

    kind: str | None = None
    saga_id: str | None = None
    state: SagaState | None = None
    overdue: bool = False
    """Only those that run past their deadline."""


@dataclass(frozen=True)
class Backlog:
    """What waits in one context. Counts stop at 100,000."""

    context: str
    outbox_pending: int
    outbox_oldest_age: timedelta
    dead_letters: int
    missed_events: int = 0
    """By subscribers that are away or far behind; each counts on its own."""
    tasks: int = 0
    """Durable tasks that could be done now."""
    parked_keys: int = 0
    parked_messages: int = 0
    parked_oldest_age: timedelta = timedelta()


@dataclass(frozen=True)
class TaskRow:
    """A durable task as operators see it."""

    task_id: str
    name: str
    """Wire name."""
    key: str
    since: datetime
    """From when on it is to be done."""
    due_at: datetime
    """When it is tried next."""
    attempts: int
    problem: str
    correlation_id: str


class OperatorViews:
    """Reads the schemas, by name, that *dsn* says the place of: those of contexts with aggregates, and the ingress'.

    Calls raise StorageError.
    """

    def __init__(self, dsn: Mapping[str, str]) -> None:
        self._dsn = dsn

    def sagas(self, wanted: SagaFilter, *, limit: int) -> Sequence[SagaRow]:
        """At most *limit* sagas of all contexts, the newest first."""
        values = {**vars(wanted), "limit": limit}
        rows: list[SagaRow] = []
        for context in self._dsn.keys() - {INGRESS}:
            with self._reading(context) as connection, connection.cursor(row_factory=dict_row) as cursor:
                found = cursor.execute(load_for("operator_views", context)["sagas"], values)
                rows += [SagaRow(**{**row, "state": SagaState(row["state"])}) for row in found]
        return sorted(rows, key=lambda row: row.started_at, reverse=True)[:limit]

    def tasks(self, *, context: str | None, key: str | None, failing: bool, limit: int) -> Sequence[TaskRow]:
        """At most *limit* durable tasks of all contexts, or of one, those to be done for the longest time first."""
        values = {"key": key, "failing": failing, "limit": limit}
        rows: list[TaskRow] = []
        for name in (self._dsn.keys() - {INGRESS}) & ({context} if context else self._dsn.keys()):
            with self._reading(name) as connection, connection.cursor(row_factory=class_row(TaskRow)) as cursor:
                rows += cursor.execute(load_for("operator_views", name)["tasks"], values)
        return sorted(rows, key=lambda row: row.since)[:limit]

    def backlogs(self) -> Sequence[Backlog]:
        """What waits, by context."""
        return [self._backlog(context) for context in self._dsn]

    def _backlog(self, context: str) -> Backlog:
        sql, values = load_for("operator_views", context), {"limit": tuning.COUNT_LIMIT}
        with self._reading(context) as connection:
            has_outbox = context != INGRESS
            pending, age = _row(connection.execute(sql["outbox"], values)) if has_outbox else (0, timedelta())
            waits = _row(connection.execute(sql["set_aside"], values)) if has_outbox else ()
            (letters,) = _row(connection.execute(sql["dead_letters"], values))
        return Backlog(context, pending, age, letters, *waits)

    @contextmanager
    def _reading(self, context: str) -> Iterator[psycopg.Connection[Any]]:
        with (
            translated(),
            connect(
                self._dsn[context], connect_timeout=tuning.OPERATOR_CONNECT_SECONDS, prepare_threshold=None
            ) as connection,
        ):
            connection.read_only = True
            yield connection


def _row(cursor: psycopg.Cursor[Any]) -> Any:
    """The one row of a statement that counts."""
    row = cursor.fetchone()
    return () if row is None else row
