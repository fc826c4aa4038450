"""CloudEvents 1.0 over NATS: what the specification allows around a command comes in, in either mode, and bounded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from domain.crowdfunding.messages import DonateToCampaign
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.cloudevents import (
    HEADERS_CHARACTERS,
    command_body,
    command_subject,
    event_headers,
    is_json,
    whole_event,
)
from spark_actors.messaging.door import Door, RefusedError
from spark_actors.messaging.envelope import Envelope, decode_data
from spark_actors.messaging.schemas import (
    ALL_EXTENSIONS_CHARACTERS,
    EXTENSION_CHARACTERS,
    EXTENSION_NAME_CHARACTERS,
    EXTENSIONS,
    Schemas,
)
from tests.fixtures.application import CONTEXTS

REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)
DOOR = Door(REGISTRY, 65_536)
NOW = datetime(2026, 1, 3, 18, 15, 5, tzinfo=UTC)
DONATION = DonateToCampaign(campaign_id="c-1", donation_id="d-1", account_id="alice", amount_sat=1_000)
SUBJECT = command_subject(DONATION.TYPE)
EVENT: dict[str, Any] = json.loads(command_body(DONATION, message_id="m-1", source="/tests"))
TRACE = "0af7651916cd43dd8448eb211c80319c"
SCHEMA = Draft202012Validator(Schemas().event_of(DonateToCampaign).model_json_schema())


def structured(**attributes: object) -> Envelope:
    """As the door takes the event with attributes changed; one changed to `...` is left out."""
    changed = {name: value for name, value in {**EVENT, **attributes}.items() if value is not ...}
    return DOOR.command(SUBJECT, json.dumps(changed).encode(), NOW).envelope


def binary_headers(**attributes: object) -> dict[str, str]:
    found = {name: value for name, value in {**EVENT, **attributes}.items() if value is not ... and name != "data"}
    return {f"ce-{name}": quote(str(value), safe="/:.,=;+") for name, value in found.items()}


def binary(headers: dict[str, str], body: bytes | None = None) -> Envelope:
    data = json.dumps(EVENT["data"]).encode() if body is None else body
    return DOOR.command(SUBJECT, data, NOW, event_headers(headers)).envelope


def refused(call: Any, *words: Any, **names: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        call(*words, **names)
    return caught.value


ALLOWED: list[dict[str, object]] = [
    {"dataschema": "https://example.org/schemas/donation"},
    {"dataschema": "urn:spark:donation"},
    {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tracestate": "rojo=00f067aa0ba902b7"},
    {"partitionkey": "c-1"},
    {"comexampleothervalue": 5, "comexampleflag": True, "x" * EXTENSION_NAME_CHARACTERS: "é 👩‍🌾"},
    {"sequence": "", "why": "the operator asked for it"},
    {"datacontenttype": "application/json; charset=utf-8"},
    {"datacontenttype": 'Application/JSON;Charset="UTF-8"'},
    {"datacontenttype": "application/vnd.shop.donation+json"},
    {"subject": ...},
    {"time": "2026-01-03t18:00:00.123456789z"},
    {"subject": None, "time": None, "dataschema": None, "unsetextension": None},
    {f"x{number}": "y" for number in range(EXTENSIONS)},
]


@pytest.mark.parametrize("attributes", ALLOWED, ids=lambda attributes: ",".join(attributes)[:40])
def test_what_the_specification_allows_comes_in_and_changes_nothing_of_the_command(attributes: dict[str, Any]) -> None:
    assert decode_data(REGISTRY, structured(**attributes)) == DONATION
    set_ones = {name: value for name, value in attributes.items() if value not in (None, "")}
    assert decode_data(REGISTRY, binary(binary_headers(**set_ones))) == DONATION


@pytest.mark.parametrize("attributes", ALLOWED, ids=lambda attributes: ",".join(attributes)[:40])
def test_the_published_schema_allows_it_too(attributes: dict[str, Any]) -> None:
    SCHEMA.validate({name: value for name, value in {**EVENT, **attributes}.items() if value not in (..., None)})


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"partitionKey": "x"}, "partitionKey is no name of an attribute"),
    ({"x" * (EXTENSION_NAME_CHARACTERS + 1): "y"}, "is no name of an attribute"),
    ({"data_base64": "e30="}, "data_base64 is not taken: expected JSON, in data"),
    ({"comexample": 1.5}, "comexample = 1.5: expected one line"),
    ({"comexample": {}}, "comexample = an object: expected one line"),
    ({"comexample": 2**31}, "a whole number of 32 bits"),
    ({"comexample": "a\nb"}, "expected one line"),
    ({"comexample": "x" * (EXTENSION_CHARACTERS + 1)}, "expected one line of at most 1024 characters"),
    ({f"x{number}": "y" for number in range(EXTENSIONS + 1)}, "33 extension attributes: expected at most 32"),
    (
        {f"x{number}": "y" * EXTENSION_CHARACTERS for number in range(4)},
        f"together: expected at most {ALL_EXTENSIONS_CHARACTERS}",
    ),
    ({"datacontenttype": "application/jsonp"}, "another media type of JSON"),
    ({"datacontenttype": "application/json; charset=utf-16"}, "another media type of JSON"),
    ({"dataschema": "not a uri"}, "dataschema = 'not a uri'"),
    ({"why": "one\ntwo"}, "why = 'one\\ntwo'"),
    ({"traceparent": 7}, "traceparent = 7"),
]


@pytest.mark.parametrize(("attributes", "part"), REFUSED)
def test_what_it_does_not_allow_or_there_is_too_much_of_is_refused_in_words(
    attributes: dict[str, Any], part: str
) -> None:
    error = refused(structured, **attributes)
    assert (error.code, error.message_id) == ("malformed_envelope", "m-1")
    assert part in error.detail


@pytest.mark.parametrize("name", ["password", "authorization", "apitoken"])
def test_what_is_called_like_a_secret_is_never_quoted(name: str) -> None:
    assert refused(structured, **{name: "hunter2\n"}).detail.startswith(f"{name} = (hidden): expected one line")


def test_data_stays_strict() -> None:
    assert refused(structured, data={**EVENT["data"], "traceparent": "x"}).code == "malformed_data"


def test_a_subject_that_is_left_out_is_the_key_and_one_that_is_given_is_compared() -> None:
    assert structured(subject=...).key == "c-1"
    assert refused(structured, subject="c-2").code == "key_mismatch"


@pytest.mark.parametrize(
    ("traceparent", "correlation_id"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-comes-later", TRACE),
        (f"ff-{TRACE}-b7ad6b7169203331-01", ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", ""),
        ("nonsense", ""),
    ],
)
def test_a_trace_is_the_story_unless_another_is_named(traceparent: str, correlation_id: str) -> None:
    assert structured(traceparent=traceparent).correlation_id == correlation_id
    assert structured(traceparent=traceparent, correlationid="story").correlation_id == "story"


def test_an_event_in_binary_mode_is_the_one_in_structured_mode() -> None:
    attributes = {"time": "2026-01-03T18:00:00Z", "correlationid": "story", "causationid": "cause", "why": "über 100 %"}
    assert binary(binary_headers(**attributes)) == structured(**attributes)


def test_names_of_headers_are_compared_without_regard_to_case() -> None:
    assert binary({name.upper(): value for name, value in binary_headers().items()}) == structured()


def test_a_content_type_says_in_which_mode_an_event_is() -> None:
    assert binary({**binary_headers(), "content-type": "application/json; charset=utf-8"}) == structured()
    assert "media type" in refused(binary, {**binary_headers(), "Content-Type": "text/xml"}).detail
    whole = json.dumps(EVENT).encode()
    for content_type in ("application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"):
        assert binary({"ce-id": "not this", "Content-Type": content_type}, whole) == structured()
    for content_type in ("application/cloudevents+avro", "application/cloudevents-batch+json"):
        assert "expected application/cloudevents+json" in refused(binary, {"Content-Type": content_type}, whole).detail


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41%42", "AB"),
        ('"quoted \\"text\\""', 'quoted "text"'),
        ('"Euro%20"', "Euro "),
        ("%2541", "%41"),
    ],
)
def test_values_of_headers_are_unquoted_and_decoded_once(value: str, read: str) -> None:
    """By the binding's own examples."""
    assert json.loads(whole_event(b"{}", event_headers({"ce-why": value})))["why"] == read


