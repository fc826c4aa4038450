"""What comes in floods is told at a bounded rate, and each burst with its sum."""

from __future__ import annotations

from structlog.testing import capture_logs

from spark_actors.actors.bursts import QUIET_SECONDS, BurstLog


class Scene:
    """A log with a clock of its own."""

    def __init__(self) -> None:
        self.moment = 0.0
        self.log = BurstLog("refused", lambda: self.moment)

    def told(self, *moments: float, reason: str = "forbidden") -> list[tuple[str, int]]:
        """What is logged when one comes at each of these moments, with a look at what has ended before each."""
        with capture_logs() as lines:
            for self.moment in moments:
                self.log.settle()
                self.log.note(reason, last="why")
        return [(line["event"], line["count"]) for line in lines]

    def settled(self, moment: float) -> list[tuple[str, str, int]]:
        self.moment = moment
        with capture_logs() as lines:
            self.log.settle()
        return [(line["event"], line["reason"], line["count"]) for line in lines]


def test_a_line_tells_the_first_and_then_how_many_came_since() -> None:
    assert Scene().told(0.0, 1.0, 9.0, QUIET_SECONDS, QUIET_SECONDS + 1) == [("refused", 1), ("refused", 3)]


def test_a_burst_ends_in_its_sum_when_nothing_more_comes() -> None:
    scene = Scene()
    scene.told(*[0.0] * 100)
    assert scene.settled(QUIET_SECONDS - 0.1) == []
    assert scene.settled(QUIET_SECONDS) == [("refused_in_all", "forbidden", 100)]
    assert scene.settled(99 * QUIET_SECONDS) == []


def test_one_that_stays_alone_is_told_once() -> None:
    scene = Scene()
    assert scene.told(0.0) == [("refused", 1)]
    assert scene.settled(QUIET_SECONDS) == []


def test_each_reason_has_bursts_of_its_own() -> None:
    scene = Scene()
    scene.told(0.0, 0.0)
    scene.told(5.0, 5.0, 5.0, reason="not_json")
    assert scene.settled(QUIET_SECONDS) == [("refused_in_all", "forbidden", 2)]
    assert scene.settled(QUIET_SECONDS + 5) == [("refused_in_all", "not_json", 3)]


def test_a_burst_that_nobody_saw_end_is_summed_up_before_the_next_begins() -> None:
    scene = Scene()
    scene.told(0.0, 0.0)
    with capture_logs() as lines:
        scene.moment = 3 * QUIET_SECONDS
        scene.log.note("forbidden")
    assert [(line["event"], line["count"]) for line in lines] == [("refused_in_all", 2), ("refused", 1)]


def test_in_the_end_all_are_summed_up() -> None:
    scene = Scene()
    scene.told(0.0, 1.0)
    with capture_logs() as lines:
        scene.log.close()
    assert [line["count"] for line in lines] == [2]
