"""A key keeps its bucket for ever, and a change of the number of slots moves no more buckets than it must."""

from __future__ import annotations

from collections import Counter

import pytest

from spark_actors.messaging.buckets import BUCKETS, bucket_of, slots_by_bucket


def test_a_key_has_the_same_bucket_for_ever() -> None:
    """Numbers that stand in subjects and in shards' bounds: nobody may change them."""
    assert [bucket_of(key) for key in ("ada", "campaign-17", "@lightning", "d'Artagnan", "Zoë")] == [
        1896,
        3160,
        3560,
        3684,
        554,
    ]


@pytest.mark.parametrize("slots", [1, 2, 3, 8, 16, 33])
def test_every_slot_has_about_its_share(slots: int) -> None:
    shares = Counter(slots_by_bucket(slots))
    assert set(shares) == set(range(slots))
    assert max(shares.values()) <= 1.25 * BUCKETS / slots


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (2, 6), (8, 9), (16, 17)])
def test_with_more_slots_only_the_new_ones_get_buckets_and_only_their_share(before: int, after: int) -> None:
    changed = [new for old, new in zip(slots_by_bucket(before), slots_by_bucket(after), strict=True) if old != new]
    assert all(slot >= before for slot in changed)
    assert len(changed) <= 1.1 * BUCKETS * (after - before) / after


def test_with_fewer_slots_again_every_bucket_is_where_it_was() -> None:
    before, more = slots_by_bucket(2), slots_by_bucket(6)
    assert [old for old, new in zip(before, more, strict=True) if new < 2] == [new for new in more if new < 2]
    assert slots_by_bucket(2) == before
