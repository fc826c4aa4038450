"""What stands before every route: whoever adds one need not think of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from domain.web.pages import PAGES
from spark_actors.web.pages import Route
from spark_actors.web.protection import HEADERS, refusal_of
from tests.fixtures.web import OPTIONS, OURS, Browser, CannedDaemon
from tests.unit.web.views import everything

HOSTS, ORIGINS = {"127.0.0.1:9465"}, {"http://127.0.0.1:9465"}
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FOREIGN: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9465"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:1234"},
    {"Origin": "null"},
    {"Origin": ""},
    {},
)


def path_of(route: Route) -> str:
    return (
        route.path.replace("{campaign_id:path}", "well")
        .replace("{gift_id:path}", "g1")
        .replace("{invoice_id:path}", "deposit-issued")
        .replace("{donation_id:path}", "d1")
    )


PATHS = sorted({path_of(route) for route in PAGES.routes} | {"/static/spark.css", "/nowhere"})


@pytest.mark.parametrize("method", METHODS)
def test_what_another_page_sends_is_refused_on_every_path_and_nothing_happens(method: str) -> None:
    browser = Browser(CannedDaemon(everything()))
    browser.log_in("ada", "user", "operator")
    for path, headers in product(PATHS, FOREIGN):
        answer = browser.request(method, path, form={"amount": "1"}, headers=headers)
        assert answer.status_code == 403, (path, headers)
    assert browser.daemon.sent == []
    assert browser.daemon.asked == []


def test_a_form_of_ours_is_taken_with_fetch_metadata_or_by_its_origin() -> None:
    for headers in (OURS, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:9465"}):
        browser = Browser(CannedDaemon(everything()))
        assert browser.request("POST", "/log-out", form={"": ""}, headers=headers).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:9465", ""])
def test_another_host_is_refused_whatever_is_asked(host: str) -> None:
    browser = Browser(CannedDaemon(everything()))
    for path in PATHS:
        assert browser.request("GET", path, headers={"Host": host}).status_code == 400
    assert browser.daemon.asked == []


def test_a_public_address_is_known_besides_those_of_this_machine() -> None:
    options = replace(OPTIONS, public_url="https://give.example")
    for host in ("give.example", "GIVE.example", "localhost:9465", "127.0.0.1:9465", "[::1]:9465"):
        assert refusal_of("GET", {"host": host}, options.hosts, options.origins) is None
    assert refusal_of("GET", {"host": "give.example:9465"}, options.hosts, options.origins) is not None


def test_reading_needs_no_origin() -> None:
    for site in ("cross-site", "same-site", "none", "same-origin"):
        assert refusal_of("GET", {"host": "127.0.0.1:9465", "sec-fetch-site": site}, HOSTS, ORIGINS) is None


def test_every_answer_has_the_headers_and_none_invites_other_origins() -> None:
    browser = Browser(CannedDaemon(everything()))
    answers = [browser.get(path) for path in PATHS]
    answers += [browser.request("POST", "/log-in", form={}), browser.request("GET", "/", headers={"Host": "evil"})]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert not any(name.startswith("access-control-") for name in answer.headers)
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_a_form_that_is_too_large_or_none_is_refused() -> None:
    browser = Browser(CannedDaemon(everything()))
    for content_type, text, status in (
        ("application/json", "{}", 415),
        ("multipart/form-data; boundary=x", "--x--", 415),
        (None, "a" * 70_000, 413),
    ):
        headers = {**OURS, **({"Content-Type": content_type} if content_type else {})}
        assert browser.request("POST", "/deposit", form={"amount": text}, headers=headers).status_code in (status, 401)
        browser.log_in("ada", "user")
        assert browser.request("POST", "/deposit", form={"amount": text}, headers=headers).status_code == status
    too_many = {f"f{number}": "" for number in range(51)}
    assert browser.request("POST", "/deposit", form=too_many, headers=OURS).status_code == 400
    assert browser.daemon.sent == []
