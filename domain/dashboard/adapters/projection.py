"""The projection on Postgres: a batch of events becomes rows of the read models in one transaction, one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.dashboard.projection import Occurrence, rows_of
from domain.dashboard.rows import (
    AccountSeen,
    ActivitySeen,
    CampaignSeen,
    DonationSeen,
    GiftSeen,
    InvoiceSeen,
    RowSeen,
    merged_rows,
)
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import Received
from spark_actors.persistence import statements
from spark_actors.persistence.errors import translated

_STATEMENTS: Mapping[type[RowSeen], str] = {
    AccountSeen: "merge_accounts",
    CampaignSeen: "merge_campaigns",
    DonationSeen: "merge_donations",
    InvoiceSeen: "merge_invoices",
    GiftSeen: "merge_gifts",
    ActivitySeen: "add_activity",
}
"""Tables in this order, rows in that of their keys: two writers lock alike, so they never deadlock."""

_Write: TypeAlias = tuple[LiteralString, Mapping[str, Sequence[Any]]]


class PostgresProjection:
    """Port `Projection` over a pool of connections to the dashboard's database.

    Events of a time that maintenance has made no partition for (yet, or any more) make their own.
    """

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        named = statements.load(__package__, "dashboard.sql")
        self._statements = {kind: named[name] for kind, name in _STATEMENTS.items()}
        self._make_partitions = named["make_activity_partitions"]

    async def apply(self, received: Sequence[Received]) -> None:
        rows = merged_rows(row for item in received for row in rows_of(item.event, _occurrence(item.envelope)))
        writes = [(text, _columns(kind, rows[kind])) for kind, text in self._statements.items() if kind in rows]
        if not writes:
            return
        with translated():
            try:
                await self._write(writes)
            except psycopg.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:
                    raise
                # No constraint was broken: a row found no partition.
                moments = [item.envelope.occurred_at for item in received]
                await self._write([(self._make_partitions, {"moments": moments}), *writes])

    async def _write(self, writes: Sequence[_Write]) -> None:
        async with self._pool.connection() as connection, connection.pipeline():
            await connection.execute("BEGIN")
            for text, columns in writes:
                await connection.execute(text, columns)
            await connection.execute("COMMIT")


def _occurrence(envelope: Envelope) -> Occurrence:
    return Occurrence(
        message_id=envelope.message_id,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        sequence=envelope.sequence,
        occurred_at=envelope.occurred_at,
        data=envelope.data.decode(),
    )


def _columns(kind: type[RowSeen], rows: Sequence[RowSeen]) -> Mapping[str, Sequence[Any]]:
    return dict(zip(kind._fields, map(list, zip(*rows, strict=True)), strict=True))
