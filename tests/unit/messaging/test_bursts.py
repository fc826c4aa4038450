"""What comes in floods is told at a bounded rate, and each burst with its sum."""

from __future__ import annotations

from typing import Any

from spark_actors.messaging.bursts import BurstLog
from spark_actors.messaging.tuning import QUIET_SECONDS


class Scene:
    """A log with a clock of its own."""

    def __init__(self) -> None:
        self.moment = 0.0
        self.lines: list[tuple[str, str, int]] = []
        self.log = BurstLog("refused", self.tell, lambda: self.moment)

    def tell(self, event: str, *, reason: str, count: int, **last: Any) -> None:
        self.lines.append((event, reason, count))

    def told(self, *moments: float, reason: str = "forbidden") -> list[tuple[str, str, int]]:
        """What is told when one comes at each of these moments, with a look at what has ended before each."""
        for self.moment in moments:
            self.log.settle()
            self.log.note(reason, last="why")
        return self.taken()

    def settled(self, moment: float) -> list[tuple[str, str, int]]:
        self.moment = moment
        self.log.settle()
        return self.taken()

    def taken(self) -> list[tuple[str, str, int]]:
        taken, self.lines = self.lines, []
        return taken


FIRST, ALL = "refused", "refused_in_all"


def test_a_line_tells_the_first_and_then_how_many_came_since() -> None:
    told = Scene().told(0.0, 1.0, 9.0, QUIET_SECONDS, QUIET_SECONDS + 1)
    assert told == [(FIRST, "forbidden", 1), (FIRST, "forbidden", 3)]


def test_a_burst_ends_in_its_sum_when_nothing_more_comes() -> None:
    scene = Scene()
    scene.told(*[0.0] * 100)
    assert scene.settled(QUIET_SECONDS - 0.1) == []
    assert scene.settled(QUIET_SECONDS) == [(ALL, "forbidden", 100)]
    assert scene.settled(99 * QUIET_SECONDS) == []


def test_one_that_stays_alone_is_told_once() -> None:
    scene = Scene()
    assert scene.told(0.0) == [(FIRST, "forbidden", 1)]
    assert scene.settled(QUIET_SECONDS) == []


def test_each_reason_has_bursts_of_its_own() -> None:
    scene = Scene()
    scene.told(0.0, 0.0)
    scene.told(5.0, 5.0, 5.0, reason="not_json")
    assert scene.settled(QUIET_SECONDS) == [(ALL, "forbidden", 2)]
    assert scene.settled(QUIET_SECONDS + 5) == [(ALL, "not_json", 3)]


def test_a_burst_that_nobody_saw_end_is_summed_up_before_the_next_begins() -> None:
    scene = Scene()
    scene.told(0.0, 0.0)
    scene.moment = 3 * QUIET_SECONDS
    scene.log.note("forbidden")
    assert scene.taken() == [(ALL, "forbidden", 2), (FIRST, "forbidden", 1)]


def test_in_the_end_all_are_summed_up() -> None:
    scene = Scene()
    scene.told(0.0, 1.0)
    scene.log.close()
    assert scene.taken() == [(ALL, "forbidden", 2)]
