"""The operators' console: who gets what, and each screen from what the daemon answers."""

from __future__ import annotations

import json
from functools import cache
from itertools import product
from typing import Any

import msgspec
import pytest

from domain.web.pages import PAGES as OF_THE_APPLICATION
from spark_actors.kernel.messages import Query
from spark_actors.operations import messages as of
from spark_actors.web.console.asking import SENTENCES
from spark_actors.web.console.pages import PAGES
from spark_actors.web.console.stories import waterfall
from spark_actors.web.home import PAGES as HOME
from spark_actors.web.pages import MESSAGE_ID, Audience, NotAllowedError, Route
from tests.fixtures.web import OURS, Browser, CannedDaemon, elements, parsed, texts, token
from tests.unit.web.console_views import STORY, audit, for_operators, letter, overview, timeline
from tests.unit.web.test_pages import HOSTILE, PAGE_BYTES, shape
from tests.unit.web.test_protection import FOREIGN, METHODS
from tests.unit.web.views import NOW

LOG_IN = "/console/log-in"
SAID = {"why": "a test", "context": "shop", "step": "retry", "letter.17": "1"}
"""What a form of the console might say."""


def console(text: str = "A well", *roles: str) -> Browser:
    """Of who has logged in; an operator if nothing else is said."""
    daemon = CannedDaemon(for_operators(text), named={STORY: timeline(text)})
    browser = Browser(daemon, pages=(HOME, PAGES, OF_THE_APPLICATION))
    browser.log_in("zoe", *(roles or ("operator",)))
    return browser


def stranger() -> Browser:
    browser = console()
    browser.cookies = {}
    return browser


def path_of(route: Route) -> str:
    return (
        route.path.replace("{context}", "shop")
        .replace("{letter_id}", "17")
        .replace("{subscriber}", "commands")
        .replace("{instance:path}", "s1")
        .replace("{kind}", "order")
        .replace("{saga_id:path}", "o1")
        .replace("/search", "/search?q=s1")
    )


def told(route: Route) -> str:
    return f"{route.method} {route.path}"


each_route = pytest.mark.parametrize("route", PAGES.routes, ids=told)
GUARDED = [route for route in PAGES.routes if route.audience is not Audience.ANYBODY]


@pytest.mark.parametrize("route", GUARDED, ids=told)
def test_who_has_not_logged_in_is_sent_to_the_form_for_tokens(route: Route) -> None:
    browser = stranger()
    answer = browser.request(route.method, path_of(route), form=SAID, headers=OURS)
    if route.method == "GET":
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, LOG_IN)
    else:
        assert answer.status_code == 401
        assert LOG_IN in [link.get("href") for link in elements(answer.text, "a")]
    if route.live:
        assert browser.get(f"/live{path_of(route)}").status_code == 401
    assert browser.daemon.asked == []


@pytest.mark.parametrize("route", GUARDED, ids=told)
def test_users_get_nothing_and_readers_what_changes_nothing(route: Route) -> None:
    for role in ("user", "reader", "lightning"):
        browser = console("A well", role)
        answer = browser.request(route.method, path_of(route), form=SAID, headers=OURS)
        if route.audience is Audience.READER and role == "reader":
            assert answer.status_code in (200, 303)
            assert not [each for each, _ in browser.daemon.asked if each.TYPE.kind == "action"]
        else:
            assert answer.status_code == 403
            assert browser.daemon.asked == []


@pytest.mark.parametrize("method", METHODS)
def test_what_another_page_sends_is_refused_on_every_path_and_nothing_happens(method: str) -> None:
    browser = console()
    for route, headers in product(PAGES.routes, FOREIGN):
        assert browser.request(method, path_of(route), form=SAID, headers=headers).status_code == 403
    assert browser.daemon.asked == []


@pytest.mark.parametrize("route", [each for each in GUARDED if each.method == "GET"], ids=told)
def test_a_reader_sees_no_form_that_acts(route: Route) -> None:
    html = console("A well", "reader").get(path_of(route)).text
    acting = {path_of(each) for each in PAGES.routes if each.method == "POST" and each.audience is Audience.OPERATOR}
    there = {str(form.get("action")).partition("?")[0] for form in elements(html, "form") if form.get("method")}
    assert not there & acting
    assert MESSAGE_ID not in html