@pytest.mark.parametrize("value", ["%C0%A0", "%", "%4", "%zz", "€", "a\ufffdb"])
def test_a_header_that_cannot_be_read_as_the_binding_says_is_refused(value: str) -> None:
    error = refused(binary, {**binary_headers(), "ce-why": value})
    assert error.code == "malformed_envelope"
    assert error.detail.startswith("header ce-why: expected")


def test_an_attribute_that_comes_twice_is_read_as_neither() -> None:
    assert refused(binary, {**binary_headers(), "CE-ID": "m-2"}).code == "malformed_envelope"
    assert refused(binary, {**binary_headers(), "CE-TYPE": EVENT["type"]}).code == "unknown_type"


def test_data_comes_in_the_body_alone() -> None:
    error = refused(binary, {**binary_headers(), "ce-data": "{}"})
    assert (error.detail, error.message_id) == ("header ce-data: expected the data in the body", "m-1")


@pytest.mark.parametrize(
    ("body", "code"), [(b"", "not_json"), (b"{", "not_json"), (b"[]", "malformed_data"), (b"null", "malformed_data")]
)
def test_a_body_in_binary_mode_is_the_data(body: bytes, code: str) -> None:
    error = refused(binary, binary_headers(), body)
    assert (error.code, error.message_id) == (code, "m-1")


