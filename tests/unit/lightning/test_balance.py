"""What the node can spend is measured, and silence of the node is no amount."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from domain.bitcoin.adapters.balance import BALANCE_SECONDS, BalanceWatch
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.ports import LightningError
from spark_actors.messaging.telemetry import OutsideMeasured, TelemetryEvent
from tests.fixtures.lightning import MemoryNodeBooks

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_balance_is_measured_and_nothing_when_the_node_does_not_answer() -> None:
    told: list[TelemetryEvent] = []
    settings = SimulatedSettings(funds_sat=70)
    node = SimulatedLightningNode(MemoryNodeBooks(), settings, clock=lambda: START, random=Random(1))
    watch = BalanceWatch(node, told.append, call_timeout=timedelta(seconds=5))
    assert asyncio.run(watch.step()) == BALANCE_SECONDS
    assert told == [OutsideMeasured("lightning", "balance_sat", 70)]

    async def no_answer() -> int:
        raise LightningError("no answer")

    node.balance_sat = no_answer  # type: ignore[method-assign]
    assert asyncio.run(watch.step()) == BALANCE_SECONDS
    assert len(told) == 1
