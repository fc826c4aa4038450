"""The inbox on Postgres: messages are remembered for the retention at least, and forgotten by whole weeks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from spark_actors.kernel.decisions import Outcome, Verdict
from spark_actors.messaging.unit_of_work import Handled, InboxMark
from spark_actors.persistence.connections import SqlText, Statement, TurnConnection


class PostgresInbox:
    """Port `Inbox`. What is marked goes to *queue*, which the unit of work commits."""

    def __init__(self, sql: Mapping[str, SqlText], connection: TurnConnection, queue: list[Statement]) -> None:
        self._sql, self._connection, self._queue = sql, connection, queue

    def handled(self, message_ids: Sequence[str]) -> Mapping[str, Handled]:
        rows = self._connection.fetch(Statement(self._sql["handled"], {"message_ids": list(message_ids)}))
        found: dict[str, Handled] = {}
        for message_id, verdict, reason, data, digest in rows:  # near the end of a week one stands under both
            found.setdefault(message_id, Handled(Outcome(Verdict(verdict), reason, data or {}), digest))
        return found

    def mark(self, marks: Sequence[InboxMark]) -> None:
        if marks:
            self._queue.append(Statement(self._sql["mark"], _columns(marks)))


def _columns(marks: Sequence[InboxMark]) -> dict[str, object]:
    return {
        "message_ids": [mark.message_id for mark in marks],
        "verdicts": [mark.outcome.verdict for mark in marks],
        "reasons": [mark.outcome.reason for mark in marks],
        "keys": [mark.key for mark in marks],
        "digests": [mark.digest for mark in marks],
        "have_waited": all(mark.key is None for mark in marks),
        "data": [json.dumps(dict(mark.outcome.data)) if mark.outcome.data else None for mark in marks],
    }
