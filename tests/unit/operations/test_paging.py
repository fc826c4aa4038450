"""Pages of a list over several contexts: together they are the list, whatever their size, and nothing comes twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from spark_actors.operations.paging import Line, UnknownPlaceInListError, line_of, page

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTEXTS = ("a", "b", "c")


def lines(chance: Random) -> list[Line]:
    """Many of them at the same moment, in several contexts."""
    made = {
        (chance.randrange(3), chance.choice(CONTEXTS), (chance.choice("xyz"), chance.randrange(1, 4)))
        for _ in range(30)
    }
    return [Line(NOW + timedelta(seconds=second), context, rest) for second, context, rest in made]


def order(line: Line) -> tuple[Any, ...]:
    return (line.at, line.context, *line.rest)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_the_pages_of_a_list_are_the_list(limit: int, *, newest_first: bool) -> None:
    for seed in range(20):
        there = lines(Random(seed))

        def read(context: str, most: int, behind: Any, there: Sequence[Line] = there) -> Sequence[Line]:
            """As a table does: by the moment and the rest alone."""
            own = [(line.at, *line.rest) for line in there if line.context == context]
            left = [row for row in own if behind is None or (row < behind if newest_first else row > behind)]
            chosen = sorted(left, reverse=newest_first)[:most]
            return [Line(at, context, tuple(rest)) for at, *rest in chosen]

        seen: list[Line] = []
        after = ""
        while True:
            found, after = page(
                CONTEXTS, limit, line_of(after, str, int), read, lambda line: line, newest_first=newest_first
            )
            seen += found
            if not after:
                break
        assert seen == sorted(there, key=order, reverse=newest_first), seed


@pytest.mark.parametrize(
    "text", ["x", "W10=", Line(NOW, "a", ("x",)).text, Line(NOW, "a", (1, "x")).text, Line(NOW, "a", ("x", True)).text]
)
def test_what_no_such_list_has_given_is_refused(text: str) -> None:
    with pytest.raises(UnknownPlaceInListError, match="expected what the `next`"):
        line_of(text, str, int)
