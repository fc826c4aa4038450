"""The floor of the relay's reads: it rises only over positions that can never show up again."""

from __future__ import annotations

from spark_actors.persistence.outbox import FENCE_DISTANCE, Floor


def test_it_stays_until_all_who_may_hold_lower_positions_have_ended() -> None:
    floor = Floor()
    floor.rise(horizon=10, waiting=[1, 2_000])
    assert floor.wants_fence
    floor.draw_fence(20)
    floor.rise(horizon=19, waiting=[])
    assert floor.position == 0
    floor.rise(horizon=20, waiting=[])
    assert floor.position == 2_001


def test_it_never_passes_a_row_that_waits() -> None:
    floor = Floor()
    floor.rise(horizon=10, waiting=[5, 2_000])
    floor.draw_fence(20)
    floor.rise(horizon=30, waiting=[2_500, 5])
    assert floor.position == 5


def test_what_was_seen_after_the_fence_does_not_count() -> None:
    floor = Floor()
    floor.rise(horizon=10, waiting=[2_000])
    floor.draw_fence(20)
    floor.rise(horizon=15, waiting=[9_000])
    floor.rise(horizon=20, waiting=[])
    assert floor.position == 2_001


def test_a_fence_is_drawn_only_when_it_is_worth_it() -> None:
    assert not Floor(seen=FENCE_DISTANCE - 1).wants_fence
    assert Floor(seen=FENCE_DISTANCE).wants_fence
    assert not Floor(position=1, seen=FENCE_DISTANCE).wants_fence
    assert not Floor(seen=FENCE_DISTANCE, fence=20).wants_fence
