"""The floor of the relay's reads: it rises only over positions that can never show up again."""

from __future__ import annotations

from spark_actors.persistence.outbox import Floor
from spark_actors.persistence.tuning import RISE_DISTANCE


def test_it_stays_until_a_read_after_all_who_may_hold_lower_positions_have_ended() -> None:
    floor = Floor()
    floor.rise([1, 2_000])
    floor.note(["3/1", "4/1"])
    floor.rise([])
    assert floor.position == 0
    floor.note(["4/1"])
    floor.rise([])
    assert floor.position == 0
    floor.note(["4/2"])
    assert floor.position == 0
    floor.rise([])
    assert floor.position == 2_001


def test_it_never_passes_a_row_that_waits() -> None:
    floor = Floor()
    floor.rise([5, 2_000])
    floor.note([])
    floor.rise([2_500, 5])
    assert floor.position == 5


def test_what_was_seen_after_the_first_look_at_the_writers_does_not_count() -> None:
    floor = Floor()
    floor.rise([2_000])
    floor.note(["3/1"])
    floor.rise([9_000])
    floor.note([])
    floor.rise([])
    assert floor.position == 2_001


def test_writers_who_came_later_are_not_waited_for() -> None:
    floor = Floor()
    floor.rise([2_000])
    floor.note(["3/1"])
    floor.note(["3/2", "4/7"])
    floor.rise([])
    assert floor.position == 2_001


def test_writers_are_looked_at_only_when_it_is_worth_it() -> None:
    assert not Floor(seen=RISE_DISTANCE - 1).wants_writers
    assert Floor(seen=RISE_DISTANCE).wants_writers
    assert not Floor(position=1, seen=RISE_DISTANCE).wants_writers
    assert Floor(writers=frozenset({"3/1"})).wants_writers
    assert not Floor(seen=RISE_DISTANCE, writers=frozenset()).wants_writers
