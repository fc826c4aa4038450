"""Tells how much the Lightning node can spend, and raises the alarm when that is less than what it is to send.

It goes by what waits, not by all that users own: that is a metric of the accounting context. How the operator learns of
less than that, `docs/operations.md` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog
from psycopg_pool import AsyncConnectionPool

from domain.bitcoin.hot_wallet import HotWallet, UnderWay
from domain.bitcoin.ports import LightningError, LightningNode
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import BooksMeasured, OutsideMeasured
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load

BALANCE_SECONDS = 60.0
"""How often the node is asked. May be changed: it costs a call each."""

_SQL = load("domain.bitcoin.adapters", "under_way.sql")

log = structlog.get_logger(__name__)


class Withdrawals(Protocol):
    """What of the books the node is still to send."""

    async def under_way(self) -> UnderWay:
        """Raises StorageError."""


class PostgresWithdrawals:
    """Port `Withdrawals`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def under_way(self) -> UnderWay:
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_SQL["under_way"])).fetchone()
        return UnderWay(*row) if row else UnderWay(0, 0)


class BalanceWatch:
    """Asks the node for its balance, now and then, and has it measured beside what is under way."""

    def __init__(
        self, node: LightningNode, withdrawals: Withdrawals, telemetry: Telemetry, *, call_timeout: timedelta
    ) -> None:
        self._node, self._withdrawals, self._telemetry = node, withdrawals, telemetry
        self._call_timeout = call_timeout
        self._short: HotWallet | None = None

    def warnings(self) -> Sequence[str]:
        """That the node is short, as long as it is."""
        return [str(self._short)] if self._short else []

    async def step(self) -> float:
        """Look at both; gives the seconds to wait. Raises StorageError."""
        balance_sat = await self._balance_sat()
        under_way = await self._withdrawals.under_way()
        self._telemetry(BooksMeasured("bitcoin", "in_flight_sat", under_way.in_flight_sat))
        self._telemetry(BooksMeasured("bitcoin", "to_send_sat", under_way.to_send_sat))
        if balance_sat is not None:
            self._telemetry(OutsideMeasured("lightning", "balance_sat", balance_sat))
            self._compare(HotWallet(balance_sat, under_way))
        return BALANCE_SECONDS

    async def _balance_sat(self) -> int | None:
        """None if the node does not say."""
        try:
            async with asyncio.timeout(self._call_timeout.total_seconds()):
                return await self._node.balance_sat()
        except (LightningError, TimeoutError) as error:
            log.info("balance_not_read", why=str(error) or f"no answer within {self._call_timeout}")
            return None

    def _compare(self, wallet: HotWallet) -> None:
        """Tell when the node becomes short, and when it is so no more; not what changes between."""
        was_short, self._short = self._short is not None, wallet if wallet.missing_sat else None
        numbers = {"balance_sat": wallet.balance_sat, "to_send_sat": wallet.under_way.to_send_sat}
        if self._short and not was_short:
            log.error("node_short", why=str(wallet), missing_sat=wallet.missing_sat, **numbers)
        elif was_short and not self._short:
            log.info("node_short_no_more", **numbers)
