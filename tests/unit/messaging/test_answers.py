"""Answers fit into what the broker takes: whole, cut, or an error; never silently nothing."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.dashboard.views import AccountOverview, Activity, ActivityLine, CampaignSummary, DonationLine
from spark_actors.kernel.decisions import Verdict
from spark_actors.messaging.answers import Cut, outcome_answer, view_answer
from spark_actors.messaging.door import RefusedError, outcome_body, refusal_body
from spark_actors.messaging.envelope import Reply
from tests.fixtures.application import example

LINE = example(ActivityLine)


def an_activity(lines: int) -> Activity:
    return Activity(lines=tuple(replace(LINE, message_id=f"m-{number}") for number in range(lines)))


@given(lines=st.integers(0, 40), room=st.integers(300, 20_000))
def test_a_view_is_whole_or_has_all_lines_that_fit_or_is_an_error(lines: int, room: int) -> None:
    view = an_activity(lines)
    answer = view_answer(view, room)
    told = json.loads(answer.body)
    assert len(answer.body) <= room
    if answer.cut is Cut.TOO_LARGE:
        assert told["error"]["code"] == "too_large"
        assert len(view_answer(an_activity(1), 10_000).body) > room - len("true")
        return
    shown = [line["message_id"] for line in told["lines"]]
    assert shown == [line.message_id for line in view.lines][: len(shown)]
    assert told["truncated"] == (answer.cut is Cut.TRUNCATED) == (len(shown) < lines)
    if told["truncated"]:
        assert view_answer(an_activity(len(shown) + 1), room).cut is not Cut.NOTHING


def test_of_lines_of_several_kinds_each_keeps_its_first() -> None:
    overview = replace(
        example(AccountOverview),
        campaigns=(example(CampaignSummary),) * 3,
        donations=tuple(replace(example(DonationLine), donation_id=f"d-{number}") for number in range(50)),
    )
    told = json.loads(view_answer(overview, 6_000).body)
    assert told["truncated"]
    assert 3 < len(told["donations"]) < 50
    assert told["donations"][0]["donation_id"] == "d-0"
    assert len(told["campaigns"]) == 3


def test_what_cannot_be_cut_is_an_error_at_once() -> None:
    answer = view_answer(example(DonationLine), 200)
    assert (answer.cut, json.loads(answer.body)["error"]["code"]) == (Cut.TOO_LARGE, "too_large")


def test_how_a_command_ended_is_told_in_any_case() -> None:
    body = outcome_body(Reply("m-1", Verdict.REJECTED, "insufficient_funds", {"text": "x" * 1_000}), "m-1")
    assert outcome_answer(body, len(body)) == (body, Cut.NOTHING)
    cut = outcome_answer(body, len(body) - 1)
    expected = {"id": "m-1", "outcome": "rejected", "reason": "insufficient_funds", "data": {"truncated": True}}
    assert (json.loads(cut.body), cut.cut) == (expected, Cut.TRUNCATED)
    assert outcome_answer(body, 50) == (b"", Cut.TOO_LARGE)


def test_a_refusal_keeps_its_reason() -> None:
    cut = outcome_answer(refusal_body(RefusedError("not_json", "x" * 1_000, "m-1")), 200)
    assert json.loads(cut.body)["reason"] == "not_json"
