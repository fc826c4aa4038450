"""The HTTP API: what is sent to the daemon, and which status stands for what it answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from domain.dashboard.views import ViewAccountOverview, ViewCampaigns
from spark_actors.ingress.client import (
    Answer,
    NotAcceptedError,
    OutcomeUnknownError,
    UnreachableError,
    ViewRefusedError,
    ViewTimeoutError,
)
from spark_actors.kernel.decisions import Verdict
from spark_actors.web import tuning
from spark_actors.web.api.problems import PROBLEM_TYPE, STATUSES
from tests.fixtures.api import ADA, Program
from tests.fixtures.web import URL

DONATE = "/api/commands/crowdfunding/donate-to-campaign"
GIFT = {"donation_id": "d-1", "account_id": "ada", "campaign_id": "well", "amount_sat": 2000}
OVERVIEW = "/api/views/dashboard/account-overview"
EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "till-3",
    "type": "spark.crowdfunding.donate-to-campaign.v1",
    "data": GIFT,
}


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The details, which are of RFC 9457 and say the status of the answer."""
    assert answer.headers["content-type"] == PROBLEM_TYPE
    details: dict[str, Any] = answer.json()
    assert details["status"] == answer.status_code
    assert details["title"]
    assert details["detail"]
    assert details["reason"]
    return details


def test_plain_data_becomes_an_event_under_the_key_that_came_with_it() -> None:
    program = Program()
    program.broker.outcome = Answer("k-1", Verdict.DONE, data={"left_sat": 7})
    answer = program.post(DONATE, GIFT, Idempotency_Key="k-1")
    assert (answer.status_code, answer.json()) == (
        200,
        {"id": "k-1", "outcome": "done", "reason": "", "data": {"left_sat": 7}},
    )
    (sent,) = program.broker.sent
    assert sent == {**EVENT, "id": "k-1", "source": "spark-actors/http", "datacontenttype": "application/json"}
    assert program.broker.subjects == ["spark.commands.crowdfunding.donate-to-campaign"]
    assert program.broker.tokens == [ADA]


def test_a_key_may_stand_in_quotes_and_without_one_an_id_is_made_and_told() -> None:
    program = Program()
    assert program.post(DONATE, GIFT, Idempotency_Key='"k 1%"').status_code == 400  # ids are without spaces
    assert program.post(DONATE, GIFT, Idempotency_Key='"k%1"').json()["id"] == "k%1"
    made = {program.post(DONATE, GIFT).json()["id"] for _ in range(2)}
    assert len(made) == 2
    assert [each["id"] for each in program.broker.sent] == ["k%1", *(each["id"] for each in program.broker.sent[1:])]
    assert {each["id"] for each in program.broker.sent[1:]} == made
    assert problem(program.post(DONATE, GIFT, Idempotency_Key='""'))["reason"] == "malformed_envelope"


def test_an_event_is_taken_structured_and_binary() -> None:
    program = Program()
    structured = program.post(DONATE, EVENT, Content_Type="application/cloudevents+json")
    binary = program.post(DONATE, GIFT, ce_id="e-2", ce_source="till-4", ce_why=quote("größer"))
    assert (structured.json()["id"], binary.json()["id"]) == ("e-1", "e-2")
    assert program.broker.sent[0] == EVENT
    told = {name: program.broker.sent[1][name] for name in ("id", "source", "why", "type")}
    assert told == {
        "id": "e-2",
        "source": "till-4",
        "why": "größer",
        "type": "spark.crowdfunding.donate-to-campaign.v1",
    }
    other = program.post(DONATE, EVENT, Content_Type="application/cloudevents+json", Idempotency_Key="e-3")
    assert (other.status_code, problem(other)["reason"]) == (400, "malformed_envelope")
    assert len(program.broker.sent) == 2


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (Answer("", Verdict.REJECTED, "insufficient_funds"), 422, "insufficient_funds"),
        (Answer("", Verdict.REJECTED, "id_reused"), 409, "id_reused"),
        (Answer("", Verdict.FAILED, "unauthenticated", {"detail": "x"}), 401, "unauthenticated"),
        (Answer("", Verdict.FAILED, "forbidden", {"detail": "x"}), 403, "forbidden"),
        (Answer("", Verdict.FAILED, "why_required", {"detail": "x"}), 400, "why_required"),
        (Answer("", Verdict.FAILED, "oversized", {"detail": "x"}), 413, "oversized"),
        (Answer("", Verdict.FAILED, "storage_error"), 500, "storage_error"),
        (NotAcceptedError("x"), 503, "away"),
        (UnreachableError("x"), 503, "away"),
    ],
)
def test_each_end_of_a_command_has_its_status(outcome: Answer | Exception, status: int, reason: str) -> None:
    program = Program()
    program.broker.outcome = outcome
    answer = program.post(DONATE, GIFT, Idempotency_Key="k-1")
    told = problem(answer)
    assert (answer.status_code, told["reason"], told["id"]) == (status, reason, "k-1")
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (OutcomeUnknownError("x"), ("under_way", "")),
        (Answer("", Verdict.PARKED, "key_parked"), ("parked", "key_parked")),
    ],
)
def test_what_has_not_ended_is_accepted_and_says_how_to_ask(outcome: Answer | Exception, told: tuple[str, str]) -> None:
    program = Program()
    program.broker.outcome = outcome
    answer = program.post(DONATE, GIFT, Idempotency_Key="k-1")
    assert answer.status_code == 202
    assert (answer.json()["outcome"], answer.json()["reason"]) == told
    assert "Idempotency-Key: k-1" in answer.json()["again"]
    assert answer.headers["retry-after"]


