"""The HTTP API on a running daemon, asked as a program in any language would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.auth.adapters.passwords import hash_password
from tests.acceptance.test_desk import token
from tests.fixtures.daemon import Daemon, eventually
from tests.fixtures.pages import ROOT, block

PAGE = ROOT / "docs" / "http-api.md"
PASSWORD = "correct-horse-battery-staple"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def api(running: Daemon) -> Iterator[httpx.Client]:
    """As an operator."""
    with client(running, token(running, "operator", "till")) as made:
        yield made


def client(daemon: Daemon, bearer: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return httpx.Client(base_url=f"{daemon.card.web_url}/api", headers=headers, timeout=60)


def opened(api: httpx.Client, account: str, sat: int = 0) -> None:
    """An account with so much in it."""
    done = [api.post("/commands/accounting/open-account", json={"account_id": account}, headers={"Prefer": "wait=30"})]
    if sat:
        deposit = {"deposit_id": f"first-{account}", "account_id": account, "amount_sat": sat}
        said = {"ce-why": "a%20test", "Prefer": "wait=30"}
        done.append(api.post("/commands/accounting/deposit", json=deposit, headers=said))
    assert [(each.status_code, each.text) for each in done if each.status_code != 200] == []


def balance(api: httpx.Client, account: str) -> Any:
    """None until the view knows the account."""
    answer = api.get("/views/dashboard/account-overview", params={"account_id": account})
    return answer.json()["balance_sat"] if answer.status_code == 200 else None


def test_what_is_sent_twice_under_one_key_counts_once(api: httpx.Client) -> None:
    opened(api, "http-twice")
    deposit = {"deposit_id": "http-d1", "account_id": "http-twice", "amount_sat": 700}
    said = {"Idempotency-Key": "http-k1", "ce-why": "a%20test", "Prefer": "wait=30"}
    answers = [api.post("/commands/accounting/deposit", json=deposit, headers=said) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["id"] == "http-k1"
    other = api.post("/commands/accounting/deposit", json={**deposit, "amount_sat": 1}, headers=said)
    assert (other.status_code, other.json()["reason"]) == (409, "id_reused")
    assert eventually(lambda: balance(api, "http-twice") == 700)


def test_a_rejected_command_has_its_reason_and_one_without_why_is_not_taken(api: httpx.Client) -> None:
    opened(api, "http-poor")
    said = {"Prefer": "wait=30"}
    gift = {"campaign_id": "http-none", "donation_id": "http-x", "account_id": "http-poor", "amount_sat": 5}
    rejected = api.post("/commands/crowdfunding/donate-to-campaign", json=gift, headers=said)
    assert (rejected.status_code, rejected.headers["content-type"]) == (422, "application/problem+json")
    assert rejected.json()["reason"] == "unknown_campaign"
    deposit = {"deposit_id": "http-d2", "account_id": "http-poor", "amount_sat": 7}
    unsaid = api.post("/commands/accounting/deposit", json=deposit, headers=said)
    assert (unsaid.status_code, unsaid.json()["reason"]) == (400, "why_required")


def test_users_see_and_send_what_is_theirs(running: Daemon, api: httpx.Client) -> None:
    opened(api, "http-other")
    with client(running) as nobody:
        new = {"account_id": "http-user", "username": "http-user", "password_hash": hash_password(PASSWORD)}
        signed_up = nobody.post("/commands/auth/register-account", json=new, headers={"Prefer": "wait=30"})
        assert (signed_up.status_code, signed_up.json()["outcome"]) == (200, "done")
        wrong = nobody.post("/views/auth/login", json={"username": "http-user", "password": "no"})
        assert (wrong.status_code, wrong.json()["reason"]) == (401, "wrong_credentials")
        session = nobody.post("/views/auth/login", json={"username": "http-user", "password": PASSWORD}).json()
        assert nobody.get("/views/operations/overview").status_code == 401
    with client(running, session["token"]) as user:
        assert eventually(lambda: balance(user, "http-user") == 0)
        for path in ("/views", "/stream"):
            foreign = user.get(f"{path}/dashboard/account-overview", params={"account_id": "http-other"})
            assert (foreign.status_code, foreign.json()["reason"]) == (403, "forbidden")
        campaign = {"campaign_id": "http-c", "title": "x", "description": "x", "goal_sat": 5}
        stolen = {**campaign, "account_id": "http-other"}
        assert user.post("/commands/crowdfunding/create-campaign", json=stolen).status_code == 403
        assert user.get("/views/operations/overview").status_code == 403
    with client(running, "e30.e30.c2ln") as forger:
        assert forger.get("/views/operations/overview").status_code == 401


def test_a_stream_sends_a_change(running: Daemon, api: httpx.Client) -> None:
    opened(api, "http-watched", sat=5)
    assert eventually(lambda: balance(api, "http-watched") == 5)
    seen = []
    with api.stream("GET", "/stream/dashboard/account-overview", params={"account_id": "http-watched"}) as stream:
        for line in stream.iter_lines():
            if not line.startswith("data: "):
                continue
            seen.append(json.loads(line.removeprefix("data: "))["balance_sat"])
            if len(seen) == 1:
                deposit = {"deposit_id": "http-d3", "account_id": "http-watched", "amount_sat": 2}
                api.post("/commands/accounting/deposit", json=deposit, headers={"ce-why": "x"})
            if seen[-1] == 7:
                break
    assert seen == [5, 7]


def test_the_page_works_as_it_stands(running: Daemon) -> None:
    typed = block(PAGE, "api=").text.replace("http://127.0.0.1:9465", running.card.web_url)
    decoder, shown, found = json.JSONDecoder(), running.typed(typed), []
    while shown.strip():
        value, end = decoder.raw_decode(shown.strip())
        found.append(value)
        shown = shown.strip()[end:]
    campaigns, account, first, second, overview = found
    assert "campaigns" in campaigns
    assert [each["outcome"] for each in (account, first, second)] == ["done"] * 3
    assert first == second
    assert overview.get("balance_sat", 0) in (0, 700)  # the view follows in a moment


def test_only_documented_answers_come_and_none_is_a_failure_of_the_server(running: Daemon, tmp_path: Path) -> None:
    """Of whatever fits the document, or just does not. As a reader, who sees everything and leaves nothing behind."""
    words = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{running.card.web_url}/openapi.json"),
        *("--phases", "fuzzing", "--max-examples", "1", "--mode", "all", "--checks", CHECKS),
        *("--exclude-path-regex", "/api/stream/"),  # they do not end
        *("--seed", "1", "--no-color", "--no-shrink", "--warnings", "off"),
        *("-H", f"Authorization: Bearer {token(running, 'reader', 'looker')}", "-H", "Prefer: wait=30"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
