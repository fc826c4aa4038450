"""Each page is a function of what the daemon answers: HTML without a mistake, whatever strangers have written."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from domain.bitcoin.messages import ReadPaymentRequest
from domain.dashboard.views import ViewAccountOverview, ViewCampaign, ViewDonation, ViewGift
from domain.web.pages import PAGES
from domain.web.sentences import DEPOSITS, DONATIONS, GIFTS, WITHDRAWALS
from spark_actors.web.pages import MESSAGE_ID, NotAllowedError, Outcome, Sent
from spark_actors.web.rendering import ASSETS, STATIC
from tests.fixtures.web import Browser, CannedDaemon, elements, parsed, texts
from tests.unit.web.test_protection import path_of
from tests.unit.web.views import detail, donation, everything, gift, overview

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "{{ 7 * 7 }}{% raise %}",
    "</textarea></title></svg><svg onload=alert(1)>",
    "javascript:alert(1)",
    "a\u202eb\u200b<!--",
    "&lt;b&gt; &amp;amp; &#0;",
    "x" * 200,
    "\N{ZERO WIDTH JOINER}" * 50,
)
PAGE_BYTES, CSS_BYTES, SCRIPT_BYTES = 100_000, 16_384, 50_000
FORMS: dict[str, dict[str, str]] = {
    "/campaigns/well": {"step": "give", "amount": "?", "name": "?", "message": "?"},
    "/sign-up": {"username": "?", "password": "?", "then": "?"},
    "/log-in": {"username": "?", "password": "?", "then": "?"},
    "/deposit": {"amount": "?"},
    "/withdraw": {"invoice": "?"},
    "/new-campaign": {"title": "?", "story": "?", "goal": "21,000", "step": "preview"},
}
"""Forms that come back with what was in them."""


def visitor(text: str = "A well") -> Browser:
    """Of somebody who has logged in."""
    browser = Browser(CannedDaemon(everything(text)))
    browser.log_in("ada", "user")
    return browser


@cache
def all_pages(text: str) -> list[str]:
    """Every page that there is, with this text wherever a stranger's may stand."""
    made = visitor(text)
    stranger = Browser(CannedDaemon(everything(text)))
    pages = [made.get(path_of(route)).text for route in PAGES.routes if route.method == "GET"]
    pages += [stranger.get(path).text for path in ("/", "/campaigns/well?amount=" + "1" * 9, "/nowhere/<b>")]
    refused = Browser(CannedDaemon(everything(text), outcome=Outcome(Sent.REJECTED, text)))
    refused.log_in("ada", "user")
    pages += [
        refused.post(path, **{name: text if value == "?" else value for name, value in form.items()}).text
        for path, form in FORMS.items()
    ]
    pages.append(made.post("/withdraw", invoice=text).text)
    away = Browser(CannedDaemon(everything(text), is_away=True))
    away.log_in("ada", "user")
    pages.append(away.post("/deposit", amount="1000", note=text).text)
    return pages


each_page = pytest.mark.parametrize("html", all_pages("A well"), ids=range(len(all_pages("A well"))))


