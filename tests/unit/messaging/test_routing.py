"""Placement: every process puts an instance into the same slot, whatever else happens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spark_actors.messaging.routing import Placement

PLACEMENT = Placement(
    shared_actors=3,
    resident_instances=1000,
    dedicated_kinds={"crowdfunding": 2},
    dedicated_instances=("accounting:whale", "bitcoin:busy"),
)


@given(context=st.sampled_from(["auth", "accounting", "crowdfunding", "bitcoin"]), key=st.text())
def test_every_instance_has_one_slot_that_is_in_the_pool(context: str, key: str) -> None:
    assert PLACEMENT.slot_of(context, key) in PLACEMENT.slots
    assert PLACEMENT.slot_of(context, key) == PLACEMENT.slot_of(context, key)


def test_a_known_heavy_instance_has_an_actor_of_its_own() -> None:
    assert PLACEMENT.slot_of("accounting", "whale").name == "own-0"
    assert PLACEMENT.slot_of("bitcoin", "busy").name == "own-1"
    assert PLACEMENT.slot_of("accounting", "minnow").pool == "shared"


def test_instances_of_a_dedicated_kind_have_a_whole_actor_each_while_they_are_active() -> None:
    slots = {PLACEMENT.slot_of("crowdfunding", f"campaign-{number}") for number in range(50)}
    assert {slot.name for slot in slots} == {"dedicated-crowdfunding-0", "dedicated-crowdfunding-1"}
    assert {slot.capacity for slot in slots} == {1}


def test_shared_instances_spread_evenly() -> None:
    counts = [0, 0, 0]
    for number in range(3000):
        counts[PLACEMENT.slot_of("accounting", f"account-{number}").index] += 1
    assert min(counts) > 800


def test_the_pool_lists_every_slot_once() -> None:
    assert [slot.name for slot in PLACEMENT.slots] == [
        *("shared-0", "shared-1", "shared-2"),
        *("dedicated-crowdfunding-0", "dedicated-crowdfunding-1"),
        *("own-0", "own-1"),
    ]
