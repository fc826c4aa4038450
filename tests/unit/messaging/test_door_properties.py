"""The door under arbitrary bytes and mutated messages: a refusal or a valid envelope, never anything else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounting import messages as accounting
from domain.auth import messages as auth
from domain.bitcoin import messages as bitcoin
from domain.crowdfunding import messages as crowdfunding
from domain.dashboard import views
from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.messaging.cloudevents import command_body, command_subject
from spark_actors.messaging.door import Door, RefusedError, refusal_body
from spark_actors.messaging.envelope import Envelope, decode_data, encode_data, pack, unpack_envelopes
from tests.fixtures.application import example

REGISTRY = MessageRegistry(
    [*auth.MESSAGES, *accounting.MESSAGES, *crowdfunding.MESSAGES, *bitcoin.MESSAGES, *views.QUERIES]
)
DOOR = Door(REGISTRY, 20_000)
COMMANDS = [cls for cls in REGISTRY if issubclass(cls, Command)]
NOW = datetime(2026, 1, 3, 18, 15, 5, tzinfo=UTC)

unhurried = settings(deadline=None)  # a busy machine is no failure
any_text = st.text(st.characters(exclude_categories=()), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def check_that_it_can_be_told(error: RefusedError) -> None:
    assert refusal_body(error)
    assert error.detail.encode()
    assert len(error.detail) < 2_000


def taken(subject: str, body: bytes) -> Envelope | None:
    """The envelope, checked; None if the message was refused (which must be fit to be told)."""
    try:
        envelope = DOOR.command(subject, body, NOW).envelope
    except RefusedError as error:
        check_that_it_can_be_told(error)
        return None
    assert encode_data(decode_data(REGISTRY, envelope)) == envelope.data
    assert decode_data(REGISTRY, envelope).key == envelope.key
    assert unpack_envelopes(pack([envelope])) == [envelope]
    return envelope


def body_of(cls: type[Command]) -> bytes:
    return command_body(example(cls), message_id="m-1", source="/tests")


@unhurried
@given(st.sampled_from(COMMANDS))
def test_every_command_comes_in_as_it_was_sent(cls: type[Command]) -> None:
    envelope = taken(command_subject(cls.TYPE), body_of(cls))
    assert envelope is not None
    assert decode_data(REGISTRY, envelope) == example(cls)


@unhurried
@given(st.text(), st.binary(max_size=200) | json_values.map(json.dumps).map(str.encode))
def test_arbitrary_bytes_are_refused_and_never_break_the_door(subject: str, body: bytes) -> None:
    assert taken(subject, body) is None
    assert taken("spark.commands.auth.register-account", body) is None


@unhurried
@given(st.sampled_from(COMMANDS), st.data())
def test_a_message_with_bytes_changed_is_refused_or_valid(cls: type[Command], data: st.DataObject) -> None:
    body = bytearray(body_of(cls))
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 8)))
    body[start:end] = data.draw(
        st.binary(max_size=8) | any_text.map(lambda text: text.encode("utf-8", "surrogatepass"))
    )
    taken(command_subject(cls.TYPE), bytes(body))


@unhurried
@given(st.sampled_from(COMMANDS), st.data())
def test_a_message_with_members_changed_is_refused_or_valid(cls: type[Command], data: st.DataObject) -> None:
    body = json.loads(body_of(cls))
    for members in (body, body["data"]):
        name = data.draw(st.sampled_from(sorted(members)) | any_text)
        if data.draw(st.booleans()):
            members[name] = data.draw(json_values)
        else:
            members.pop(name, None)
    taken(command_subject(cls.TYPE), json.dumps(body).encode())


@unhurried
@given(
    st.sampled_from(sorted(cls.TYPE.name for cls in views.QUERIES)),
    st.binary(max_size=60) | json_values.map(json.dumps).map(str.encode),
)
def test_any_query_is_refused_or_valid(name: str, body: bytes) -> None:
    try:
        query = DOOR.query(f"spark.queries.{name}", body)
    except RefusedError as error:
        check_that_it_can_be_told(error)
    else:
        assert type(query) is REGISTRY.find(name)
