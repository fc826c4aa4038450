"""The pages about the API, and the forms on them that are made of JSON Schemas."""

from __future__ import annotations

import ast
import shlex
from typing import Any
from uuid import uuid4

import pytest

from domain.application import APPLICATION
from spark_actors.ingress.client import Answer, ViewRefusedError
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Message
from spark_actors.web.api.calls import has_secrets
from spark_actors.web.forms import FieldsError, Kind, fields_of, values_of
from tests.fixtures.api import ADA, Reader
from tests.fixtures.web import elements, texts, token

MESSAGES = list(APPLICATION.registry)
DONATE = "/docs/crowdfunding.donate-to-campaign"
GIFT = {"donation_id": "d-1", "account_id": "ada", "campaign_id": "well", "amount_sat": "2000"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "count", "tone"],
    "properties": {
        "name": {"type": "string", "maxLength": 80},
        "story": {"type": "string", "maxLength": 2_000, "description": "more of it\nand more"},
        "count": {"type": "integer", "minimum": 1, "maximum": 200},
        "is_loud": {"type": "boolean", "default": False},
        "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "default": None},
        "tone": {"$ref": "#/$defs/Tone"},
        "places": {"type": "array", "items": {"type": "integer"}},
        "more": {"anyOf": [{"type": "object"}, {"type": "null"}]},
        "password": {"type": "string"},
    },
    "$defs": {"Tone": {"enum": ["high", "low"], "type": "string"}},
}


def fields(**values: str) -> dict[str, str]:
    return {f"field.{name}": value for name, value in values.items()}


def test_each_type_has_its_field() -> None:
    found = {each.name: each for each in fields_of(SCHEMA)}
    assert {name: each.kind for name, each in found.items()} == {
        "name": Kind.LINE,
        "story": Kind.TEXT,
        "count": Kind.NUMBER,
        "is_loud": Kind.CHOICE,
        "at": Kind.MOMENT,
        "tone": Kind.CHOICE,
        "places": Kind.JSON,
        "more": Kind.JSON,
        "password": Kind.SECRET,
    }
    assert {name for name, each in found.items() if each.is_required} == {"name", "count", "tone"}
    assert found["count"].told == "a whole number; at least 1; at most 200"
    assert found["story"].told == "more of it; at most 2,000 characters"
    assert (found["tone"].choices, found["is_loud"].choices) == (("high", "low"), ("true", "false"))
    assert (found["is_loud"].default, found["at"].default) == ("false", "")


def test_what_was_typed_in_becomes_values_and_what_is_empty_is_left_out() -> None:
    typed = {"name": "1", "count": " -7 ", "is_loud": "true", "at": "x", "places": "[1, 2]", "more": "", "else": "2"}
    values = {"name": "1", "count": -7, "is_loud": True, "at": "x", "places": [1, 2], "else": "2"}
    assert values_of(SCHEMA, typed) == values
    assert values_of(SCHEMA, {"name": ""}, is_empty_left_out=False) == {"name": ""}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("count", text) for text in ("many", "1.5", "1e3", "٣", "9" * 20, "--1")],
        *[("is_loud", text) for text in ("yes", "True")],
        *[("places", text) for text in ("[1", "[" * 100_000)],
    ],
)
def test_text_of_another_type_is_told_with_what_was_expected(name: str, text: str) -> None:
    with pytest.raises(FieldsError) as raised:
        values_of(SCHEMA, {"name": "fine", name: text})
    assert list(raised.value.flaws) == [name]
    assert raised.value.flaws[name].startswith("expected ")


