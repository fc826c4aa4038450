"""One tree of actors hands over to another: what operators wish, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg.rows import class_row

from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.connections import connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.operator_desk import Operator
from spark_actors.persistence.statements import load_for


class HandOverState(StrEnum):
    """How far it has come."""

    WISHED = "wished"
    WARMING = "warming"
    """The new tree starts beside the old one, which works."""
    HANDING_OVER = "handing over"
    """The old one finishes what it has in hand; then the new one begins."""
    DONE = "done"
    REFUSED = "refused"
    """It did not come to be, and the old tree works on; the detail says why."""
    ABORTED = "aborted"


class HandOverUnderWayError(SparkError):
    """Another one is not through yet."""

    def __init__(self) -> None:
        super().__init__()

    def __str__(self) -> str:
        return "another upgrade or reload is under way: wait for it, or stop it with `spark-actors upgrade --abort`"


@dataclass(frozen=True)
class HandOver:
    """That another tree is to take over."""

    hand_over: int
    python: str
    """The interpreter of the release that is to take over; empty: the one that runs."""
    release: str
    state: str
    detail: str


class HandOverWatch:
    """Looks for wishes over one connection of its own. Not safe for threads."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._sql = load_for("hand_overs", INGRESS)["under_way"]
        self._connection: psycopg.Connection | None = None

    def wished(self) -> HandOver | None:
        """One that nobody has begun with. Raises StorageUnavailableError; the next call connects anew."""
        try:
            with translated():
                if self._connection is None or self._connection.closed:
                    self._connection = connect(self._dsn, autocommit=True)
                with self._connection.cursor(row_factory=class_row(HandOver)) as cursor:
                    found = cursor.execute(self._sql).fetchone()
        except Exception:
            self.close()
            raise
        return found if found and found.state == HandOverState.WISHED else None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class HandOvers:
    """At *dsn*, that of the ingress. Calls raise StorageError."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._sql = load_for("hand_overs", INGRESS)
        self._audit = load_for("operator_desk", INGRESS)["audit"]

    def wish(self, action: str, python: str, release: str, operator: Operator) -> int:
        """Gives its number. Raises HandOverUnderWayError."""
        try:
            return self._acted(action, "wish", {"python": python, "release": release}, operator, release)
        except psycopg.errors.UniqueViolation as error:
            raise HandOverUnderWayError from error

    def abort(self, operator: Operator) -> bool:
        """Whether there was one that could still be stopped."""
        return bool(self._acted("abort", "abort", {}, operator, ""))

    def under_way(self) -> HandOver | None:
        return self._one("under_way", {})

    def find(self, number: int) -> HandOver | None:
        return self._one("one", {"hand_over": number})

    def note(self, number: int, state: HandOverState, detail: str = "") -> bool:
        """Say how far it is; whether it was not aborted meanwhile."""
        about = {"hand_over": number, "state": state, "detail": detail}
        with translated(), connect(self._dsn, autocommit=True) as connection:
            return bool(connection.execute(self._sql["note"], about).rowcount)

    def give_up(self, why: str) -> None:
        """Whatever is wished, or under way, is not to be any more."""
        with translated(), connect(self._dsn, autocommit=True) as connection:
            connection.execute(self._sql["give_up"], {"detail": why})

    def _acted(self, action: str, statement: str, about: Mapping[str, object], operator: Operator, detail: str) -> int:
        """What the statement gives, or how many rows it changed; none: then nothing is audited."""
        audit = {**vars(operator), "action": action, "subscriber": "", "key": "", "message_id": "", "detail": detail}
        with connect(self._dsn, autocommit=False) as connection:
            cursor = connection.execute(self._sql[statement], about)
            row = cursor.fetchone() if cursor.description else None
            changed = int(row[0]) if row else cursor.rowcount
            if changed:
                connection.execute(self._audit, audit)
        return changed

    def _one(self, statement: str, about: Mapping[str, object]) -> HandOver | None:
        with (
            translated(),
            connect(self._dsn, autocommit=True) as connection,
            connection.cursor(row_factory=class_row(HandOver)) as cursor,
        ):
            return cursor.execute(self._sql[statement], about).fetchone()
