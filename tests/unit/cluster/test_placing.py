"""Where actors live: on usable nodes, in even shares, and where they are unless they must move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_actors.cluster.placing import Move, Place, choose, moves

NODES = ("n0", "n1", "n2", "n3")
PLACES = {
    place.name: place
    for place in (
        *(Place(f"shared-{number}", "aggregate", is_mobile=True) for number in range(7)),
        *(Place(f"context-{number}", "context") for number in range(4)),
    )
}
seats = st.dictionaries(st.sampled_from(sorted(PLACES)), st.sampled_from(NODES))
usable = st.lists(st.sampled_from(NODES), unique=True, min_size=1)
wishes = st.dictionaries(st.sampled_from(sorted(PLACES)), st.sampled_from(NODES), max_size=3)


def after(before: Mapping[str, str], planned: list[Move]) -> dict[str, str]:
    return {**before, **{move.place: move.node_id for move in planned}}


def leaving(before: Mapping[str, str], there: list[str]) -> set[str]:
    return set(before.values()) - set(there)


@given(seats, usable, wishes)
def test_every_actor_ends_up_on_a_usable_node(before: dict[str, str], there: list[str], wanted: dict[str, str]) -> None:
    planned = moves(PLACES.values(), before, there, leaving(before, there), wanted)
    assert set(after(before, planned).values()) <= set(there)


@given(seats, usable)
def test_the_shares_of_nodes_differ_by_at_most_one(before: dict[str, str], there: list[str]) -> None:
    seated = after(before, moves(PLACES.values(), before, there, leaving(before, there), {}))
    shares = Counter(dict.fromkeys(there, 0))
    shares.update(node for name, node in seated.items() if PLACES[name].is_mobile)
    assert max(shares.values()) - min(shares.values()) <= 1


@given(seats, usable)
def test_nothing_moves_that_need_not(before: dict[str, str], there: list[str]) -> None:
    """Only from a node that is to be left; and of what may move, from one with more than its share."""
    away = leaving(before, there)
    planned = moves(PLACES.values(), before, there, away, {})
    share = sum(PLACES[name].is_mobile for name in before) / len(there)
    had = Counter(node for name, node in before.items() if PLACES[name].is_mobile)
    for move in planned:
        node = before[move.place]
        assert node in away or (PLACES[move.place].is_mobile and had[node] > share)


@given(seats, usable, wishes)
def test_what_was_planned_once_is_stable(before: dict[str, str], there: list[str], wanted: dict[str, str]) -> None:
    seated = after(before, moves(PLACES.values(), before, there, leaving(before, there), wanted))
    assert moves(PLACES.values(), seated, there, (), wanted) == []


@given(seats, usable, wishes)
def test_what_is_wanted_on_a_usable_node_goes_there(
    before: dict[str, str], there: list[str], wanted: dict[str, str]
) -> None:
    seated = after(before, moves(PLACES.values(), before, there, leaving(before, there), wanted))
    assert all(seated[name] == node for name, node in wanted.items() if name in before and node in there)


@given(seats)
def test_without_a_usable_node_everything_stays(before: dict[str, str]) -> None:
    assert moves(PLACES.values(), before, [], leaving(before, []), {}) == []


@given(seats, usable, st.sampled_from(sorted(PLACES)))
def test_a_new_actor_goes_where_the_fewest_of_its_kind_are(before: dict[str, str], there: list[str], name: str) -> None:
    chosen = choose(PLACES[name], before, PLACES, there)
    kin = Counter(node for other, node in before.items() if other != name and PLACES[other].kind == PLACES[name].kind)
    assert chosen in there
    assert kin[chosen] == min(kin[node] for node in there)


def test_of_equal_nodes_the_first_is_filled_first() -> None:
    assert choose(PLACES["shared-0"], {}, PLACES, ["n2", "n1"]) == "n2"


def test_nothing_can_be_chosen_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"min\(\)"):
        choose(PLACES["shared-0"], {}, PLACES, [])
