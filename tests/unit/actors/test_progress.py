"""Slow is not stuck: a turn that waits for the store is not held against the actor that takes it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.fence import Fence
from spark_actors.actors.ports import Report
from spark_actors.actors.progress import Progress
from spark_actors.actors.ray_actors import AggregateActor
from spark_actors.actors.tuning import SLOW_STORE_SECONDS, STORE_SECONDS, TURN_KEPT_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(clock)


def test_nothing_in_hand_is_never_stuck(progress: Progress, clock: Clock) -> None:
    with progress.turn(), progress.waiting():
        pass
    clock.now += 1_000
    assert progress.unmoved_seconds == 0


def test_a_turn_that_works_on_and_on_is_stuck(progress: Progress, clock: Clock) -> None:
    with progress.turn():
        clock.now += 7
        assert progress.unmoved_seconds == 7
        with progress.waiting():
            pass
        assert progress.unmoved_seconds == 0
        clock.now += 3
        assert progress.unmoved_seconds == 3


def test_a_wait_for_the_store_is_told_and_not_held_against_it_as_long_as_the_store_may_take(
    progress: Progress, clock: Clock
) -> None:
    with progress.turn(), progress.waiting():
        clock.now += STORE_SECONDS
        assert (progress.waits_for_store_seconds, progress.unmoved_seconds) == (STORE_SECONDS, 0)
        clock.now += 2
        assert progress.unmoved_seconds == 2


def test_a_turn_that_raises_is_no_longer_in_hand(progress: Progress, clock: Clock) -> None:
    with pytest.raises(OSError, match="away"), progress.turn(), progress.waiting():
        raise OSError("away")
    clock.now += 1_000
    assert progress.unmoved_seconds == 0


class HeldUp:
    """A plain AggregateActor whose turn ends when the test says so."""

    def __init__(self) -> None:
        self.began, self.goes_on = Event(), Event()

    def take_turn(self, context: str, payload: bytes, version: int) -> bytes:
        self.began.set()
        self.goes_on.wait()
        return payload


def test_an_actor_answers_beside_its_turn() -> None:
    plain = HeldUp()

    def build(progress: Progress) -> tuple[Any, Callable[[], bytes]]:
        return plain, lambda: b"metrics"

    def fence(incarnation: int) -> Fence:
        return Fence("spark/pool/aggregate/shared-0", incarnation, lambda: incarnation)

    actor: Any = AggregateActor("spark/pool/aggregate/shared-0", 1, build, fence)
    actor.start()
    turn = Thread(target=actor.take_turn, args=("accounting", b"", 0))
    turn.start()
    plain.began.wait()
    first, second = (msgspec.msgpack.decode(actor.report(None), type=Report).unmoved_seconds for _ in range(2))
    plain.goes_on.set()
    turn.join()
    assert 0 < first < second < SLOW_STORE_SECONDS
    assert msgspec.msgpack.decode(actor.report(None), type=Report).unmoved_seconds == 0


def test_a_turn_that_is_kept_for_somebody_is_nobody_elses(progress: Progress, clock: Clock) -> None:
    assert progress.keep("mine")
    assert not progress.keep("theirs")
    with pytest.raises(ActorUnavailableError), progress.turn():
        pass
    with progress.turn("mine"):
        assert not progress.keep("theirs")
    with pytest.raises(ActorUnavailableError), progress.turn("mine"):
        pass  # it is not kept any more: others may come before
    with progress.turn():
        pass
    assert progress.keep("theirs")
    clock.now += TURN_KEPT_SECONDS
    with progress.turn():
        pass
