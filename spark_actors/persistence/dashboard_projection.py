"""The projection on Postgres: a batch of events becomes rows of the read models in one transaction, one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString, TypeAlias

import msgspec
import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.dashboard.projection import Occurrence, rows_of
from domain.dashboard.rows import (
    AccountSeen,
    ActivitySeen,
    CampaignSeen,
    DonationSeen,
    InvoiceSeen,
    RowSeen,
    merged_rows,
)
from domain.shared.errors import MalformedMessageError
from domain.shared.messages import Event, MessageRegistry
from spark_actors.messaging.envelope import Envelope, decode_data
from spark_actors.persistence import statements
from spark_actors.persistence.errors import translated

_STATEMENTS: Mapping[type[RowSeen], str] = {
    AccountSeen: "merge_accounts",
    CampaignSeen: "merge_campaigns",
    DonationSeen: "merge_donations",
    InvoiceSeen: "merge_invoices",
    ActivitySeen: "add_activity",
}
"""Tables in this order, rows in that of their keys: two writers lock alike, so they never deadlock."""

_Write: TypeAlias = tuple[LiteralString, Mapping[str, Sequence[Any]]]


class PostgresProjection:
    """Port `Projection` over a pool of connections to the dashboard's database.

    Beyond the port it raises MessageError if an event cannot be understood. Events of a time that maintenance has made
    no partition for (yet, or any more) make their own.
    """

    def __init__(self, pool: AsyncConnectionPool, registry: MessageRegistry) -> None:
        self._pool, self._registry = pool, registry
        named = statements.load("dashboard")
        self._statements = {kind: named[name] for kind, name in _STATEMENTS.items()}
        self._make_partitions = named["make_activity_partitions"]

    async def apply(self, envelopes: Sequence[Envelope]) -> None:
        rows = merged_rows(row for envelope in envelopes for row in self._rows(envelope))
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
                moments = [envelope.occurred_at for envelope in envelopes]
                await self._write([(self._make_partitions, {"moments": moments}), *writes])

    async def _write(self, writes: Sequence[_Write]) -> None:
        async with self._pool.connection() as connection, connection.pipeline():
            await connection.execute("BEGIN")
            for text, columns in writes:
                await connection.execute(text, columns)
            await connection.execute("COMMIT")

    def _rows(self, envelope: Envelope) -> Sequence[RowSeen]:
        try:
            event = decode_data(self._registry, envelope)
        except msgspec.DecodeError as error:
            raise MalformedMessageError(envelope.name, str(error)) from error
        if not isinstance(event, Event):
            raise MalformedMessageError(envelope.name, "expected an event")
        return rows_of(event, _occurrence(envelope))


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