def shape(html: str) -> list[str]:
    """The elements of a page with their attributes' names."""
    return [
        f"{element.tag} {sorted(element.attrib)}" for element in parsed(html).iter() if isinstance(element.tag, str)
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_strangers_write_is_text_and_makes_no_element(text: str) -> None:
    for harmless, hostile in zip(all_pages("A well"), all_pages(text), strict=True):
        assert shape(hostile) == shape(harmless)


@each_page
def test_a_page_is_small_has_one_title_and_heading_and_says_nothing_inline(html: str) -> None:
    assert len(html.encode()) <= PAGE_BYTES
    assert sum(1 for _ in elements(html, "h1")) == 1
    for element in parsed(html).iter():
        names = [name for name in element.attrib if isinstance(name, str)]
        assert "style" not in names
        assert not [name for name in names if name.startswith(("on", "hx-on"))]
        assert element.tag != "style"
        assert element.tag != "script" or (element.get("src", "").startswith("/static/") and not element.text)
        for name in ("src", "action", "href"):
            assert re.match(r"/|#|lightning:|data:image/svg\+xml,", element.get(name, "/"))


@each_page
def test_a_form_that_counts_once_is_sent_to_another_address_than_its_page_has(html: str) -> None:
    """Else the browser forgets the page, and who goes back gets a form with another id."""
    for form in elements(html, "form"):
        if any(field.get("name") == MESSAGE_ID for field in form.iter("input")) and not is_of_what_failed(form):
            assert form.get("action").endswith("?sent")


def is_of_what_failed(form: Any) -> bool:
    return any(button.text == "Send it again" for button in form.iter("button"))


@each_page
def test_every_field_has_a_label(html: str) -> None:
    labelled = {label.get("for") for label in elements(html, "label")}
    for name in ("input", "textarea"):
        for field in elements(html, name):
            assert field.get("type") == "hidden" or field.get("id") in labelled


def test_the_longest_texts_fit_the_size_of_a_page() -> None:
    answers = everything("\N{GRINNING FACE}" * 200)
    answers[ViewCampaign] = replace(detail("x" * 200), description="<&\"'>" * 2_000)
    assert len(Browser(CannedDaemon(answers)).get("/campaigns/well").content) <= PAGE_BYTES


def test_scripts_and_styles_keep_to_their_sizes() -> None:
    sizes = {name: len(STATIC.joinpath(name).read_bytes()) for name in ASSETS}
    assert sum(size for name, size in sizes.items() if name.endswith(".css")) <= CSS_BYTES
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) <= SCRIPT_BYTES


STATES: list[tuple[str, Any, str, Any, str]] = [
    *[("/gifts/g1", ViewGift, state, gift(state), words) for state, (words, _) in GIFTS.items()],
    *[("/donations/d1", ViewDonation, state, donation(state), words) for state, (words, _) in DONATIONS.items()],
    *[(f"/deposits/deposit-{state}", None, state, None, words) for state, (words, _) in DEPOSITS.items()],
    *[(f"/withdrawals/withdrawal-{state}", None, state, None, words) for state, (words, _) in WITHDRAWALS.items()],
]


@pytest.mark.parametrize(("path", "query", "state", "view", "words"), STATES)
def test_every_state_is_told_in_words(path: str, query: Any, state: str, view: Any, words: str) -> None:
    browser = visitor()
    if query:
        browser.daemon.answers[query] = view
    answer = browser.get(path)
    assert answer.status_code == 200
    assert words in texts(answer.text)


def test_an_invoice_is_shown_as_a_code_in_upper_case_as_a_link_and_as_text() -> None:
    html = visitor().get("/deposits/deposit-issued").text
    assert 'aria-label="QR code of the Lightning invoice over 5,000 satoshis"' in html
    assert 'href="lightning:LNBCRT210U1PQ' in html
    assert "Scan the code with a Lightning wallet, or copy the invoice." in texts(html)
    assert "lnbcrt210u1pq" in texts(html)


def test_what_came_in_beyond_the_invoice_is_told() -> None:
    said = texts(visitor().get("/deposits/deposit-credited").text)
    assert "The invoice was over 5,000 sat; what has arrived is 5,001 sat." in said


@pytest.mark.parametrize(
    ("kind", "path"), [("withdrawal", "/deposits/withdrawal-paid"), ("deposit", "/withdrawals/deposit-paid")]
)
def test_a_deposit_is_no_withdrawal(kind: str, path: str) -> None:
    assert visitor().get(path).status_code == 404


def test_the_activity_tells_own_doings_and_what_others_gave() -> None:
    said = texts(visitor().get("/account").text)
    for line in ("Gift to A well −1,000 sat", "Deposit +5,001 sat", "Gift from somebody to A well +700 sat"):
        assert line in said
    assert said.count("Gift from somebody") == 2


def test_a_withdrawal_is_shown_with_its_cost_before_it_is_sent() -> None:
    browser = visitor("Rent for May")
    said = texts(browser.post("/withdraw", invoice="lnbcrt1").text)
    for part in ("1,200 sat", "Rent for May", "12 sat", "1,212 sat", "Pay 1,200 sat"):
        assert part in said
    assert browser.daemon.sent == []


