"""The door: what it lets in, and for everything else the precise reason."""

from __future__ import annotations

import json
import pickle
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from domain.accounting import messages as accounting
from domain.accounting.messages import RequestTransfer
from domain.auth import messages as auth
from domain.auth.messages import RegisterAccount
from domain.bitcoin import messages as bitcoin
from domain.bitcoin.messages import MAX_PAYMENT_REQUEST_LENGTH, IssueInvoice, RequestWithdrawal
from domain.crowdfunding import messages as crowdfunding
from domain.crowdfunding.messages import MAX_DESCRIPTION_LENGTH, CreateCampaign, DonateToCampaign
from domain.dashboard import views
from domain.dashboard.views import ViewAccountOverview, ViewActivity, ViewCampaigns
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.ids import MAX_ID_LENGTH
from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.messaging.cloudevents import command_body, command_subject
from spark_actors.messaging.door import Door, RefusedError, outcome_body, refusal_body
from spark_actors.messaging.envelope import Reply, decode_data
from tests.shop.orders import messages as orders

REGISTRY = MessageRegistry(
    [*auth.MESSAGES, *accounting.MESSAGES, *crowdfunding.MESSAGES, *bitcoin.MESSAGES, *views.QUERIES]
)
MAX_BODY_BYTES = 65_536
DOOR = Door(REGISTRY, MAX_BODY_BYTES)
NOW = datetime(2026, 1, 3, 18, 15, 5, tzinfo=UTC)
DONATION = DonateToCampaign(campaign_id="c-1", donation_id="d-1", account_id="alice", amount_sat=1_000)
DONATION_SUBJECT = "spark.commands.crowdfunding.donate-to-campaign"


def a_body(command: Command = DONATION, *, data: dict[str, Any] | None = None, **attributes: object) -> bytes:
    """A valid body with members changed; a member changed to `...` is taken out."""
    body = json.loads(command_body(command, message_id="m-1", source="/tests"))
    body["data"] = _changed(body["data"], data or {})
    return json.dumps(_changed(body, attributes)).encode()


def _changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ...}


def refusal(body: bytes, subject: str = DONATION_SUBJECT, door: Door = DOOR) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        door.command(subject, body, NOW)
    return caught.value


def test_a_valid_command_comes_in_with_all_that_is_known_about_it() -> None:
    body = a_body(correlationid="story", causationid="cause", time="2026-01-03T18:00:00+02:00")
    envelope, source = DOOR.command(DONATION_SUBJECT, body, NOW)

    assert (envelope.message_id, envelope.name, envelope.version) == ("m-1", "crowdfunding.donate-to-campaign", 1)
    assert (envelope.key, envelope.correlation_id, envelope.causation_id) == ("c-1", "story", "cause")
    assert (envelope.occurred_at, source) == (NOW, "/tests")
    assert decode_data(REGISTRY, envelope) == DONATION


def test_a_first_message_leaves_its_story_to_be_named_after_its_sender() -> None:
    envelope = DOOR.command(DONATION_SUBJECT, a_body(), NOW).envelope
    assert (envelope.correlation_id, envelope.causation_id) == ("", "")


def test_white_space_order_and_escapes_make_no_difference_to_what_goes_on() -> None:
    twisted = json.dumps(json.loads(a_body()), indent=3, sort_keys=True).replace("alice", "\\u0061lice").encode()
    assert DOOR.command(DONATION_SUBJECT, twisted, NOW) == DOOR.command(DONATION_SUBJECT, a_body(), NOW)


def test_an_instant_goes_on_in_utc() -> None:
    issued = IssueInvoice(invoice_id="i-1", payment_request="lnbc1x", payment_hash="00", expires_at=NOW)
    body = a_body(issued, data={"expires_at": "2026-01-03T20:15:05.000+02:00"})
    envelope = DOOR.command(command_subject(issued.TYPE), body, NOW).envelope
    assert decode_data(REGISTRY, envelope) == issued
    assert b'"2026-01-03T18:15:05Z"' in envelope.data


