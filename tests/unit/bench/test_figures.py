"""Medians, percentiles and slices are what their names say."""

from __future__ import annotations

import pytest

from tests.lab.bench.figures import last_of_first, percentile, slice_rates, spread


def test_the_spread_is_the_range_as_a_share_of_the_median() -> None:
    assert spread([90, 100, 120]) == pytest.approx(0.3)


def test_a_single_run_has_no_spread() -> None:
    assert spread([90]) == 0


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_an_even_pace_has_even_slices() -> None:
    samples = [(second / 10, 1_000 - second * 10) for second in range(101)]
    assert slice_rates(samples, 4) == pytest.approx([100.0] * 4)


def test_slices_show_where_it_became_slower() -> None:
    samples = [(0.0, 200), (1.0, 100), (6.0, 0)]
    assert slice_rates(samples, 4) == pytest.approx([100, 100, 20, 20])


def test_one_leap_over_many_slices_is_spread_over_them() -> None:
    assert slice_rates([(0.0, 100), (2.0, 100), (2.5, 0)], 2) == pytest.approx([50 / 2.25, 50 / 0.25])


def test_the_end_is_compared_to_the_beginning_without_the_middle() -> None:
    assert last_of_first([100, 110, 90, 5, 5, 5, 80, 70, 75]) == pytest.approx(0.75)
