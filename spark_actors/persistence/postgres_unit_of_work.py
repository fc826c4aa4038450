"""The unit of work on Postgres: everything a turn has decided goes out in one round trip, as one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from spark_actors.kernel.errors import ConstraintError, StaleVersionError
from spark_actors.messaging.unit_of_work import OperatorAction
from spark_actors.persistence.connections import Query, Statement, TurnConnection, Waiting
from spark_actors.persistence.inbox import PostgresInbox
from spark_actors.persistence.outbox import PostgresOutbox, hint_statement
from spark_actors.persistence.parking import PostgresParking
from spark_actors.persistence.repositories import PostgresRepository
from spark_actors.persistence.statements import load_for
from spark_actors.persistence.tables import AggregateTable, aggregate_statements

S = TypeVar("S")


@dataclass(frozen=True)
class _Sql:
    """A context's statements, made once."""

    aggregate: Mapping[str, Query]
    inbox: Mapping[str, Query]
    outbox: Mapping[str, Query]
    parking: Mapping[str, Query]
    letters: Mapping[str, Query]
    actions: Mapping[str, Query]
    hint: Statement


class PostgresUnitOfWork(Generic[S]):
    """Port `UnitOfWork`. Nothing reaches the server before `commit`, so there is nothing to undo without it.

    The inbox is asked first: a redelivered message is reported as such, and not by what else it would break.
    """

    def __init__(self, table: AggregateTable[S], sql: _Sql, connection: TurnConnection) -> None:
        self._table, self._connection, self._hint, self._sql = table, connection, sql.hint, sql
        self._marks, self._changes, self._events = list[Statement](), list[Statement](), list[Statement]()
        self._inbox = PostgresInbox(sql.inbox, connection, self._marks)
        self._repository = PostgresRepository(table, sql.aggregate, connection, self._changes)
        self._outbox = PostgresOutbox(sql.outbox, self._events)
        self._parked = list[Statement]()
        self._parking = PostgresParking(sql.parking, sql.letters, connection, self._parked)
        self._audited = list[Statement]()

    @property
    def repository(self) -> PostgresRepository[S]:
        return self._repository

    @property
    def inbox(self) -> PostgresInbox:
        return self._inbox

    @property
    def outbox(self) -> PostgresOutbox:
        return self._outbox

    @property
    def parking(self) -> PostgresParking:
        return self._parking

    def audit(self, actions: Sequence[OperatorAction]) -> None:
        alike: dict[tuple[str, str, str], list[OperatorAction]] = {}
        for action in actions:
            alike.setdefault((action.who, action.why, action.action), []).append(action)
        self._audited += [Statement(self._sql.actions["add"], _columns(group)) for group in alike.values()]

    def commit(self) -> None:
        queued = [*self._marks, *self._changes, *self._events, *self._parked, *self._audited]
        # The hint follows the commit: inside the transaction it would make all commits wait for each other.
        hints = [self._hint] if self._events else []
        self._forget()
        if queued:
            with self._broken_rules_named():
                self._connection.transact(queued, hints)

    @contextmanager
    def _broken_rules_named(self) -> Iterator[None]:
        """Have a constraint that refuses told by the domain's name for its rule."""
        try:
            yield
        except ConstraintError as error:
            if error.constraint == self._table.primary_key:
                raise StaleVersionError(error.detail) from error
            names = {rule.constraint: rule.name for rule in self._table.rules}
            raise ConstraintError(names.get(error.constraint, error.constraint), error.detail) from error

    def __enter__(self) -> PostgresUnitOfWork[S]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()

    def _forget(self) -> None:
        for queue in (self._marks, self._changes, self._events, self._parked, self._audited):
            queue.clear()


class PostgresUnitOfWorkFactory:
    """Port `UnitOfWorkFactory` for one context, with the one connection that its units of work share.

    Units of work of one factory follow each other; two at the same time are not promised to work.
    """

    def __init__(
        self,
        dsn: str,
        context: str,
        table: AggregateTable[Any],
        *,
        prepare_threshold: int | None = 5,
        waiting: Waiting = nullcontext,
    ) -> None:
        self._table = table
        self._sql = _Sql(
            aggregate_statements(table),
            load_for("inbox", context),
            load_for("outbox", context),
            load_for("parking", context),
            load_for("dead_letters", context),
            load_for("operator_actions", context),
            hint_statement(context),
        )
        self._connection = TurnConnection(dsn, prepare_threshold=prepare_threshold, waiting=waiting)

    def __call__(self) -> PostgresUnitOfWork[Any]:
        return PostgresUnitOfWork(self._table, self._sql, self._connection)

    def close(self) -> None:
        """Close the connection; the next unit of work makes another."""
        self._connection.close()


def _columns(actions: Sequence[OperatorAction]) -> dict[str, object]:
    """Of actions of one kind, by one and for one reason."""
    return {
        "who": actions[0].who,
        "why": actions[0].why,
        "action": actions[0].action,
        "keys": [action.key for action in actions],
        "message_ids": [action.message_id for action in actions],
        "details": [action.detail for action in actions],
    }
