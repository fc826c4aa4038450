"""A node joins a head only when both run the same, and is told what differs."""

from __future__ import annotations

import pytest

from spark_actors.embedded.errors import NodeMismatchError
from spark_actors.embedded.ray_node import refuse_mismatch

SAME = {"release": "1.2.0", "Python": "3.11.9", "Ray": "2.60.0"}


def test_a_node_that_runs_the_same_may_join() -> None:
    refuse_mismatch(SAME, {**SAME, "more": "than this node knows"})


@pytest.mark.parametrize(("what", "there"), [("release", "1.3.0"), ("Python", "3.11.2"), ("Ray", "2.61.0")])
def test_what_differs_is_told_by_name_with_both_sides(what: str, there: str) -> None:
    with pytest.raises(NodeMismatchError) as told:
        refuse_mismatch(SAME, {**SAME, what: there})
    assert (told.value.what, told.value.here, told.value.there) == (what, SAME[what], there)
    assert f"its {what} is {SAME[what]}, the head's is {there}" in str(told.value)


def test_what_a_head_does_not_tell_differs() -> None:
    with pytest.raises(NodeMismatchError, match="the head's is unknown"):
        refuse_mismatch(SAME, {})