def test_headers_are_bounded_and_no_more_of_them_is_held() -> None:
    huge = event_headers({**binary_headers(), "ce-why": "x" * 1_000_000, "ce-more": "y" * 1_000_000})
    assert sum(len(name) + len(value) for name, value in huge.items()) <= HEADERS_CHARACTERS + 1
    assert refused(DOOR.command, SUBJECT, b"{}", NOW, huge).code == "oversized"


def test_a_header_that_comes_twice_and_is_too_long_together_is_too_long() -> None:
    twice = event_headers({"ce-why": "x" * 10_000, "CE-Why": "y" * 10_000})
    assert refused(DOOR.command, SUBJECT, b"{}", NOW, twice).code == "oversized"


def test_other_headers_make_no_event_binary() -> None:
    others = {"Nats-Msg-Id": "1", "traceparent": "x", "Spark-Reply-To": "inbox"}
    assert event_headers(others) == {}
    assert DOOR.command(SUBJECT, json.dumps(EVENT).encode(), NOW, event_headers(others)).envelope == structured()


@pytest.mark.parametrize(
    "media_type", ["", "json", "application", "application/json;", "a/json b", "application/ json"]
)
def test_what_is_no_media_type_is_none_of_json(media_type: str) -> None:
    assert not is_json(media_type)


def test_what_is_kept_of_an_event_in_binary_mode_can_be_sent_again() -> None:
    kept = whole_event(json.dumps(EVENT["data"]).encode(), event_headers(binary_headers(why="so")))
    assert DOOR.command(SUBJECT, kept, NOW).envelope == structured(why="so")
    assert json.loads(whole_event(b"7", {"ce-data": "x"})) == {"data": 7}
    assert whole_event(b"\xff", event_headers(binary_headers())) == b"\xff"
    assert whole_event(b"{}", {}) == b"{}"


extension_names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).map(lambda name: f"x{name}")
extension_values = (
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=100)
    | st.integers(-(2**31), 2**31 - 1)
    | st.booleans()
)


@settings(deadline=None)
@given(st.dictionaries(extension_names, extension_values, max_size=20))
def test_any_extensions_come_in_alike_in_both_modes(extensions: dict[str, object]) -> None:
    assert structured(**extensions) == structured()
    assert binary(binary_headers(**extensions)) == structured()


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=20).map(lambda name: f"ce-{name}"), st.text(max_size=60), max_size=8))
def test_any_headers_are_refused_with_a_reason_or_read(headers: dict[str, str]) -> None:
    try:
        envelope, told = binary({**binary_headers(), **headers}), ""
    except RefusedError as error:
        envelope, told = structured(), error.detail
    assert told.isprintable()
    assert decode_data(REGISTRY, envelope) == DONATION