@cache
def all_pages(text: str) -> list[str]:
    """Every screen, with this text wherever a stranger's may stand."""
    browser, refusing = console(text), console(text)
    pages = [browser.get(path_of(route)).text for route in PAGES.routes if route.method == "GET"]
    pages += [
        browser.request("POST", path_of(route), form=SAID, headers=OURS).text
        for route in PAGES.routes
        if route.method == "POST" and route.audience is Audience.OPERATOR
    ]
    refusing.daemon.answers = dict.fromkeys(refusing.daemon.answers, NotAllowedError("refused", text))
    pages += [refusing.get(path_of(route)).text for route in GUARDED if route.method == "GET"]
    return pages


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_strangers_write_is_text_and_makes_no_element(text: str) -> None:
    for harmless, hostile in zip(all_pages("A well"), all_pages(text), strict=True):
        assert shape(hostile) == shape(harmless)


each_page = pytest.mark.parametrize("html", all_pages("A well"), ids=range(len(all_pages("A well"))))


@each_page
def test_a_screen_is_small_has_one_heading_and_says_nothing_inline(html: str) -> None:
    assert len(html.encode()) <= PAGE_BYTES
    assert sum(1 for _ in elements(html, "h1")) == 1
    for element in parsed(html).iter():
        assert not [name for name in element.attrib if name == "style" or str(name).startswith(("on", "hx-on"))]


@each_page
def test_every_field_has_a_label_and_every_id_is_there_once(html: str) -> None:
    labelled = {label.get("for") for label in elements(html, "label")}
    for name in ("input", "textarea", "select"):
        for field in elements(html, name):
            assert field.get("type") == "hidden" or field.get("id") in labelled or field.get("aria-label")
    ids = [element.get("id") for element in parsed(html).iter() if element.get("id")]
    assert sorted(set(ids)) == sorted(ids)


@each_page
def test_every_link_and_form_leads_to_a_route(html: str) -> None:
    known = console()
    for name, attribute, method in (("a", "href", "GET"), ("form", "action", "POST")):
        for element in elements(html, name):
            there = str(element.get(attribute))
            if not there.startswith("/console"):
                continue
            asked = element.get("method", method).upper() if name == "form" and element.get("method") else "GET"
            answer = known.request(asked, there, form={"": ""} if asked == "POST" else None, headers=OURS)
            assert answer.status_code in (200, 303, 422), there


# --- tokens ---


def test_a_token_that_the_daemon_believes_is_kept_by_the_browser_and_shown_to_nobody() -> None:
    browser = stranger()
    pasted = token("zoe", "operator")
    answer = browser.post(LOG_IN, token=f" {pasted[:20]}\n{pasted[20:]} ", then="/console/keys?context=shop")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/keys?context=shop")
    assert browser.daemon.asked == [(of.WhoAmI(), pasted)]
    assert f"={pasted};" in answer.headers["set-cookie"]
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert pasted not in answer.text


@pytest.mark.parametrize(
    "answer", [NotAllowedError("unauthenticated", ""), of.WhoYouAre("user ada", "ada", ("user",), overview().at)]
)
def test_a_token_that_is_not_for_the_console_comes_to_nothing_and_is_not_shown(answer: Any) -> None:
    browser = stranger()
    browser.daemon.answers[of.WhoAmI] = answer
    pasted = token("ada", "user")
    refused = browser.post(LOG_IN, token=pasted)
    assert (refused.status_code, "set-cookie" in refused.headers) == (422, False)
    assert pasted not in refused.text


def test_a_token_is_not_shown_again_when_the_daemon_is_away() -> None:
    browser = stranger()
    browser.daemon.is_away = True
    pasted = token("zoe", "operator")
    answer = browser.post(LOG_IN, token=pasted)
    assert answer.status_code == 503
    assert pasted not in answer.text


