"""Confirms what came in at the Lightning node while nobody looked: after an invoice had expired, or while all was down.

An invoice is watched as long as it is open, and for a while after that. This goes by the node's own list of what it has
received instead, from the place on to which it was read, however long ago that was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

import structlog
from psycopg_pool import AsyncConnectionPool

from domain.bitcoin.messages import ConfirmDeposit
from domain.bitcoin.ports import InvoiceStatus, LightningError, LightningNode, Receipt
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.ids import derived_id
from spark_actors.messaging.envelope import Envelope, encode_data
from spark_actors.messaging.ports import Clock, CommandSender
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load

T = TypeVar("T")

CATCH_UP_SECONDS = 10.0
"""How often the node is asked what it has received. May be changed: it costs a call each."""

_SQL = load("domain.bitcoin.adapters", "receipts.sql")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Unconfirmed:
    """A deposit that is not known to be paid."""

    invoice_id: str
    payment_hash: str
    correlation_id: str
    """Its story; empty if that was long ago."""


class ReceiptsRead(Protocol):
    """How far the node's list was read, and what is to be told of it. Calls raise StorageError."""

    async def cursor(self) -> str:
        """Where to go on; empty at first."""

    async def go_on_at(self, cursor: str) -> None:
        """All before this place was told durably."""

    async def unconfirmed(self, payment_hashes: Sequence[str]) -> Sequence[Unconfirmed]:
        """Those of these whose deposits are not paid yet, as far as is known here."""


class CatchUp:
    """Reads the node's list on and on. Every step may be done twice, also by two at once."""

    def __init__(
        self, node: LightningNode, read: ReceiptsRead, sender: CommandSender, *, call_timeout: timedelta, clock: Clock
    ) -> None:
        self._node, self._read, self._sender, self._clock = node, read, sender, clock
        self._call_timeout = call_timeout

    async def step(self) -> float:
        """Tell what has come in since the last step, then remember the place; gives the seconds to wait.

        What could not be told is told by the next step. Raises StorageError.
        """
        cursor = await self._read.cursor()
        try:
            incoming = await self._in_time(self._node.received(cursor))
            commands = [
                self._confirmation(each, receipt)
                for each in await self._read.unconfirmed(incoming.payment_hashes)
                if (receipt := await self._in_time(self._node.receipt(each.payment_hash))).status is InvoiceStatus.PAID
            ]
        except (LightningError, TimeoutError) as error:
            log.info("receipts_not_read", why=str(error) or f"no answer within {self._call_timeout}")
            return CATCH_UP_SECONDS
        replies = await self._sender.send(commands) if commands else []
        if any(reply.verdict in (Verdict.FAILED, Verdict.LOCKED) for reply in replies):
            return CATCH_UP_SECONDS
        if commands:
            log.info("deposits_caught_up", deposits=len(commands))
        if incoming.cursor == cursor:
            return CATCH_UP_SECONDS
        await self._read.go_on_at(incoming.cursor)
        return 0.0 if incoming.payment_hashes else CATCH_UP_SECONDS

    async def _in_time(self, answer: Awaitable[T]) -> T:
        async with asyncio.timeout(self._call_timeout.total_seconds()):
            return await answer

    def _confirmation(self, deposit: Unconfirmed, receipt: Receipt) -> Envelope:
        command = ConfirmDeposit(invoice_id=deposit.invoice_id, received_sat=receipt.received_sat)
        message_id = derived_id(deposit.payment_hash, command.TYPE.name)
        return Envelope(
            message_id=message_id,
            name=command.TYPE.name,
            version=command.TYPE.version,
            key=command.key,
            data=encode_data(command),
            correlation_id=deposit.correlation_id or message_id,
            causation_id="",
            occurred_at=self._clock(),
        )


class PostgresReceiptsRead:
    """Port `ReceiptsRead`, in the schema of the bitcoin context."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def cursor(self) -> str:
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_SQL["cursor"])).fetchone()
        return str(row[0]) if row else ""

    async def go_on_at(self, cursor: str) -> None:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(_SQL["go_on_at"], {"cursor": cursor})

    async def unconfirmed(self, payment_hashes: Sequence[str]) -> Sequence[Unconfirmed]:
        with translated():
            async with self._pool.connection() as connection:
                values = {"payment_hashes": list(payment_hashes)}
                rows = await (await connection.execute(_SQL["unconfirmed"], values)).fetchall()
        return [Unconfirmed(*row) for row in rows]