REFUSED_MEMBERS = [
    ({"type": ...}, "malformed_envelope", "type is missing"),
    ({"type": 7}, "malformed_envelope", "type = 7"),
    ({"type": "spark.nobody.knows.v1"}, "unknown_type", "'spark.nobody.knows.v1'"),
    ({"type": "spark.crowdfunding.donate-to-campaign.v9"}, "unknown_type", "v9"),
    ({"type": "spark.crowdfunding.donation-registered.v1"}, "unknown_type", "not a command"),
    ({"type": "spark.auth.register-account.v1"}, "subject_type_mismatch", "spark.commands.auth.register-account"),
    ({"subject": "c-2"}, "key_mismatch", "subject = 'c-2': expected the value of data.campaign_id, 'c-1'"),
    ({"subject": ""}, "malformed_envelope", "subject = ''"),
    ({"specversion": "0.3"}, "malformed_envelope", "specversion = '0.3': input should be '1.0'"),
    ({"source": ""}, "malformed_envelope", "source = ''"),
    ({"time": "2026-01-03T18:00:00"}, "malformed_envelope", "RFC 3339"),
    ({"time": "1700000000"}, "malformed_envelope", "RFC 3339"),
    ({"time": "2026-02-30T00:00:00Z"}, "malformed_envelope", "RFC 3339"),
    ({"time": "0001-01-01T00:00:00+23:59"}, "malformed_envelope", "from 2000"),
    ({"datacontenttype": "text/xml"}, "malformed_envelope", "datacontenttype = 'text/xml': expected application/json"),
    (
        {"partition_key": "x"},
        "malformed_envelope",
        "partition_key is no name of an attribute: expected a to z and 0 to 9",
    ),
    ({"correlationid": "a\nb"}, "malformed_envelope", "correlationid = 'a\\nb'"),
    ({"data": []}, "malformed_data", "data = an array: expected a JSON object"),
    ({"data": ...}, "malformed_data", "data is missing"),
]


@pytest.mark.parametrize(("changes", "code", "part"), REFUSED_MEMBERS)
def test_a_wrong_attribute_is_refused_by_name(changes: dict[str, Any], code: str, part: str) -> None:
    error = refusal(json.dumps(_changed(json.loads(a_body()), changes)).encode())
    assert (error.code, error.message_id) == (code, "m-1")
    assert part in error.detail


REFUSED_DATA = [
    ({"amount_sat": "5"}, "data.amount_sat = '5': input should be a valid integer"),
    ({"amount_sat": 5.0}, "data.amount_sat = 5.0"),
    ({"amount_sat": True}, "data.amount_sat = True"),
    ({"amount_sat": None}, "data.amount_sat = None"),
    ({"amount_sat": 2**63}, "less than or equal to 9223372036854775807"),
    ({"amount_sat": -(2**63) - 1}, "greater than or equal to -9223372036854775808"),
    ({"account_id": ...}, "data.account_id is missing"),
    ({"account_id": ""}, "at least 1 character"),
    ({"account_id": "x" * 201}, "at most 200 characters"),
    ({"account_id": "a\x00b"}, "data.account_id = 'a\\x00b': contains a control character"),
    ({"account_id": "a\u202eb"}, "one that cannot be seen"),
    ({"account_id": "a b"}, "data.account_id = 'a b': contains a space"),
    ({"account_id": "ann\u3164"}, "data.account_id = 'ann\\u3164': contains a character that cannot be seen"),
    ({"account_id": "re\u0301my"}, "data.account_id = 're\\u0301my': is not in Unicode's normal form C"),
    ({"account_id": "\ud800"}, "cannot be seen"),
    ({"amount": 5}, "data.amount is not a known field: expected only campaign_id, donation_id, account_id, amount_sat"),
]


@pytest.mark.parametrize(("changes", "part"), REFUSED_DATA)
def test_a_wrong_field_is_refused_by_name_and_value(changes: dict[str, Any], part: str) -> None:
    error = refusal(a_body(data=changes))
    assert (error.code, error.message_id) == ("malformed_data", "m-1")
    assert part in error.detail