# --- looking ---


def test_the_overview_says_whether_it_is_ready_and_leads_to_what_waits() -> None:
    html = console().get("/console").text
    assert "Not ready." in texts(html)
    assert "1,234" in texts(html)
    links = [link.get("href") for link in elements(html, "a")]
    assert {"/console/letters?context=shop", "/console/keys?context=shop", "/console/sagas?overdue=1"} <= set(links)
    browser = console()
    for answer, said in (
        (overview(is_ready=True, problems=(), contexts=()), "Ready. All actors do their work."),
        (overview(is_ready=None, problems=(), contexts=()), "Not known."),
    ):
        browser.daemon.answers[of.ViewDeployment] = answer
        assert said in texts(browser.get("/console").text)


def test_the_books_are_audited_when_somebody_asks_for_it() -> None:
    browser = console("A well", "reader")
    assert browser.post("/console/audit").headers["location"] == "/console/audit"
    assert browser.daemon.asked[0][0] == of.ShowAudit(is_to_run=True)
    browser.daemon.answers[of.ShowAudit] = audit(is_running=False, is_passed=True, problem="", checks=())
    assert "The books are right." in texts(browser.get("/console/audit").text)
    nothing_yet: dict[str, Any] = {"started_at": None, "ended_at": None, "is_passed": None, "problem": "", "checks": ()}
    browser.daemon.answers[of.ShowAudit] = audit(is_running=True, **nothing_yet)
    assert "An audit is being made." in texts(browser.get("/console/audit").text)
    browser.daemon.answers[of.ShowAudit] = audit(is_running=False, **nothing_yet)
    assert "no audit since it began" in texts(browser.get("/console/audit").text)


@pytest.mark.parametrize("code", SENTENCES)
def test_what_the_daemon_refuses_is_said_in_words(code: str) -> None:
    browser = console()
    browser.daemon.answers[of.ListTasks] = NotAllowedError(code, "its detail")
    answer = browser.get("/console/tasks?context=nowhere")
    assert answer.status_code == (503 if code == "busy" else 422)
    assert SENTENCES[code] in texts(answer.text)
    assert "its detail" in texts(answer.text)


# --- letters ---


def sent(browser: Browser, kind: type[Query]) -> list[Any]:
    """What the daemon was asked to do."""
    return [each for each, _ in browser.daemon.asked if isinstance(each, kind)]


def form_of(html: str, holds: str) -> dict[str, str]:
    """The fields of the form with a field of that name, as they are sent when nothing is changed or ticked."""
    [form] = [each for each in elements(html, "form") if any(e.get("name") == holds for e in each.iter())]
    fields = {each.get("name"): each.get("value") or "" for each in form.iter("input") if each.get("type") == "hidden"}
    return fields | {each.get("name"): each.text for each in form.iter("textarea")}


def test_a_group_leads_to_its_letters() -> None:
    browser = console("late")
    [link] = [each for each in elements(browser.get("/console/dead-letters").text, "a") if each.text == "late"]
    browser.get(link.get("href"))
    [question] = sent(browser, of.ListLetters)
    assert (question.context, question.cause, question.name, question.subscriber) == ("shop", "late", "late", "views")


def test_the_address_holds_the_filter() -> None:
    browser = console()
    html = browser.get("/console/letters?state=all&instance=s1&since=2026-12-01T06:30&after=here").text
    [question] = sent(browser, of.ListLetters)
    assert question == of.ListLetters(state="", instance="s1", since=NOW, limit=30, after="here")
    assert "/console/letters?state=all&instance=s1&since=2026-12-01T06%3A30&after=further" in [
        each.get("href") for each in elements(html, "a")
    ]


def test_those_that_are_ticked_are_retried_under_the_id_of_the_form() -> None:
    browser = console()
    form = form_of(browser.get("/console/letters?context=shop").text, "up_to")
    for _ in range(2):
        html = browser.post(
            "/console/letters?sent", **form, **{"letter.17": "1", "letter.18": "1"}, step="retry", why=" fixed "
        ).text
    told = of.RetryLetters("shop", (17, 18), "fixed", request_id=form[MESSAGE_ID])
    assert sent(browser, of.RetryLetters) == [told, told]
    assert "Released: it is handled now" in texts(html)
    assert SENTENCES["forgotten"] in texts(html)