def test_whoever_prefers_to_wait_waits_within_bounds() -> None:
    program = Program()
    for preferred in ("wait=5", "respond-async, wait=0", "wait=9999", "wait=soon", ""):
        program.post(DONATE, GIFT, Prefer=preferred)
    assert program.broker.waited == [5, 0, tuning.WAIT_SECONDS_MOST, tuning.OUTCOME_SECONDS, tuning.OUTCOME_SECONDS]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not_json"),
        (b"[]", "malformed_data"),
        (b'{"a": 1, "a": 2}', "not_json"),
        (json.dumps({**GIFT, "amount_sat": "many"}).encode(), "malformed_data"),
        (json.dumps({**GIFT, "colour": "red"}).encode(), "malformed_data"),
    ],
)
def test_what_is_malformed_is_refused_before_it_waits_in_the_queue(body: bytes, told: str) -> None:
    program = Program()
    answer = program.request("POST", DONATE, body=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, problem(answer)["reason"]) == (400, told)
    assert program.broker.sent == []


def test_a_flaw_is_told_with_the_value_and_what_was_expected() -> None:
    told = problem(Program().post(DONATE, {**GIFT, "amount_sat": "many"}))["detail"]
    assert "amount_sat" in told
    assert "'many'" in told
    assert "integer" in told


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/commands/crowdfunding/nothing", 404),
        ("POST", "/api/commands/dashboard/campaigns", 404),
        ("POST", "/api/views/operations/pause-key", 404),
        ("POST", "/api/actions/operations/overview", 404),
        ("GET", "/api/views/crowdfunding/donate-to-campaign", 404),
        ("GET", "/api/stream/crowdfunding/donate-to-campaign", 404),
        ("GET", DONATE, 405),
        ("GET", "/api/actions/operations/pause-key", 405),
        ("GET", "/api/views/auth/login?username=ada&password=secret", 405),
        ("GET", "/api/nowhere", 404),
    ],
)
def test_what_is_not_there_is_a_problem_too(method: str, path: str, status: int) -> None:
    program = Program()
    answer = program.request(method, path, data={} if method == "POST" else None)
    assert (answer.status_code, problem(answer)["status"]) == (status, status)
    assert "secret" not in answer.text
    assert (program.broker.sent, program.broker.asked) == ([], [])


@pytest.mark.parametrize(
    "given", ["", "text/plain", "application/cloudevents-batch+json", "application/json; charset=x"]
)
def test_other_than_json_is_not_read(given: str) -> None:
    program = Program()
    answer = program.request("POST", DONATE, body=json.dumps(GIFT).encode(), headers={"Content-Type": given})
    assert answer.status_code == 415
    problem(answer)
    asked = program.request("POST", OVERVIEW, body=b"{}", headers={"Content-Type": "application/cloudevents+json"})
    assert asked.status_code == 415
    assert program.broker.sent == []


def test_bodies_are_bounded() -> None:
    program = Program()
    for path in (DONATE, OVERVIEW, "/api/actions/operations/pause-key"):
        answer = program.post(path, "x" * tuning.API_BODY_BYTES)
        assert (answer.status_code, problem(answer)["reason"]) == (413, "oversized")


def test_no_cookie_is_read() -> None:
    program = Program(bearer="")
    cookie = {"Cookie": f"{program.cookie}={ADA}"}
    for answer in (
        program.request("POST", DONATE, data=GIFT, headers=cookie),
        program.request("GET", f"{OVERVIEW}?account_id=ada", headers=cookie),
        program.request("GET", "/api/stream/dashboard/account-overview?account_id=ada", headers=cookie),
        program.request("POST", DONATE, data=GIFT, headers={"Authorization": f"Basic {ADA}"}),
    ):
        assert (answer.status_code, problem(answer)["reason"]) == (401, "unauthenticated")
    program.request("GET", "/api/views/dashboard/campaigns", headers=cookie)
    assert program.broker.tokens == [""]
    assert program.broker.sent == []