def test_every_message_is_listed_and_has_a_page() -> None:
    reader = Reader()
    listed = reader.page("/docs").text
    links = {each.get("href") for each in elements(listed, "a")}
    for cls in MESSAGES:
        assert f"/docs/{cls.TYPE.name}" in links
    assert {"/openapi.json", "/asyncapi.json"} <= links
    assert reader.page("/docs/no.such").status_code == 404


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.TYPE.name)
def test_a_page_has_the_fields_and_examples_that_can_be_read(cls: type[Message]) -> None:
    page = Reader().page(f"/docs/{cls.TYPE.name}")
    assert page.status_code == 200
    shown = texts(page.text)
    for name in cls.__dataclass_fields__:  # type: ignore[attr-defined]  # messages are dataclasses
        assert name in shown
    blocks = ["".join(each.itertext()) for each in elements(page.text, "pre")]
    for block in blocks:
        if block.startswith("curl "):
            assert shlex.split(block.replace("\\\n", ""))[1].startswith("http://127.0.0.1:9465/api/")
        if block.startswith("import json"):
            ast.parse(block)
    is_sent = cls.TYPE.kind != "event"
    assert sum(block.startswith(("curl ", "import json")) for block in blocks) == (2 if is_sent else 0)
    has_form = any(each.get("action", "").startswith("/docs/") for each in elements(page.text, "form"))
    assert has_form == (is_sent and not has_secrets(cls))


def test_a_form_is_sent_as_who_is_logged_in_under_its_id() -> None:
    reader = Reader(ADA)
    reader.broker.outcome = Answer("", Verdict.DONE, data={"left_sat": 7})
    form_id = str(uuid4())
    for _ in range(2):
        page = reader.form(f"{DONATE}?sent", message_id=form_id, **fields(**GIFT))
    assert page.status_code == 200
    assert '"left_sat": 7' in texts(page.text)
    assert [each["id"] for each in reader.broker.sent] == [form_id, form_id]
    assert reader.broker.sent[0]["data"] == {**GIFT, "amount_sat": 2000}
    assert reader.broker.tokens == [ADA, ADA]
    assert ADA not in page.text


def test_a_refused_form_comes_back_with_what_was_typed_and_why() -> None:
    reader = Reader(ADA)
    page = reader.form(f"{DONATE}?sent", **fields(**{**GIFT, "amount_sat": "<b>many"}))
    assert page.status_code == 422
    assert "expected a whole number" in texts(page.text)
    assert "&lt;b&gt;many" in page.text
    assert reader.broker.sent == []
    reader.broker.outcome = Answer("", Verdict.REJECTED, "insufficient_funds")
    rejected = reader.form(f"{DONATE}?sent", **fields(**GIFT))
    assert rejected.status_code == 422
    assert '"reason": "insufficient_funds"' in texts(rejected.text)


def test_why_goes_with_what_is_done_by_hand() -> None:
    reader = Reader(token("root", "operator"))
    form = fields(deposit_id="d-1", account_id="ada", amount_sat="5")
    page = reader.form("/docs/accounting.deposit?sent", why="paid in at the counter, größer", **form)
    assert page.status_code == 200, texts(page.text)
    assert reader.broker.sent[0]["why"] == "paid in at the counter, größer"


def test_views_and_actions_are_asked_by_a_form_too() -> None:
    reader = Reader(token("root", "operator"))
    reader.broker.answer = {"lines": ["first"]}
    view = reader.form("/docs/dashboard.campaigns?sent", **fields(limit="3"))
    assert '"first"' in texts(view.text)
    form_id = str(uuid4())
    pause = fields(context="accounting", instance="ada", why="a look")
    acted = reader.form("/docs/operations.pause-key?sent", message_id=form_id, **pause)
    assert acted.status_code == 200, texts(acted.text)
    assert getattr(reader.broker.asked[1], "request_id", "") == form_id
    reader.broker.answer = ViewRefusedError("x", "forbidden", "not yours")
    refused = reader.form("/docs/dashboard.campaigns?sent")
    assert refused.status_code == 422
    assert "not yours" in texts(refused.text)


def test_nothing_with_a_password_is_sent_from_these_pages_nor_what_another_page_sends() -> None:
    reader = Reader(ADA)
    assert reader.form("/docs/auth.login?sent", **fields(username="ada", password="x")).status_code == 404
    reader.headers["Sec-Fetch-Site"] = "same-site"
    assert reader.form(f"{DONATE}?sent", **fields(**GIFT)).status_code == 403
    assert (reader.broker.sent, reader.broker.asked) == ([], [])
