"""One hand-over at a time is wished for; it comes to one of its ends, and what operators do about it is kept."""

from __future__ import annotations

import psycopg
import pytest

from spark_actors.persistence.hand_overs import HandOvers, HandOverState, HandOverUnderWayError, HandOverWatch
from spark_actors.persistence.operator_desk import Operator

ME = Operator("me", "a test")


def actions(database: str) -> list[tuple[str, str]]:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT action, why FROM ingress.operator_actions ORDER BY action_id").fetchall()
    return [(action, why) for action, why in found]


def test_a_wish_is_seen_until_somebody_begins_with_it(database: str) -> None:
    hand_overs, watch = HandOvers(database), HandOverWatch(database)
    assert watch.wished() is None
    number = hand_overs.wish("upgrade", "/opt/python", "2.0", ME)
    wished = watch.wished()
    assert wished is not None
    assert (wished.hand_over, wished.python, wished.release) == (number, "/opt/python", "2.0")
    assert hand_overs.note(number, HandOverState.WARMING)
    assert watch.wished() is None
    watch.close()
    assert actions(database) == [("upgrade", "a test")]


def test_there_is_one_at_a_time(database: str) -> None:
    hand_overs = HandOvers(database)
    number = hand_overs.wish("reload", "", "", ME)
    with pytest.raises(HandOverUnderWayError, match="--abort"):
        hand_overs.wish("reload", "", "", ME)
    hand_overs.note(number, HandOverState.DONE, "epoch 2")
    assert hand_overs.wish("reload", "", "", ME) > number
    assert actions(database) == [("reload", "a test")] * 2


def test_it_is_stopped_only_before_anything_is_handed_over(database: str) -> None:
    hand_overs = HandOvers(database)
    assert not hand_overs.abort(ME)
    first = hand_overs.wish("reload", "", "", ME)
    assert hand_overs.abort(ME)
    assert not hand_overs.note(first, HandOverState.HANDING_OVER)
    second = hand_overs.wish("reload", "", "", ME)
    assert hand_overs.note(second, HandOverState.HANDING_OVER)
    assert not hand_overs.abort(ME)
    assert [action for action, _ in actions(database)] == ["reload", "abort", "reload"]


@pytest.mark.parametrize("state", [HandOverState.WISHED, HandOverState.WARMING, HandOverState.HANDING_OVER])
def test_what_a_daemon_has_left_half_done_does_not_stand_in_the_way(database: str, state: HandOverState) -> None:
    hand_overs = HandOvers(database)
    number = hand_overs.wish("reload", "", "", ME)
    hand_overs.note(number, state)
    hand_overs.give_up("it was started anew")
    found = hand_overs.find(number)
    assert found is not None
    assert (found.state, found.detail) == (HandOverState.REFUSED, "it was started anew")
    hand_overs.wish("reload", "", "", ME)