def test_all_are_those_that_the_page_had_seen() -> None:
    browser = console()
    form = form_of(browser.get("/console/letters?context=shop&cause=late").text, "up_to")
    html = browser.post("/console/letters?sent", **form, step="retry-all", why="fixed", old="1").text
    matching: dict[str, Any] = {"context": "shop", "up_to": 19, "died_until": NOW, "why": "fixed", "cause": "late"}
    [told] = sent(browser, of.RetryMatchingLetters)
    assert told == of.RetryMatchingLetters(**matching, is_even_if_old=True, request_id=form[MESSAGE_ID])
    rest = form_of(html, "after")
    assert rest.pop(MESSAGE_ID) != form[MESSAGE_ID]
    browser.post("/console/letters?sent", **rest)
    _, onward = sent(browser, of.RetryMatchingLetters)
    assert (onward.after, onward.up_to, onward.died_until, onward.cause) == ("further", 19, NOW, "late")
    browser.post("/console/letters?sent", **form, step="discard-all", why="no")
    [given_up] = sent(browser, of.DiscardMatchingLetters)
    assert (given_up.up_to, given_up.died_until) == (19, NOW)


@pytest.mark.parametrize("question", ["", "?state=all&context=shop", "?context=elsewhere"])
def test_nothing_is_done_at_once_about_what_is_not_of_one_context_or_does_not_wait(question: str) -> None:
    html = console().get(f"/console/letters{question}").text
    assert MESSAGE_ID not in html


@pytest.mark.parametrize(
    "form",
    [
        {"step": "retry", "letter.17": "1", "why": "  "},
        {"step": "retry", "why": "fixed"},
        {"step": "retry", "letter.x": "1", "why": "fixed"},
        {"step": "retry-all", "why": "fixed", "up_to": "19"},
        {"step": "retry-all", "why": "fixed", "up_to": "19", "died_until": "yesterday"},
        {"step": "retry-all", "why": "fixed", "up_to": "", "died_until": NOW.isoformat()},
    ],
)
def test_a_form_that_says_too_little_does_nothing(form: dict[str, str]) -> None:
    browser = console()
    assert browser.post("/console/letters?sent", context="shop", **form).status_code == 422
    assert browser.daemon.asked == []


LETTER = "/console/letters/shop/17"


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        ('{"shop_id": "s1", "pieces": 4, "secret": "***"}', {"changes": {"pieces": 4}}),
        ('{"shop_id": "s1", "pieces": 3, "secret": "mine"}', {"changes": {"secret": "mine"}}),
        ('{"shop_id": "s1", "pieces": 3}', {"content": {"shop_id": "s1", "pieces": 3}}),
    ],
)
def test_a_letter_is_corrected_by_what_was_changed(content: str, changed: dict[str, Any]) -> None:
    browser = console()
    browser.daemon.answers[of.EditLetter] = of.LettersActed(
        (of.LetterResult("shop", 17, "m", "edited into m2", "", ""),), "", ""
    )
    form = form_of(browser.get(LETTER).text, "content")
    html = browser.post(f"{LETTER}?sent", **{**form, "content": content}, why="a typo").text
    assert sent(browser, of.EditLetter) == [of.EditLetter("shop", 17, "a typo", **changed, request_id=form[MESSAGE_ID])]
    assert "A corrected message takes its place: m2." in texts(html)


