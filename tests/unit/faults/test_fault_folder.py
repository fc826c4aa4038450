"""Orders to fail: given by a test in one process, obeyed once by whichever process of the daemon comes by."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from domain.accounting.context import CONTEXT as ACCOUNTING
from domain.accounting.messages import Deposit
from domain.application import APPLICATION
from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.messages import DepositPaid
from domain.bitcoin.ports import LightningError
from spark_actors.kernel.decisions import Verdict
from spark_actors.messaging.crash_points import CrashPoint, pass_unharmed
from tests.fixtures.lightning import MemoryNodeBooks
from tests.lab.faults.folder import Deadly, FaultFolder, NodeMood, Strike
from tests.lab.faults.injected import ArmedPoints, DeadlyMessages, MoodyNode, ShiftedClock

POINT = CrashPoint.TURN_BEFORE_COMMIT
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> FaultFolder:
    return FaultFolder(tmp_path)


@pytest.fixture
def strikes(monkeypatch: pytest.MonkeyPatch) -> list[signal.Signals]:
    """What this process would have been struck with."""
    struck: list[signal.Signals] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: struck.append(number))
    return struck


def test_where_nothing_was_ordered_nothing_happens(folder: FaultFolder, strikes: list[signal.Signals]) -> None:
    ArmedPoints(folder)(POINT, "accounting")
    assert strikes == []
    assert folder.struck(POINT) is None


def test_a_process_is_struck_once_after_as_many_passes_as_were_ordered(
    folder: FaultFolder, strikes: list[signal.Signals]
) -> None:
    folder.arm(POINT, passes=2)
    points = ArmedPoints(folder)
    struck = []
    for _ in range(5):
        points(POINT, "accounting")
        struck.append(len(strikes))
    assert struck == [0, 0, 1, 1, 1]
    assert strikes == [signal.SIGKILL]
    assert folder.struck(POINT) == os.getpid()


def test_who_is_late_to_read_an_order_does_not_read_who_was_struck(folder: FaultFolder, tmp_path: Path) -> None:
    folder.arm(POINT, passes=2)
    with (tmp_path / "faults" / POINT).open() as opened:
        assert folder.take(POINT)
        assert opened.read() == "kill 2"
    assert folder.struck(POINT) == os.getpid()


def test_a_replacement_lives_until_it_is_ordered_anew(folder: FaultFolder, strikes: list[signal.Signals]) -> None:
    for _ in range(2):
        folder.arm(POINT, strike=Strike.STOP)
        for points in (ArmedPoints(folder), ArmedPoints(folder)):
            points(POINT)
    assert strikes == [signal.SIGSTOP, signal.SIGSTOP]


def test_a_process_that_is_struck_as_soon_as_it_was_ordered_is_remembered(
    folder: FaultFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def struck_at_once(draft: Path, target: Path) -> Path:
        done = rename(draft, target)
        if target.name == POINT:
            assert folder.take(POINT)
        return done

    monkeypatch.setattr(Path, "rename", struck_at_once)
    folder.arm(POINT)
    assert folder.struck(POINT) == os.getpid()


def test_an_order_with_a_detail_strikes_there_alone(folder: FaultFolder, strikes: list[signal.Signals]) -> None:
    folder.arm(CrashPoint.STEP_BEFORE_COMMANDS, "bitcoin.deposit-paid")
    points = ArmedPoints(folder)
    points(CrashPoint.STEP_BEFORE_COMMANDS, "auth.account-registered")
    assert strikes == []
    points(CrashPoint.STEP_BEFORE_COMMANDS, "bitcoin.deposit-paid")
    assert strikes == [signal.SIGKILL]


def test_what_was_disarmed_strikes_nobody(folder: FaultFolder, strikes: list[signal.Signals]) -> None:
    folder.arm(POINT)
    folder.disarm(POINT)
    ArmedPoints(folder)(POINT)
    assert strikes == []


def test_a_deadly_message_kills_each_process_that_handles_it_until_that_is_mended(
    folder: FaultFolder, strikes: list[signal.Signals]
) -> None:
    context = DeadlyMessages(folder).context(ACCOUNTING)
    deadly, harmless = (Deposit(account_id="ann", deposit_id=name, amount_sat=5) for name in ("d1", "d2"))
    folder.set_deadly(Deadly.COMMAND, "d1")
    for command in (deadly, harmless, deadly):
        context.commands[Deposit].missing(command, NOW)
    assert strikes == [signal.SIGKILL, signal.SIGKILL]
    folder.set_deadly(Deadly.COMMAND, "")
    assert context.commands[Deposit].missing(deadly, NOW).outcome.verdict is Verdict.DONE
    assert len(strikes) == 2


def test_a_deadly_event_kills_who_takes_its_saga_further_and_not_who_decides_its_commands(
    folder: FaultFolder, strikes: list[signal.Signals]
) -> None:
    context = DeadlyMessages(folder).context(ACCOUNTING)
    paid = DepositPaid(invoice_id="i1", account_id="ann", amount_sat=5)
    folder.set_deadly(Deadly.EVENT, "i1")
    (command,) = context.steps[DepositPaid](paid)
    assert strikes == [signal.SIGKILL]
    context.commands[Deposit].missing(command, NOW)
    assert strikes == [signal.SIGKILL]


def test_a_clock_is_off_by_what_was_ordered(folder: FaultFolder) -> None:
    clock = ShiftedClock(folder, lambda: NOW)
    assert clock() == NOW
    folder.shift_clock(timedelta(hours=-3))
    assert clock() == NOW - timedelta(hours=3)


@pytest.mark.parametrize(("mood", "made"), [(NodeMood.AWAY, 0), (NodeMood.DEAF, 0), (NodeMood.MUTE, 1)])
def test_a_node_that_does_not_answer_may_have_done_it_or_not(folder: FaultFolder, mood: NodeMood, made: int) -> None:
    async def play() -> int:
        paid_at_once = SimulatedSettings(payment_delay=timedelta())
        node = SimulatedLightningNode(MemoryNodeBooks(), paid_at_once, clock=lambda: NOW, random=Random(1))
        folder.set_mood(mood)
        with pytest.raises((LightningError, TimeoutError)):
            async with asyncio.timeout(0.2):
                await MoodyNode(folder, node).create_invoice(
                    invoice_id="i", amount_sat=700, memo="", expires_in=timedelta(hours=1)
                )
        return (await node.books()).received_sat // 700

    assert asyncio.run(play()) == made


def test_in_earnest_everything_stays_what_it_is(tmp_path: Path) -> None:
    def clock() -> datetime:
        return NOW

    earnest = APPLICATION.wrapping(tmp_path)
    assert earnest.pass_point is pass_unharmed
    assert earnest.clock(clock) is clock
    assert earnest.context(ACCOUNTING) is ACCOUNTING
