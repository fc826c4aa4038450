"""When only a new start of the daemon helps."""

from __future__ import annotations

from spark_actors.telemetry.liveness import Liveness
from spark_actors.telemetry.tuning import LOOP_SECONDS, ROOT_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def begun() -> tuple[Liveness, Clock]:
    clock = Clock()
    liveness = Liveness(clock)
    liveness.begin()
    return liveness, clock


def test_starting_and_draining_are_alive_however_long_they_take() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    clock.now += 1_000
    assert liveness.problems() == []
    liveness.begin()
    liveness.end()
    clock.now += 1_000
    assert liveness.problems() == []


def test_a_main_loop_that_stands_still_is_a_reason_until_it_comes_round() -> None:
    liveness, clock = begun()
    clock.now += LOOP_SECONDS
    assert liveness.problems() == []
    clock.now += 1
    [problem] = liveness.problems()
    assert "main loop" in problem
    liveness.turn(root_answers=True)
    assert liveness.problems() == []


def test_a_root_that_is_silent_for_a_while_is_no_reason_and_for_long_is_one() -> None:
    liveness, clock = begun()
    for _ in range(int(ROOT_SECONDS)):
        clock.now += 1
        liveness.turn(root_answers=False)
        assert liveness.problems() == []
    clock.now += 1
    liveness.turn(root_answers=False)
    [problem] = liveness.problems()
    assert "root supervisor" in problem
    liveness.turn(root_answers=True)
    assert liveness.problems() == []