REFUSED_BYTES = [
    (b"", "not_json", "it is empty"),
    (b"hello", "not_json", "line 1 column 1"),
    (b"\xef\xbb\xbf{}", "not_json", "byte order mark"),
    (b'{"id":"\xff"}', "not_json", "byte 7 is not UTF-8"),
    (b'{"id":NaN}', "not_json", "NaN is not a JSON number"),
    (b'{"id":-Infinity}', "not_json", "-Infinity is not a JSON number"),
    (b'{"id":"a","id":"b"}', "not_json", "key 'id' comes more than once"),
    (b'{"data":{"x":1,"x":1}}', "not_json", "key 'x' comes more than once"),
    (b'{"a":' + b"9" * 5_000 + b"}", "not_json", "digits"),
    (b'{"a":' + b"[" * 50_000, "not_json", "nested too deeply"),
    (b"[" * 60_000, "not_json", "nested too deeply"),
    (b"{} {}", "not_json", "Extra data"),
    (b"[]", "malformed_envelope", "body = an array: expected a JSON object"),
    (b"null", "malformed_envelope", "body = None"),
    (b"x" * (MAX_BODY_BYTES + 1), "oversized", "body of 65537 bytes: expected at most 65536"),
]


@pytest.mark.parametrize(("body", "code", "part"), REFUSED_BYTES)
def test_bytes_that_are_no_json_object_are_refused(body: bytes, code: str, part: str) -> None:
    error = refusal(body)
    assert error.code == code
    assert part in error.detail
    assert len(error.detail) < 400


def test_a_key_that_comes_twice_is_refused_even_with_the_same_value() -> None:
    body = a_body().replace(b'"amount_sat": 1000', b'"amount_sat": 1000, "amount_sat": 1000')
    assert refusal(body).code == "not_json"


@pytest.mark.parametrize(
    "subject", ["spark.commands.nobody.knows", "spark.commands", "", "spark.commands.bitcoin.\x00"]
)
def test_an_unknown_subject_is_refused(subject: str) -> None:
    error = refusal(a_body(), subject)
    assert (error.code, error.message_id) == ("unknown_subject", "m-1")


@pytest.mark.parametrize("key", ["c-1", "a", "Zoë-7", "x" * 200])
def test_a_subject_may_end_with_the_bucket_of_the_key_and_the_command_is_the_same(key: str) -> None:
    body = a_body(replace(DONATION, campaign_id=key))
    with_bucket = f"{DONATION_SUBJECT}.{zlib.crc32(key.encode()) & 4095}"
    assert DOOR.command(with_bucket, body, NOW) == DOOR.command(DONATION_SUBJECT, body, NOW)


@pytest.mark.parametrize("form", ["{0:d}", "0{1:d}", "+{1:d}", "{1:x}", " {1:d}", "{1:d} ", "-1", "x", "*", "\u0661"])
def test_a_subject_that_ends_with_anything_but_the_bucket_of_the_key_is_refused(form: str) -> None:
    right = zlib.crc32(b"c-1") & 4095
    error = refusal(a_body(), f"{DONATION_SUBJECT}.{form.format(right ^ 1, right)}")
    assert (error.code, error.message_id) == ("bucket_mismatch", "m-1")
    assert f"expected {right} (CRC-32 of data.campaign_id, & 4095), or none" in error.detail


@pytest.mark.parametrize("tail", [".", "..", ".{0}.", ".{0}.{0}", "{0}"])
def test_a_bucket_stands_behind_the_subject_of_a_command_and_nowhere_else(tail: str) -> None:
    bucket = zlib.crc32(b"c-1") & 4095
    assert refusal(a_body(), DONATION_SUBJECT + tail.format(bucket)).code == "unknown_subject"
    with pytest.raises(RefusedError, match="unknown_subject"):
        DOOR.query(f"spark.queries.dashboard.campaigns.{bucket}", b"")


@pytest.mark.parametrize("message_id", ["", "x" * 201, "a\nb", "a b", "\u3164", "\ud800", 7, None])
def test_an_id_that_cannot_be_kept_is_refused_and_not_repeated(message_id: object) -> None:
    error = refusal(a_body(id=message_id))
    assert (error.code, error.message_id) == ("malformed_envelope", "")


