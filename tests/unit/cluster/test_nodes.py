"""What is held of a node, from what Ray says of it and what it says itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from spark_actors.cluster.nodes import Common, Judgement, NodeRow, NodeState, Sighting, judge

EXPECTED = Common("1.2", "abc")
SEEN = Sighting("n1", "one", "10.0.0.1", is_alive=True)
TOLD = NodeRow("n1", "one", "10.0.0.1", "1.2", "abc", silent_seconds=0.1)


def judgement(
    sighting: Sighting = SEEN,
    row: NodeRow | None = TOLD,
    *,
    own_node: str = "head",
    silent: Collection[str] = (),
    inhabited: Collection[str] = (),
) -> Judgement:
    rows = {row.node_id: row} if row else {}
    return judge(
        [sighting],
        rows,
        EXPECTED,
        own_node=own_node,
        silent=silent,
        inhabited=inhabited,
        patience_seconds=2.0,
    )[sighting.node_id]


def test_a_node_that_fits_and_answers_is_active() -> None:
    assert judgement().state is NodeState.ACTIVE


def test_one_of_which_nobody_knows_what_runs_there_is_joining_until_somebody_does() -> None:
    assert judgement(row=None).state is NodeState.JOINING
    strange = NodeRow("n1", "one", "10.0.0.1", state=NodeState.JOINING, reason="no such module")
    assert judgement(row=strange) == Judgement(NodeState.JOINING, "no such module")
    assert judgement(row=strange, own_node="n1").state is NodeState.ACTIVE


def test_one_that_ray_does_not_see_alive_is_gone() -> None:
    assert judgement(replace(SEEN, is_alive=False)).state is NodeState.GONE
    assert judge([], {"n1": TOLD}, EXPECTED, own_node="", silent=(), inhabited=(), patience_seconds=2.0) == {
        "n1": Judgement(NodeState.GONE)
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (replace(TOLD, release="1.3"), "its release is 1.3, expected 1.2"),
        (replace(TOLD, fingerprint="xyz"), "its settings are others (fingerprint xyz, expected abc)"),
    ],
)
def test_one_that_does_not_fit_is_refused_and_told_how(row: NodeRow, reason: str) -> None:
    assert judgement(row=row) == Judgement(NodeState.REFUSED, reason)


def test_one_whose_actors_and_heartbeats_are_both_silent_is_suspected() -> None:
    quiet = replace(TOLD, silent_seconds=2.1)
    assert judgement(row=quiet, silent={"n1"}, inhabited={"n1"}).state is NodeState.SUSPECT


def test_one_of_which_either_actors_or_heartbeats_are_heard_is_not() -> None:
    quiet = replace(TOLD, silent_seconds=2.1)
    assert judgement(row=quiet, inhabited={"n1"}).state is NodeState.ACTIVE
    assert judgement(silent={"n1"}, inhabited={"n1"}).state is NodeState.ACTIVE


def test_one_that_sends_no_heartbeats_is_judged_by_its_actors_alone() -> None:
    mute = replace(TOLD, silent_seconds=None)
    assert judgement(row=mute, silent={"n1"}, inhabited={"n1"}).state is NodeState.SUSPECT
    assert judgement(row=mute).state is NodeState.ACTIVE


def test_an_empty_one_is_suspected_once_its_heartbeats_cease() -> None:
    assert judgement(row=replace(TOLD, silent_seconds=2.1)).state is NodeState.SUSPECT


def test_the_own_node_is_never_suspected_nor_refused() -> None:
    row = replace(TOLD, release="old", silent_seconds=99)
    assert judgement(row=row, own_node="n1", silent={"n1"}, inhabited={"n1"}).state is NodeState.ACTIVE


@pytest.mark.parametrize("is_told_by_ray", [False, True])
def test_one_that_is_to_leave_drains_until_it_is_empty(*, is_told_by_ray: bool) -> None:
    sighting, row = replace(SEEN, is_draining=is_told_by_ray), replace(TOLD, is_to_leave=not is_told_by_ray)
    assert judgement(sighting, row, inhabited={"n1"}).state is NodeState.DRAINING
    assert judgement(sighting, row).state is NodeState.DRAINED


def test_one_that_is_lost_while_it_drains_is_suspected_first() -> None:
    row = replace(TOLD, is_to_leave=True, silent_seconds=3)
    assert judgement(row=row, silent={"n1"}, inhabited={"n1"}).state is NodeState.SUSPECT
