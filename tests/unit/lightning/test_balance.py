"""What the node can spend is measured beside what it is to send; less than that is told once, and so is its end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from structlog.testing import capture_logs

from domain.bitcoin.adapters.balance import BALANCE_SECONDS, BalanceWatch
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.hot_wallet import HotWallet, UnderWay
from domain.bitcoin.ports import LightningError
from spark_actors.messaging.telemetry import BooksMeasured, OutsideMeasured, TelemetryEvent
from spark_actors.telemetry.catalogue import BOOKS_AMOUNT, OUTSIDE_AMOUNT
from tests.fixtures.lightning import MemoryNodeBooks
from tests.fixtures.pages import ROOT, block

START = datetime(2026, 1, 1, tzinfo=UTC)
SHORT = "the Lightning node can spend 70 sat, withdrawals that wait to be sent take 100 sat: 30 sat are missing"


@pytest.mark.parametrize(
    ("balance_sat", "to_send_sat", "missing_sat"), [(70, 0, 0), (70, 70, 0), (70, 71, 1), (0, 100, 100), (0, 0, 0)]
)
def test_missing_is_what_waits_to_be_sent_and_is_not_there(
    balance_sat: int, to_send_sat: int, missing_sat: int
) -> None:
    assert HotWallet(balance_sat, UnderWay(1_000_000, to_send_sat)).missing_sat == missing_sat


@dataclass
class Scene:
    """A node with 70 satoshis, and withdrawals that wait to be sent."""

    to_send_sat: int = 0
    in_flight_sat: int = 0
    told: list[TelemetryEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = SimulatedSettings(funds_sat=70)
        self.node = SimulatedLightningNode(MemoryNodeBooks(), settings, clock=lambda: START, random=Random(1))
        self.watch = BalanceWatch(self.node, self, self.told.append, call_timeout=timedelta(seconds=5))

    async def under_way(self) -> UnderWay:
        return UnderWay(self.in_flight_sat or self.to_send_sat, self.to_send_sat)

    def look(self) -> Sequence[str]:
        """What is logged, by level and name."""
        with capture_logs() as lines:
            assert asyncio.run(self.watch.step()) == BALANCE_SECONDS
        return [f"{line['log_level']} {line['event']}" for line in lines]

    def is_silent(self) -> None:
        async def no_answer() -> int:
            raise LightningError("no answer")

        self.node.balance_sat = no_answer  # type: ignore[method-assign]

    def has(self, balance_sat: int) -> None:
        async def answer() -> int:
            return balance_sat

        self.node.balance_sat = answer  # type: ignore[method-assign]


def test_balance_and_what_is_under_way_are_measured_and_no_balance_when_the_node_does_not_answer() -> None:
    scene = Scene(to_send_sat=20, in_flight_sat=50)
    books = [BooksMeasured("bitcoin", "in_flight_sat", 50), BooksMeasured("bitcoin", "to_send_sat", 20)]
    assert scene.look() == []
    assert scene.told == [*books, OutsideMeasured("lightning", "balance_sat", 70)]
    scene.told.clear()
    scene.is_silent()
    assert scene.look() == ["info balance_not_read"]
    assert scene.told == books


def test_that_the_node_is_short_is_told_once_and_so_is_that_it_is_no_more() -> None:
    scene = Scene(to_send_sat=100)
    assert scene.watch.warnings() == []
    assert scene.look() == ["error node_short"]
    assert scene.watch.warnings() == [SHORT]
    assert scene.look() == []
    scene.to_send_sat = 110
    assert scene.look() == []
    assert scene.watch.warnings() == [SHORT.replace("100", "110").replace("30", "40")]
    scene.has(110)
    assert scene.look() == ["info node_short_no_more"]
    assert scene.watch.warnings() == []
    assert scene.look() == []
    scene.to_send_sat = 111
    assert scene.look() == ["error node_short"]


def test_the_alarm_says_the_numbers_in_words() -> None:
    with capture_logs() as lines:
        asyncio.run(Scene(to_send_sat=100).watch.step())
    numbers = {"balance_sat": 70, "to_send_sat": 100, "missing_sat": 30}
    assert lines == [{"event": "node_short", "log_level": "error", "why": SHORT, **numbers}]


def test_a_node_that_says_nothing_is_as_short_as_it_was() -> None:
    scene = Scene(to_send_sat=100)
    scene.look()
    scene.is_silent()
    assert scene.look() == ["info balance_not_read"]
    assert scene.watch.warnings() == [SHORT]


def test_the_alert_on_the_page_is_over_what_is_measured() -> None:
    alert = block(ROOT / "docs" / "operations.md", "sum(max by").text
    assert set(re.findall(r"spark_\w+", alert)) == {BOOKS_AMOUNT.name, OUTSIDE_AMOUNT.name}
    scene = Scene()
    scene.look()
    measured = {each.what for each in scene.told if isinstance(each, (BooksMeasured, OutsideMeasured))}
    assert set(re.findall(r"\w+_sat", alert)) == measured - {"in_flight_sat"} | {"owed_sat"}
