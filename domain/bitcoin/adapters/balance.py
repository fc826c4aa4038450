"""Tells how much the Lightning node can spend: when it runs short, withdrawals wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from domain.bitcoin.ports import LightningError, LightningNode
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import OutsideMeasured

BALANCE_SECONDS = 60.0
"""How often the node is asked. May be changed: it costs a call each."""

log = structlog.get_logger(__name__)


class BalanceWatch:
    """Asks the node for its balance, now and then, and has it measured."""

    def __init__(self, node: LightningNode, telemetry: Telemetry, *, call_timeout: timedelta) -> None:
        self._node, self._telemetry, self._call_timeout = node, telemetry, call_timeout

    async def step(self) -> float:
        try:
            async with asyncio.timeout(self._call_timeout.total_seconds()):
                balance_sat = await self._node.balance_sat()
        except (LightningError, TimeoutError) as error:
            log.info("balance_not_read", why=str(error) or f"no answer within {self._call_timeout}")
        else:
            self._telemetry(OutsideMeasured("lightning", "balance_sat", balance_sat))
        return BALANCE_SECONDS
