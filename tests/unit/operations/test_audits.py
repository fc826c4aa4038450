"""Audits beside the work: one at a time, the last is remembered, and a fresh one is not made again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.operations.audits import FRESH, Audits
from spark_actors.persistence.audit import Check, Finding
from tests.fixtures.daemon import eventually

WRONG = Check("every balance equals its entries", (Finding("ann", "5, not 6"),))
WORTH_A_LOOK = Check("every message was understood", (Finding("m", "typo"),), is_alarming=False)


class Scene:
    """Audits that end when the test says so, by a clock of its own."""

    def __init__(self, *checks: Check, error: Exception | None = None) -> None:
        self.checks, self.error = checks, error
        self.made = 0
        self.gate = Event()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.audits = Audits(self.make, lambda: self.now)

    def make(self) -> Sequence[Check]:
        self.made += 1
        if not self.gate.wait(30):
            raise TimeoutError
        if self.error:
            raise self.error
        return self.checks

    def run(self) -> None:
        self.audits.state(is_to_run=True)
        self.gate.set()
        assert eventually(lambda: not self.audits.state(is_to_run=False).is_running)


def test_one_is_made_at_a_time_and_a_fresh_one_is_given_instead_of_another() -> None:
    scene = Scene(WORTH_A_LOOK)
    assert [scene.audits.state(is_to_run=True).is_running for _ in range(3)] == [True] * 3
    scene.run()
    assert scene.made == 1
    assert not scene.audits.state(is_to_run=True).is_running
    scene.now += FRESH
    scene.run()
    assert scene.made == 2


def test_who_only_looks_has_none_made() -> None:
    scene = Scene()
    state = scene.audits.state(is_to_run=False)
    assert (state.is_running, state.ended_at, state.is_passed, scene.made) == (False, None, None, 0)


def test_what_is_wrong_is_told_and_what_is_worth_a_look_is_no_fault() -> None:
    scene = Scene(WRONG, WORTH_A_LOOK)
    scene.now += timedelta(hours=1)
    scene.run()
    state = scene.audits.state(is_to_run=False)
    assert (state.is_passed, state.ended_at) == (False, scene.now)
    assert [(check.is_passed, check.findings[0].subject) for check in state.checks] == [(False, "ann"), (True, "m")]


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), KeyError("a bug")])
def test_one_that_cannot_be_made_says_why_and_the_next_can(error: Exception) -> None:
    scene = Scene(error=error)
    scene.run()
    state = scene.audits.state(is_to_run=False)
    assert (state.is_passed, state.checks) == (None, ())
    assert str(error) in state.problem
    scene.error = None
    scene.now += FRESH
    scene.run()
    assert scene.audits.state(is_to_run=False).is_passed
