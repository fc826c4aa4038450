"""Figures of several runs: medians, spreads, percentiles and rates of slices. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

Sample = tuple[float, int]
"""A moment in seconds, and how much was left to do."""


def spread(values: Sequence[float]) -> float:
    """How far the lowest and the highest are apart, as a share of the median; 0 for a single value."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least *share* (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def slice_rates(samples: Sequence[Sample], slices: int) -> list[float]:
    """The rate in each of equal slices of the work, first to last; moments between samples are interpolated.

    *samples* are in order of time; the first has all the work left, the last has none.
    """
    total = samples[0][1]
    moments = [_moment(samples, total - total * number / slices) for number in range(slices + 1)]
    return [total / slices / max(1e-9, end - begin) for begin, end in pairwise(moments)]


def last_of_first(rates: Sequence[float]) -> float:
    """The rate at the end as a share of the rate at the beginning: medians of the last and the first third."""
    third = max(1, len(rates) // 3)
    return median(rates[-third:]) / median(rates[:third])


def _moment(samples: Sequence[Sample], left: float) -> float:
    """When no more than *left* was left."""
    before = samples[0]
    for sample in samples:
        if sample[1] <= left:
            gone = before[1] - sample[1]
            share = (before[1] - left) / gone if gone else 1.0
            return before[0] + (sample[0] - before[0]) * share
        before = sample
    return samples[-1][0]