@pytest.mark.parametrize("path", [DONATE, OVERVIEW, "/api/actions/operations/pause-key"])
@pytest.mark.parametrize(
    "said",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}],
    ids=str,
)
def test_the_pages_of_others_send_nothing_and_are_told_nothing_of_cors(path: str, said: dict[str, str]) -> None:
    program = Program()
    answer = program.request("POST", path, data=GIFT, headers=said)
    asked = program.request("OPTIONS", path, headers={**said, "Access-Control-Request-Method": "POST"})
    assert (answer.status_code, asked.status_code) == (403, 403)
    assert not [name for name in (*answer.headers, *asked.headers) if name.startswith("access-control")]
    assert (program.broker.sent, program.broker.asked) == ([], [])


def test_a_view_is_asked_by_its_address_or_with_a_body() -> None:
    program = Program()
    program.broker.answer = {"lines": [1]}
    answers = [
        program.get(f"{OVERVIEW}?account_id=ada&limit=7"),
        program.post(OVERVIEW, {"account_id": "ada", "limit": 7}),
    ]
    assert [(each.status_code, each.json()) for each in answers] == [(200, {"lines": [1]})] * 2
    assert program.broker.asked == [ViewAccountOverview(account_id="ada", limit=7)] * 2
    program.get("/api/views/dashboard/campaigns?limit=3&before_id=")
    assert program.broker.asked[2] == ViewCampaigns(limit=3)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("", "account_id"),
        ("account_id=ada&limit=many", "limit = 'many': expected a whole number"),
        ("account_id=ada&limit=0", "limit"),
        ("account_id=ada&colour=red", "colour"),
        ("account_id=ada&account_id=bob", "more than once"),
        ("account_id=", "account_id"),
    ],
)
def test_a_question_that_is_malformed_is_told_so(question: str, told: str) -> None:
    program = Program()
    answer = program.get(f"{OVERVIEW}?{question}")
    assert answer.status_code == 400
    assert told in problem(answer)["detail"]
    assert program.broker.asked == []


@pytest.mark.parametrize("code", [*STATUSES, "too_large", "a_code_of_the_desk"])
def test_each_refusal_of_a_view_has_its_status(code: str) -> None:
    program = Program()
    program.broker.answer = ViewRefusedError("x", code, "because", 9 if code == "too_many_attempts" else 0)
    answer = program.get(f"{OVERVIEW}?account_id=ada")
    assert answer.status_code == STATUSES.get(code, 400)
    assert (problem(answer)["reason"], problem(answer)["detail"]) == (code, "because")
    again = {429: "9", 503: "1"}
    assert answer.headers.get("retry-after") == again.get(answer.status_code)


def test_a_daemon_that_is_away_is_told_with_when_to_come_again() -> None:
    program = Program()
    program.broker.is_away = True
    for answer in (program.get(f"{OVERVIEW}?account_id=ada"), program.post(DONATE, GIFT)):
        assert (answer.status_code, problem(answer)["reason"]) == (503, "away")
        assert answer.headers["retry-after"] == "1"


def test_an_action_that_nobody_has_answered_may_have_been_done() -> None:
    program = Program()
    program.broker.answer = ViewTimeoutError("x")
    answer = program.post("/api/actions/operations/pause-key", {"context": "a", "instance": "b", "why": "c"})
    assert answer.status_code == 503
    assert "request_id" in problem(answer)["detail"]


def test_more_than_is_answered_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "API_IN_HAND", 0)
    answer = Program().post(DONATE, GIFT)
    assert (answer.status_code, problem(answer)["reason"]) == (503, "busy")
    assert answer.headers["retry-after"]


def test_a_stream_sends_the_view_and_each_change() -> None:
    program = Program()
    looks = iter([{"n": 1}, {"n": 1}, {"n": 1}, {"n": 2}])
    program.broker.answer = lambda _: next(looks, {"n": 2})

    async def lines() -> list[str]:
        """The data of the first two messages, from the application itself: httpx waits for an answer's end."""
        found: list[str] = []
        have_two = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await have_two.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            text = message.get("body", b"").decode()
            found.extend(line for line in text.splitlines() if line.startswith("data: "))
            if len(found) == 2:
                have_two.set()

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/stream/dashboard/campaigns",
            "raw_path": b"/api/stream/dashboard/campaigns",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", URL.removeprefix("http://").encode())],
        }
        await program.app(scope, receive, send)
        return found

    assert asyncio.run(lines()) == ['data: {"n": 1}', 'data: {"n": 2}']


def test_a_stream_of_what_one_may_not_see_does_not_begin() -> None:
    program = Program()
    program.broker.answer = ViewRefusedError("x", "forbidden", "because")
    answer = program.get("/api/stream/dashboard/account-overview?account_id=bob")
    assert (answer.status_code, problem(answer)["reason"]) == (403, "forbidden")