def test_what_becomes_a_key_in_another_context_is_no_longer_than_a_key_may_be() -> None:
    subject = command_subject(RequestTransfer.TYPE)
    transfer = RequestTransfer(
        transfer_id="t",
        from_account_id="a",
        to_account_id="b",
        amount_sat=1,
        purpose="p",
        reference="r" * MAX_ID_LENGTH,
    )
    assert DOOR.command(subject, a_body(transfer), NOW).envelope.key == "a"
    assert refusal(a_body(transfer, data={"reference": "r" * (MAX_ID_LENGTH + 1)}), subject).code == "malformed_data"


def test_a_description_may_have_line_breaks_and_a_title_may_not() -> None:
    campaign = CreateCampaign(campaign_id="c", account_id="a", title="t", description="one\n\ttwo 👩‍🌾", goal_sat=1)
    envelope = DOOR.command(command_subject(campaign.TYPE), a_body(campaign), NOW).envelope
    assert decode_data(REGISTRY, envelope) == campaign
    assert refusal(a_body(campaign, data={"title": "a\nb"}), command_subject(campaign.TYPE)).code == "malformed_data"


BOUNDED = [
    (CreateCampaign(campaign_id="c", account_id="a", title="t", description="x" * MAX_DESCRIPTION_LENGTH, goal_sat=1)),
    (
        RequestWithdrawal(
            invoice_id="w",
            account_id="a",
            amount_sat=1,
            payment_request="x" * MAX_PAYMENT_REQUEST_LENGTH,
        )
    ),
]


@pytest.mark.parametrize("command", BOUNDED, ids=lambda command: command.TYPE.name)
def test_a_text_may_be_as_long_as_the_domain_says_and_no_longer(command: Command) -> None:
    subject = command_subject(command.TYPE)
    assert decode_data(REGISTRY, DOOR.command(subject, a_body(command), NOW).envelope) == command
    field, text = max(vars(command).items(), key=lambda member: len(str(member[1])))
    assert f"at most {len(text)} characters" in refusal(a_body(command, data={field: text + "x"}), subject).detail


def test_a_query_may_ask_for_as_many_lines_as_an_answer_has_and_no_more() -> None:
    most = DOOR.query("spark.queries.dashboard.campaigns", f'{{"limit":{views.MOST_LINES}}}'.encode())
    assert most == ViewCampaigns(limit=views.MOST_LINES)


def test_a_password_hash_is_never_quoted() -> None:
    registration = RegisterAccount(account_id="a", username="u", password_hash="secret\x00")
    error = refusal(a_body(registration), command_subject(registration.TYPE))
    assert "data.password_hash = (hidden)" in error.detail
    assert "secret" not in str(error)


def test_no_more_than_three_problems_are_told() -> None:
    error = refusal(a_body(data={f"x{n}": 1 for n in range(10)}))
    assert error.detail.count("is not a known field") == 3
    assert error.detail.endswith("and 7 more")


SHOP_REGISTRY = MessageRegistry(orders.MESSAGES)
SHOP = Door(SHOP_REGISTRY, MAX_BODY_BYTES)
TEA, MILK = (orders.OrderLine(item_id=item, quantity=2) for item in ("tea", "milk"))
ORDER = orders.PlaceOrder(order_id="o-1", customer_id="ann", lines=(TEA, MILK))


def test_a_list_of_objects_comes_in_as_it_was_sent() -> None:
    envelope = SHOP.command("spark.commands.orders.place-order", a_body(ORDER), NOW).envelope
    assert decode_data(SHOP_REGISTRY, envelope) == ORDER


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        ({}, "data.lines = an object: expected a JSON array"),
        ("tea", "data.lines = 'tea': expected a JSON array"),
        (["tea"], "data.lines.0 = a text: expected a JSON object"),
        ([{"item_id": "tea"}], "data.lines.0.quantity is missing"),
        ([{"item_id": "tea", "quantity": "2"}], "data.lines.0.quantity = '2': input should be a valid integer"),
        ([{"item_id": "a b", "quantity": 2}], "data.lines.0.item_id = 'a b': contains a space"),
        (
            [{"item_id": "tea", "quantity": 2, "hot": 1}],
            "data.lines.0.hot is not a known field: expected only item_id, quantity",
        ),
    ],
)
def test_what_is_wrong_within_a_list_is_refused_by_its_place(lines: object, part: str) -> None:
    body = a_body(ORDER, data={"lines": lines})
    assert part in refusal(body, "spark.commands.orders.place-order", SHOP).detail


