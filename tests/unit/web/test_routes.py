"""The route table: for whom each path is, tested from the table itself."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from domain.web.pages import PAGES
from spark_actors.web.home import PAGES as HOME
from spark_actors.web.pages import Audience, Page, Pages, Route, Visit, local_path
from tests.fixtures.web import OURS, Browser, CannedDaemon, elements
from tests.unit.web.test_protection import path_of
from tests.unit.web.views import everything


async def _answer(visit: Visit) -> Page:
    return Page("home.html")


OF_EACH = Pages(
    routes=tuple(
        Route(method, f"/for-{audience}", audience, _answer) for audience in Audience for method in ("GET", "POST")
    ),
    templates="spark_actors.web",
)
"""Pages with a route for each audience."""
MAY = {
    (): {"anybody"},
    ("user",): {"anybody", "user"},
    ("reader",): {"anybody", "reader"},
    ("operator",): {"anybody", "reader", "operator"},
    ("lightning",): {"anybody"},
}


def told(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("roles", MAY)
def test_each_audience_gets_what_is_for_it_and_nothing_else(roles: tuple[str, ...]) -> None:
    browser = Browser(pages=(HOME, PAGES, OF_EACH))
    if roles:
        browser.log_in("somebody", *roles)
    for route in OF_EACH.routes:
        answer = browser.request(route.method, route.path, form={"": ""}, headers=OURS)
        if route.audience in MAY[roles]:
            assert answer.status_code == 200
        elif roles:
            assert answer.status_code == 403
        else:
            assert answer.status_code == (303 if route.method == "GET" else 401)


@pytest.mark.parametrize("route", [each for each in PAGES.routes if each.audience is not Audience.ANYBODY], ids=told)
def test_who_has_not_logged_in_is_sent_to_do_it_and_the_daemon_is_asked_nothing(route: Route) -> None:
    browser = Browser(CannedDaemon(everything()))
    answer = browser.request(route.method, path_of(route), form={"": ""}, headers=OURS)
    if route.method == "GET":
        there = urlsplit(answer.headers["location"])
        assert (answer.status_code, there.path) == (303, "/log-in")
        assert parse_qs(there.query)["then"] == [path_of(route)]
    else:
        assert answer.status_code == 401
    if route.live:
        assert browser.get(f"/live{path_of(route)}").status_code == 401
    assert (browser.daemon.asked, browser.daemon.sent) == ([], [])


@pytest.mark.parametrize("route", [each for each in PAGES.routes if each.method == "GET"], ids=told)
def test_every_link_and_form_leads_to_a_route(route: Route) -> None:
    browser = Browser(CannedDaemon(everything()))
    browser.log_in("ada", "user")
    html = browser.get(path_of(route)).text
    known = Browser(CannedDaemon(everything()))
    known.log_in("ada", "user")
    for name, attribute, method in (("a", "href", "GET"), ("form", "action", "POST")):
        for element in elements(html, name):
            there = element.get(attribute)
            if there.startswith(("#", "lightning:")):
                continue
            assert there.startswith("/")
            answer = known.request(method, there, form={"": ""} if method == "POST" else None, headers=OURS)
            assert answer.status_code in (200, 303, 422), there


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "", "/a b", "/a\nb"]
)
def test_nobody_is_sent_elsewhere_after_logging_in(elsewhere: str) -> None:
    assert local_path(elsewhere, "/account") == "/account"


def test_an_application_without_pages_has_a_home() -> None:
    browser = Browser(pages=(HOME,))
    assert browser.get("/").status_code == 200
    assert browser.get("/account").status_code == 404
