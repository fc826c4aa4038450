"""What operators look up in the tables of a running deployment. It reads, and never waits behind a writer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import class_row, dict_row

from spark_actors.kernel.sagas import SagaState
from spark_actors.messaging.ports import INGRESS, SagaRow
from spark_actors.persistence import tuning
from spark_actors.persistence.desk_sessions import Sessions, session_of_its_own
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


@dataclass(frozen=True)
class SagaFilter:
    """Which sagas are asked for; None lets everything through."""

    kinds: Sequence[str] | None = None
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


@dataclass(frozen=True)
class SagaCounts:
    """Sagas of one context. Counts stop at 100,000."""

    running: int
    overdue: int
    """Of those running."""
    failed: int
    """Of those that began within a day."""


@dataclass(frozen=True)
class SubscriberBacklog:
    """What one subscriber of a context has not had. Counts stop at 100,000."""

    subscriber: str
    missed_events: int = 0
    missed_oldest_age: timedelta = timedelta()
    parked_keys: int = 0
    parked_oldest_age: timedelta = timedelta()


SagaPlace: TypeAlias = tuple[datetime, str, str, str]
"""When a story began, its kind, its id and its correlation id: where a list goes on."""


class OperatorViews:
    """Reads the schemas, by name, that *dsn* says the place of: those of contexts with aggregates, and the ingress'.

    Calls raise StorageError.
    """

    def __init__(self, dsn: Mapping[str, str], sessions: Sessions = session_of_its_own) -> None:
        self._dsn = dsn
        self._sessions = sessions

    def sagas(
        self, context: str, wanted: SagaFilter, *, limit: int, after: SagaPlace | None = None
    ) -> Sequence[SagaRow]:
        """At most *limit* sagas of one context, the newest first, behind *after*."""
        names = ("after_at", "after_kind", "after_saga", "after_story")
        values = {**vars(wanted), **dict(zip(names, after or (None,) * 4, strict=True)), "limit": limit}
        with self._reading(context) as connection, connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(load_for("operator_views", context)["sagas"], values)
            return [SagaRow(**{**row, "state": SagaState(row["state"])}) for row in found]

    def saga_counts(self, context: str) -> SagaCounts:
        """How many sagas of one context are on their way, or have failed lately."""
        values = {"limit": tuning.COUNT_LIMIT}
        with self._reading(context) as connection:
            return SagaCounts(*_row(connection.execute(load_for("operator_views", context)["saga_counts"], values)))

    def subscribers(self, context: str) -> Sequence[SubscriberBacklog]:
        """What waits in one context for each subscriber for whom anything does."""
        sql, values = load_for("operator_views", context), {"limit": tuning.COUNT_LIMIT}
        found: dict[str, SubscriberBacklog] = {}
        with self._reading(context) as connection:
            for name, events, age in connection.execute(sql["missed"], values):
                found[name] = SubscriberBacklog(name, events, age)
            for name, keys, age in connection.execute(sql["parked"], values):
                known = found.get(name, SubscriberBacklog(name))
                found[name] = replace(known, parked_keys=keys, parked_oldest_age=age)
        return [found[name] for name in sorted(found)]

    def tasks(self, context: str, *, key: str | None, failing: bool, limit: int) -> Sequence[TaskRow]:
        """At most *limit* durable tasks of one context, those to be done for the longest time first."""
        values = {"key": key, "failing": failing, "limit": limit}
        with self._reading(context) as connection, connection.cursor(row_factory=class_row(TaskRow)) as cursor:
            return cursor.execute(load_for("operator_views", context)["tasks"], values).fetchall()

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
        with self._sessions(self._dsn[context]) as connection, translated():
            connection.execute("SET TRANSACTION READ ONLY")
            yield connection


def _row(cursor: psycopg.Cursor[Any]) -> Any:
    """The one row of a statement that counts."""
    row = cursor.fetchone()
    return () if row is None else row
