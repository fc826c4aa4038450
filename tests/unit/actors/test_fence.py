"""An actor whose place is somebody else's ends itself; one that is asked, or is still in its place, does not."""

from __future__ import annotations

import pytest

from spark_actors.actors.fence import Fence
from spark_actors.actors.tuning import FENCE_LOOK_SECONDS, UNASKED_SECONDS, UNSURE_SECONDS
from spark_actors.kernel.errors import StorageUnavailableError


class Life:
    """An actor of incarnation 3, its fence, and the world around it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.newest = 3
        self.is_away = False
        self.looks = 0
        self.has_ended = False
        self.told = 0
        self.fence = Fence(
            "spark/auth/supervisor/0", 3, self._newest, tell=self._tell, end=self._end, now=lambda: self.now
        )

    def _newest(self) -> int:
        self.looks += 1
        if self.is_away:
            raise StorageUnavailableError("away")
        return self.newest

    def _tell(self) -> None:
        if self.is_away:
            raise StorageUnavailableError("away")
        self.told += 1

    def _end(self) -> None:
        self.has_ended = True

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until and not self.has_ended:
            self.now += self.fence.look()


@pytest.fixture
def life() -> Life:
    return Life()


def test_one_that_is_asked_does_not_look(life: Life) -> None:
    life.newest = 4
    for _ in range(10):
        life.now += UNASKED_SECONDS - 1
        life.fence.asked()
        assert life.fence.look() == UNASKED_SECONDS
    assert not life.looks
    assert not life.has_ended


def test_one_that_nobody_asks_looks_and_ends_if_it_has_a_successor(life: Life) -> None:
    life.newest = 4
    life.pass_time(UNASKED_SECONDS)
    assert not life.has_ended
    life.pass_time(FENCE_LOOK_SECONDS)
    assert (life.has_ended, life.told) == (True, 1)


def test_one_that_has_a_successor_ends_also_when_it_can_tell_nobody(life: Life) -> None:
    life.pass_time(UNASKED_SECONDS)

    def last_word() -> int:
        life.is_away = True
        return 4

    life.fence = Fence("spark/auth/supervisor/0", 3, last_word, tell=life._tell, end=life._end, now=lambda: life.now)
    life.pass_time(2 * UNASKED_SECONDS)
    assert (life.has_ended, life.told) == (True, 0)


def test_one_whose_place_is_no_more_ends_too(life: Life) -> None:
    life.newest = 0
    life.pass_time(2 * UNASKED_SECONDS)
    assert life.has_ended


def test_one_that_nobody_asks_stays_while_the_place_is_its_own_and_ends_when_it_is_not_any_more(life: Life) -> None:
    life.pass_time(100 * UNASKED_SECONDS)
    assert not life.has_ended
    life.newest = 4
    life.pass_time(2 * FENCE_LOOK_SECONDS)
    assert life.has_ended


def test_one_that_cannot_ask_the_store_ends_only_after_long(life: Life) -> None:
    life.is_away = True
    life.pass_time(UNSURE_SECONDS - UNASKED_SECONDS)
    assert not life.has_ended
    life.pass_time(2 * UNASKED_SECONDS)
    assert life.has_ended


def test_a_store_that_was_away_for_long_while_somebody_asked_is_no_reason(life: Life) -> None:
    life.is_away = True
    life.now += UNSURE_SECONDS
    life.fence.asked()
    life.fence.look()
    life.pass_time(2 * UNASKED_SECONDS)
    assert not life.has_ended


def test_one_word_of_the_store_makes_it_sure_again(life: Life) -> None:
    life.is_away = True
    life.pass_time(UNSURE_SECONDS - UNASKED_SECONDS)
    life.is_away = False
    life.pass_time(FENCE_LOOK_SECONDS)
    life.is_away = True
    life.pass_time(UNSURE_SECONDS - UNASKED_SECONDS)
    assert not life.has_ended
