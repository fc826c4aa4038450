"""The one back-off: ever longer, never longer than the longest, and with jitter where many may fail together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spark_actors.kernel.back_off import BackOff

SECONDS = st.floats(0, 1e6)
A_BACK_OFF = st.builds(BackOff, SECONDS, SECONDS, st.floats(1, 10), st.floats(0, 1))


def test_each_delay_is_the_factor_times_the_one_before_until_the_longest() -> None:
    assert [BackOff(0.5, 15).seconds_after(attempts) for attempts in range(1, 8)] == [0.5, 1, 2, 4, 8, 15, 15]
    assert [BackOff(4, 10, factor=1.5).seconds_after(attempts) for attempts in range(1, 5)] == [4, 6, 9, 10]


def test_the_jitters_part_of_a_delay_is_left_to_chance() -> None:
    back_off = BackOff(10, 60, jitter=0.5)
    assert [back_off.seconds_after(1, draw) for draw in (0.0, 0.5, 1.0)] == [10, 7.5, 5]
    assert [back_off.seconds_after(9, draw) for draw in (0.0, 0.5, 1.0)] == [60, 45, 30]


def test_a_factor_of_one_waits_the_same_each_time() -> None:
    assert {BackOff(3, 60, factor=1).seconds_after(attempts) for attempts in (1, 2, 1_000)} == {3}


@given(A_BACK_OFF, st.integers(1, 10**9), st.floats(0, 1))
def test_however_often_it_failed_the_delay_is_neither_negative_nor_longer_than_the_longest(
    back_off: BackOff, attempts: int, draw: float
) -> None:
    assert 0 <= back_off.seconds_after(attempts, draw) <= back_off.longest_seconds


@given(A_BACK_OFF, st.integers(1, 10_000))
def test_without_chance_no_delay_is_shorter_than_the_one_before(back_off: BackOff, attempts: int) -> None:
    assert back_off.seconds_after(attempts) <= back_off.seconds_after(attempts + 1)
