"""How far back the inbox remembers when the queue is older than the setting says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from spark_actors.ingress.queue_age import days_to_remember

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "days"),
    [
        (None, 7),
        (timedelta(hours=-1), 7),
        (timedelta(), 7),
        (timedelta(days=6), 7),
        (timedelta(days=6, seconds=1), 8),
        (timedelta(days=20), 21),
    ],
)
def test_it_remembers_a_day_further_back_than_the_oldest_command_is_old(age: timedelta | None, days: int) -> None:
    assert days_to_remember(7, None if age is None else NOW - age, NOW) == days
