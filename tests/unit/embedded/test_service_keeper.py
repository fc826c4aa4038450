"""A built-in service that ends by itself is started again, ever more slowly, and logged once."""

from __future__ import annotations

import logging

import pytest

from spark_actors.embedded.errors import ServiceFailedError
from spark_actors.embedded.keeping import ServiceKeeper
from spark_actors.embedded.tuning import REVIVAL_BACK_OFF


class FakeService:
    """A service that lives as the test says."""

    def __init__(self) -> None:
        self.has_ended = False
        self.is_ready = True
        self.choked = False
        self.revivals = 0
        self.error: Exception | None = None

    def is_choked(self) -> bool:
        return self.choked

    def revive(self) -> None:
        self.revivals += 1
        if self.error:
            raise self.error

    def last_words(self) -> str:
        return "exit code -9"


class Scene:
    def __init__(self) -> None:
        self.service = FakeService()
        self.now = 100.0
        self.keeper = ServiceKeeper("postgres", self.service, lambda: self.now)

    def look_for(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.keeper.look()
            self.now += 1


def test_a_service_that_is_well_is_left_alone() -> None:
    scene = Scene()
    scene.look_for(10)
    assert scene.service.revivals == 0
    assert scene.keeper.problem is None


def test_one_that_has_ended_is_started_at_once_and_counts_as_away_until_it_is_ready() -> None:
    scene = Scene()
    scene.service.has_ended, scene.service.is_ready = True, False
    scene.keeper.look()
    assert scene.service.revivals == 1
    scene.service.has_ended = False
    scene.keeper.look()
    assert scene.keeper.problem
    scene.service.is_ready = True
    scene.keeper.look()
    assert scene.keeper.problem is None


def test_one_that_cannot_start_is_tried_ever_more_slowly_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.service.has_ended, scene.service.error = True, ServiceFailedError("postgres", "no room")
    with caplog.at_level(logging.INFO):
        scene.look_for(20 * REVIVAL_BACK_OFF.longest_seconds)
    assert 20 <= scene.service.revivals <= 30
    assert "no room" in str(scene.keeper.problem)
    assert len(caplog.records) == 1


def test_one_that_is_choked_is_started_again_and_the_reason_is_told() -> None:
    scene = Scene()
    scene.service.choked, scene.service.is_ready = True, False
    scene.keeper.look()
    assert scene.service.revivals == 1
    assert "out of space" in str(scene.keeper.problem)
    scene.service.choked, scene.service.is_ready = False, True
    scene.keeper.look()
    assert scene.keeper.problem is None


def test_after_it_was_back_the_next_end_is_answered_at_once_again() -> None:
    scene = Scene()
    scene.service.has_ended = True
    scene.look_for(20)
    scene.service.has_ended = False
    scene.keeper.look()
    before, scene.service.has_ended, scene.now = (
        scene.service.revivals,
        True,
        scene.now + REVIVAL_BACK_OFF.longest_seconds,
    )
    scene.keeper.look()
    assert scene.service.revivals == before + 1
