"""The audit of the live databases: whether nothing is stuck, and whatever else the application wants to have checked.

Each schema is read in one snapshot, never two in one statement. What crosses contexts is compared page by page, in
Python. The snapshots are taken in the order that the application names: what is said first must be in what comes later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

import psycopg

from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import PATIENT, Limits, Row, SqlText, connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


@dataclass(frozen=True)
class Finding:
    """Something that is wrong."""

    subject: str
    """What it is about: an aggregate, a story, a message."""
    detail: str


@dataclass(frozen=True)
class Check:
    """One question of the audit, and what speaks against it."""

    name: str
    """A statement that is true when there are no findings."""
    findings: tuple[Finding, ...]
    """The first few, at most as many as were asked for."""
    is_alarming: bool = True
    """False for what is worth a look and still no fault, like a message that the ingress refused."""

    @property
    def is_passed(self) -> bool:
        return not (self.findings and self.is_alarming)


class Snapshot:
    """One schema as it was at one moment."""

    def __init__(self, connection: psycopg.Connection, schema: str, params: Mapping[str, object], limit: int) -> None:
        self._connection, self._params, self._limit = connection, params, limit
        self.messaging: Mapping[str, SqlText] = load_for("audit_messaging", schema)

    def check(self, name: str, statement: SqlText) -> Check:
        """A check whose statement gives the findings: rows of subject and detail, at most `%(limit)s`.

        It may speak of `%(stuck_after)s`, too.
        """
        return Check(name, tuple(Finding(*row) for row in self.rows(statement, limit=self._limit)))

    def compare(self, name: str, findings: Iterator[Finding]) -> Check:
        """A check whose findings are worked out by the caller."""
        return Check(name, tuple(islice(findings, self._limit)))

    def pages(self, statement: SqlText) -> Iterator[list[Row]]:
        """The rows of a statement in the order of their first column, page by page: `%(limit)s` behind `%(after)s`."""
        after = ""
        while page := self.rows(statement, after=after, limit=tuning.AUDIT_PAGE_ROWS):
            yield page
            after = page[-1][0]

    def rows(self, statement: SqlText, **params: object) -> list[Row]:
        """The rows of a statement."""
        return self._connection.execute(statement, {**self._params, **params}).fetchall()


@dataclass(frozen=True)
class OwnAudit:
    """What an application wants to have checked, beside what the runtime checks."""

    order: Sequence[str]
    """The contexts that it looks into, in the order in which their snapshots are taken."""
    checks: Callable[[Mapping[str, Snapshot]], Sequence[Check]]


def audit(
    dsn_by_schema: Mapping[str, str],
    contexts: Sequence[str],
    own: OwnAudit | None,
    *,
    stuck_after: timedelta = timedelta(minutes=5),
    limit: int = 20,
    limits: Limits = PATIENT,
) -> list[Check]:
    """Check the live databases; safe at any time, and it stops nobody. *contexts* are those with aggregates.

    What waits is stuck after *stuck_after*. At most *limit* findings for each check; *limits*: of its sessions.
    Raises StorageUnavailableError, or another StorageError.
    """
    order = [name for name in (INGRESS, *contexts) if not own or name not in own.order] + list(own.order if own else ())
    with translated(), ExitStack() as stack:
        snapshots = {
            schema: stack.enter_context(_snapshot(dsn_by_schema[schema], schema, stuck_after, limit, limits))
            for schema in order
        }
        return [*(own.checks(snapshots) if own else ()), *_messaging_checks(snapshots, contexts)]


@contextmanager
def _snapshot(dsn: str, schema: str, stuck_after: timedelta, limit: int, limits: Limits) -> Iterator[Snapshot]:
    with connect(dsn, limits, prepare_threshold=None) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("SELECT 1 FROM pg_class LIMIT 1")  # the first statement takes the snapshot
        yield Snapshot(connection, schema, {"stuck_after": stuck_after}, limit)


def _messaging_checks(snapshots: Mapping[str, Snapshot], contexts: Sequence[str]) -> list[Check]:
    asked = {
        "no saga is late unseen": "unseen_overdue_sagas",
        "nothing is stuck in the outbox": "stuck_messages",
        "every event was taken": "dead_letters",
    }
    refused = snapshots[INGRESS].check("", snapshots[INGRESS].messaging["dead_letters"])
    return [
        *(
            snapshots[name].check(f"{name}: {question}", snapshots[name].messaging[statement])
            for question, statement in asked.items()
            for name in contexts
        ),
        Check("ingress: every message was understood", refused.findings, is_alarming=False),
    ]