def test_what_cannot_be_paid_for_is_said_before_it_is_sent() -> None:
    browser = visitor("Rent")
    browser.daemon.answers[ViewAccountOverview] = overview(balance_sat=1_000)
    html = browser.post("/withdraw", invoice="lnbcrt1").text
    assert "212 sat are missing" in texts(html)
    assert "confirm" not in html


def test_an_objection_to_an_invoice_is_told_and_the_invoice_is_kept() -> None:
    browser = visitor("Rent")
    terms = browser.daemon.answers[ReadPaymentRequest]
    browser.daemon.answers[ReadPaymentRequest] = replace(terms, objection="wrong_network")
    answer = browser.post("/withdraw", invoice="lnbc1xyz")
    assert answer.status_code == 422
    assert "another network" in texts(answer.text)
    assert next(elements(answer.text, "textarea")).text == "lnbc1xyz"


def test_the_owner_sees_how_to_pass_a_campaign_on_and_no_form_to_give() -> None:
    browser = visitor()
    browser.daemon.answers[ViewAccountOverview] = overview(campaigns=(detail().campaign,))
    html = browser.get("/campaigns/well").text
    assert "http://127.0.0.1:9465/campaigns/well" in texts(html)
    assert [form.get("action") for form in elements(html, "form")] == ["/log-out"]


def test_a_link_with_an_amount_fills_the_form_in() -> None:
    html = Browser(CannedDaemon(everything())).get("/campaigns/well?amount=1000").text
    assert [field.get("value") for field in elements(html, "input") if field.get("name") == "amount"] == ["1000"]
    chosen = [link.text for link in elements(html, "a") if link.get("aria-current") == "true"]
    assert chosen == ["1,000"]


def test_pages_turn_and_the_last_one_leads_no_further() -> None:
    browser = Browser(CannedDaemon(everything()))
    assert "Older campaigns" in texts(browser.get("/").text)
    asked = browser.get("/?before=2026-12-01T06%3A30%3A00%2B00%3A00&id=well")
    query, _ = browser.daemon.asked[-1]
    assert asked.status_code == 200
    assert (str(query.before), query.before_id) == ("2026-12-01 06:30:00+00:00", "well")  # type: ignore[attr-defined]


@pytest.mark.parametrize("before", ["yesterday", "2026-12-01", "9" * 99])
def test_a_moment_that_is_none_begins_at_the_newest(before: str) -> None:
    browser = Browser(CannedDaemon(everything()))
    assert browser.get(f"/?before={before}").status_code == 200
    assert browser.daemon.asked[-1][0].before is None  # type: ignore[attr-defined]


def test_a_session_that_the_daemon_does_not_believe_is_forgotten() -> None:
    browser = visitor()
    browser.daemon.answers[ViewAccountOverview] = NotAllowedError("unauthenticated", "the token's signature is wrong")
    answer = browser.get("/account")
    assert answer.status_code == 401
    assert answer.headers["set-cookie"].startswith("spark-9465=")
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_a_daemon_that_is_away_is_said_to_be_and_the_page_comes_again_by_itself() -> None:
    browser = Browser(CannedDaemon(is_away=True))
    answer = browser.get("/campaigns/well")
    assert answer.status_code == 503
    assert "The daemon is away" in texts(answer.text)
    assert '<meta http-equiv="refresh" content="3">' in answer.text


def test_what_is_not_to_be_seen_yet_is_under_way_and_what_never_was_is_not_there() -> None:
    browser = Browser()
    assert browser.get("/gifts/g1").status_code == 404
    assert browser.get("/gifts/g1?new=1").status_code == 202


def test_a_mistake_of_ours_is_a_page_that_tells_nothing_of_it() -> None:
    browser = Browser(CannedDaemon({ViewCampaign: ZeroDivisionError("secret")}))
    answer = browser.get("/campaigns/well")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "A mistake of ours" in texts(answer.text)