def test_events_cannot_be_sent_in() -> None:
    assert refusal(a_body(), "spark.commands.crowdfunding.donation-registered").code == "unknown_subject"


def test_an_empty_query_asks_with_the_defaults() -> None:
    assert DOOR.query("spark.queries.dashboard.campaigns", b"") == ViewCampaigns()
    assert DOOR.query("spark.queries.dashboard.activity", b'{"account_id":""}') == ViewActivity()


def test_a_query_carries_its_fields() -> None:
    body = b'{"limit":5,"before":"2026-01-03T18:15:05Z"}'
    assert DOOR.query("spark.queries.dashboard.campaigns", body) == ViewCampaigns(limit=5, before=NOW)
    overview = DOOR.query("spark.queries.dashboard.account-overview", b'{"account_id":"alice"}')
    assert overview == ViewAccountOverview(account_id="alice")


REFUSED_QUERIES = [
    ("spark.queries.dashboard.campaigns", b'{"limit":0}', "malformed_data", "limit = 0"),
    ("spark.queries.dashboard.campaigns", b'{"limit":201}', "malformed_data", "less than or equal to 200"),
    (
        "spark.queries.dashboard.campaigns",
        b'{"before":"2026-01-03T18:15:05"}',
        "malformed_data",
        "date and time with zone",
    ),
    ("spark.queries.dashboard.campaigns", b'{"page":1}', "malformed_data", "expected only limit, before"),
    ("spark.queries.dashboard.account-overview", b"", "malformed_data", "account_id is missing"),
    ("spark.queries.dashboard.campaigns", b"[]", "malformed_envelope", "body = an array"),
    ("spark.queries.dashboard.campaigns", b"{", "not_json", "not JSON"),
    ("spark.queries.dashboard.nothing", b"{}", "unknown_subject", "spark.queries.<context>.<view>"),
    ("spark.commands.auth.register-account", b"{}", "unknown_subject", "spark.queries.<context>.<view>"),
]


@pytest.mark.parametrize(("subject", "body", "code", "part"), REFUSED_QUERIES)
def test_a_wrong_query_is_refused(subject: str, body: bytes, code: str, part: str) -> None:
    with pytest.raises(RefusedError) as caught:
        DOOR.query(subject, body)
    assert caught.value.code == code
    assert part in caught.value.detail


def test_a_refusal_survives_a_process_boundary() -> None:
    error = RefusedError("not_json", "why", "m-1")
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


def test_the_sender_is_told_how_a_command_ended() -> None:
    body = outcome_body(Reply("ann m-1", Verdict.REJECTED, "insufficient_funds", {"balance_sat": 3}), "m-1")
    expected = {"id": "m-1", "outcome": "rejected", "reason": "insufficient_funds", "data": {"balance_sat": 3}}
    assert msgspec.json.decode(body) == expected


def test_the_sender_is_told_why_a_message_was_refused() -> None:
    body = refusal_body(RefusedError("not_json", "body is not JSON", ""))
    expected = {"id": "", "outcome": "failed", "reason": "not_json", "data": {"detail": "body is not JSON"}}
    assert msgspec.json.decode(body) == expected


@pytest.mark.parametrize(("repeated", "members"), [("", 8_000), (', "k7999": 2', 8_001)], ids=["many", "and one twice"])
def test_an_object_of_very_many_members_is_refused_without_a_look_at_each(repeated: str, members: int) -> None:
    text = ", ".join(f'"k{number}": 1' for number in range(8_000))
    error = refusal(f"{{{text}{repeated}}}".encode(), door=Door(REGISTRY, 1_000_000))
    expected = RefusedError("not_json", f"body is not JSON: an object has {members} members: expected at most 200")
    assert (error.code, error.detail) == (expected.code, expected.detail)