def test_of_an_event_that_the_door_refused_the_data_is_corrected() -> None:
    browser = console()
    event = {"id": "e1", "data": {"pieces": "three", "note": "n"}}
    browser.daemon.answers[of.ShowLetter] = letter(context="ingress", body=json.dumps(event))
    there = "/console/letters/ingress/17"
    form = form_of(browser.get(there).text, "content")
    assert json.loads(form["content"]) == event["data"]
    browser.post(f"{there}?sent", **{**form, "content": '{"pieces": 3, "note": "n"}'}, why="a typo")
    browser.post(f"{there}?sent", **{**form, "content": '{"pieces": 3}'}, why="a typo")
    changed, replaced = sent(browser, of.EditLetter)
    assert (changed.changes, changed.content) == ({"pieces": 3}, None)
    assert (replaced.changes, replaced.content) == (None, {"id": "e1", "data": {"pieces": 3}})


@pytest.mark.parametrize("content", ["{", "[]", '{"shop_id": "s1", "pieces": 3, "secret": "***"}'])
def test_a_correction_that_is_none_comes_back_with_what_is_wrong_with_it(content: str) -> None:
    browser = console()
    answer = browser.post(f"{LETTER}?sent", step="edit", content=content, why="a typo")
    assert answer.status_code == 422
    assert form_of(answer.text, "content")["content"] == content
    assert sent(browser, of.EditLetter) == []


def test_a_correction_that_the_daemon_refuses_comes_back_with_its_reason() -> None:
    browser = console()
    refused = of.LetterResult("shop", 17, "m", "", "usage", "pieces: not a number")
    browser.daemon.answers[of.EditLetter] = of.LettersActed((refused,), "", "")
    answer = browser.post(f"{LETTER}?sent", step="edit", content='{"pieces": "4"}', why="a typo")
    assert answer.status_code == 422
    assert "pieces: not a number" in texts(answer.text)
    assert form_of(answer.text, "content")["content"] == '{"pieces": "4"}'


@pytest.mark.parametrize(("step", "kind"), [("retry", of.RetryLetters), ("discard", of.DiscardLetters)])
def test_one_letter_is_retried_or_discarded(step: str, kind: type[Query]) -> None:
    browser = console()
    assert browser.post(f"{LETTER}?sent", step=step, why="known").status_code == 200
    [told] = sent(browser, kind)
    assert (told.context, told.letter_ids, told.why) == ("shop", (17,), "known")


def test_a_letter_that_was_seen_to_has_no_form_and_one_that_is_not_there_no_page() -> None:
    browser = console()
    browser.daemon.answers[of.ShowLetter] = letter(state="discarded", handled_at=NOW)
    assert MESSAGE_ID not in browser.get(LETTER).text
    browser.daemon.answers[of.ShowLetter] = None
    assert browser.get(LETTER).status_code == 404
    assert browser.get("/console/letters/shop/x").status_code == 404


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("released", "Done. Released"),
        ("handled before", "Done. It had been handled before"),
        ("discarded", "Done. Given up"),
        ("edited into m2", "Done. A corrected message takes its place: m2."),
        ("done before", "Done. It was done before"),
        ("done", "Done. Sent again, and done."),
        ("parked", "Done. Sent again: it waits"),
        ("rejected no_such_shop", "Not done. Sent again, and rejected no_such_shop."),
        ("failed malformed_data", "Not done. Sent again, and failed malformed_data."),
    ],
)
def test_what_became_of_a_letter_is_said_in_words(result: str, said: str) -> None:
    browser = console()
    one = of.LetterResult("shop", 17, "m", result, "", "")
    browser.daemon.answers[of.RetryLetters] = of.LettersActed((one,), "", "")
    assert said in texts(browser.post(f"{LETTER}?sent", step="retry", why="known").text)


def test_a_form_that_met_others_can_be_sent_again_as_it_was() -> None:
    browser = console()
    browser.daemon.answers[of.DiscardLetters] = NotAllowedError("busy", "")
    form = form_of(browser.get("/console/letters?context=shop").text, "up_to")
    busy = browser.post("/console/letters?sent", **form, **{"letter.17": "1"}, step="discard", why="not ours")
    again = form_of(busy.text, MESSAGE_ID)
    assert (busy.status_code, again) == (503, {**form, "letter.17": "1", "step": "discard", "why": "not ours"})


# --- keys ---

KEY = "/console/keys/shop/views/s1%2F2"


def test_a_key_is_paused_resumed_and_its_first_message_given_up() -> None:
    browser = console()
    for step in ("pause", "resume", "skip"):
        form = form_of(browser.get(KEY).text, "why")
        assert browser.post(f"{KEY}?sent", **form, step=step, why="known").status_code == 200
    [paused], [resumed], [skipped] = (sent(browser, each) for each in (of.PauseKey, of.ResumeKey, of.SkipKey))
    for told in (paused, resumed, skipped):
        assert (told.context, told.subscriber, told.instance, told.why) == ("shop", "views", "s1/2", "known")
    assert skipped.first_message == "m1"


def test_what_cannot_be_done_to_a_key_is_said_beside_it() -> None:
    browser = console()
    assert browser.post(f"{KEY}?sent", step="resume", why="").status_code == 422
    assert browser.post(f"{KEY}?sent", step="skip", why="known").status_code == 422
    browser.daemon.answers[of.ResumeKey] = NotAllowedError("forgotten", "too old")
    answer = browser.post(f"{KEY}?sent", step="resume", why="known")
    assert (answer.status_code, "too old" in texts(answer.text)) == (422, True)
    assert sent(browser, of.SkipKey) == []


# --- sagas ---


def test_a_story_is_a_waterfall_of_what_the_daemon_names_to_be_asked() -> None:
    browser = console()
    html = browser.get("/console/sagas/order/o1").text
    [asked] = [each for each, _ in browser.daemon.asked if each.TYPE.name == STORY]
    assert msgspec.to_builtins(asked) == {"correlation_id": "A well"}
    bars = [(int(bar.get("x")), int(bar.get("width"))) for bar in elements(html, "{http://www.w3.org/2000/svg}rect")]
    assert bars == [(0, 6), (0, 333), (333, 667)]
    assert {"sold", "packed", "sent"} <= set(texts(html).split())
    browser.daemon.named = {}
    assert "Its events are not told" in texts(browser.get("/console/sagas/order/o1").text)


def test_a_story_of_one_moment_has_bars_within_its_picture() -> None:
    line = {"at": NOW.isoformat(), "event": "shop.sold", "key": "s1"}
    assert [(bar.left, bar.width) for bar in waterfall([line, line])] == [(0, 6), (0, 6)]
    assert waterfall([]) == ()


def test_presets_of_sagas_are_filters_in_the_address() -> None:
    browser = console()
    links = [each.get("href") for each in elements(browser.get("/console/sagas").text, "a")]
    for there, question in (
        ("?state=running", of.ListSagas(state="running")),
        ("?overdue=1", of.ListSagas(is_overdue=True)),
        ("?state=failed", of.ListSagas(state="failed")),
    ):
        assert f"/console/sagas{there}" in links
        browser.daemon.asked.clear()
        browser.get(f"/console/sagas{there}")
        assert sent(browser, of.ListSagas) == [question]


# --- everything about one id ---


def test_an_id_is_looked_for_everywhere() -> None:
    browser = console("s1")
    html = browser.get("/console/search?q=+s1+").text
    asked = [each for each, _ in browser.daemon.asked]
    assert of.ListKeys(instance="s1", limit=30) in asked
    assert of.ListLetters(state="", instance="s1", limit=30) in asked
    assert of.ListSagas(saga_id="s1", limit=30) in asked
    assert of.ListTasks(instance="s1", limit=30) in asked
    headings = [each.text for each in elements(html, "h2")]
    assert headings == ["Keys that wait", "Dead letters", "Sagas", "Tasks", "What operators did about it"]
    for kind, nothing in (
        (of.ListKeys, of.KeyPage((), "")),
        (of.ListLetters, of.LetterPage((), "", ())),
        (of.ListSagas, of.SagaPage((), "")),
        (of.ListTasks, of.TaskList(())),
        (of.ListActions, of.ActionPage((), "")),
    ):
        browser.daemon.answers[kind] = nothing
    assert "Nothing waits for it" in texts(browser.get("/console/search?q=s1").text)
