"""The catalogue: every message is in it, its examples fit its schemas, and its AsyncAPI document holds together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from domain.accounting import messages as accounting
from domain.auth import messages as auth
from domain.bitcoin import messages as bitcoin
from domain.crowdfunding import messages as crowdfunding
from domain.dashboard import views
from spark_actors.kernel.messages import Command, Event, MessageRegistry, Query
from spark_actors.messaging.catalogue import MessageEntry, asyncapi, entries
from spark_actors.operations import messages as operations
from tests.fixtures.application import example

REGISTRY = MessageRegistry(
    [
        *(*auth.MESSAGES, *accounting.MESSAGES, *crowdfunding.MESSAGES, *bitcoin.MESSAGES),
        *(*views.QUERIES, *operations.MESSAGES),
    ]
)
ENTRIES = entries(REGISTRY, example)
DOCUMENT = asyncapi(REGISTRY, example, title="Satoshi Spark", version="1.2.3")
COMMANDS = [cls for cls in REGISTRY if issubclass(cls, Command)]
QUERIES = [cls for cls in REGISTRY if issubclass(cls, Query)]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def resolved(reference: str) -> Any:
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return resolved(node["$ref"]) if set(node) == {"$ref"} else node


def check(schema: dict[str, Any], value: object) -> None:
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(value)


def test_every_message_is_listed_once() -> None:
    assert sorted(entry.name for entry in ENTRIES) == sorted(cls.TYPE.name for cls in REGISTRY)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_example_fits_its_schema(entry: MessageEntry) -> None:
    check(entry.schema, entry.example)
    assert entry.description


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.TYPE.name)
def test_every_command_is_listed_with_the_reasons_for_which_it_may_be_rejected(command: type[Command]) -> None:
    entry = next(entry for entry in ENTRIES if entry.name == command.TYPE.name)
    assert entry.reasons == tuple(map(str, command.TYPE.reasons)) != ()
    assert DOCUMENT["operations"][command.__name__]["x-reasons"] == list(entry.reasons)


def test_what_only_earlier_releases_said_is_not_listed() -> None:
    assert "auth.registration-rejected" not in {entry.name for entry in ENTRIES}
    assert {entry.version for entry in ENTRIES if entry.name == "crowdfunding.donation-rejected"} == {2}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.TYPE.name)
def test_every_view_has_a_schema_of_its_answer(query: type[Query]) -> None:
    entry = next(entry for entry in ENTRIES if entry.name == query.TYPE.name)
    assert entry.result_schema is not None
    check(entry.result_schema, msgspec.json.decode(msgspec.json.encode(example(query.RESULT))))


def test_a_schema_refuses_what_the_door_refuses() -> None:
    entry = next(entry for entry in ENTRIES if entry.name == "crowdfunding.donate-to-campaign")
    validator = Draft202012Validator(entry.schema)
    for change in ({"amount_sat": "5"}, {"amount_sat": 2**63}, {"extra": 1}, {"account_id": ""}, {"account_id": "a\0"}):
        assert not validator.is_valid({**entry.example, **change})


def test_every_reference_of_the_document_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > len(COMMANDS)
    for reference in found:
        assert resolved(reference)


def test_the_document_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["version"] == "1.2.3"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.TYPE.name)
def test_every_command_is_received_and_its_outcome_sent_where_its_header_says(command: type[Command]) -> None:
    operation = DOCUMENT["operations"][command.__name__]
    assert operation["action"] == "receive"
    assert resolved(operation["channel"]["$ref"])["address"] == f"spark.commands.{command.TYPE.name}"
    assert operation["reply"]["address"] == {"location": "$message.header#/Spark-Reply-To"}
    assert list(resolved(operation["reply"]["channel"]["$ref"])["messages"]) == ["Outcome"]
    assert resolved(operation["messages"][0]["$ref"])["name"] == f"spark.{command.TYPE.name}.v{command.TYPE.version}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.TYPE.name)
def test_every_command_may_come_in_binary_mode(command: type[Command]) -> None:
    name = f"{command.__name__}InBinaryMode"
    assert {"$ref": f"#/channels/{command.__name__}/messages/{name}"} in DOCUMENT["operations"][command.__name__][
        "messages"
    ]
    headers = DOCUMENT["components"]["messages"][name]["headers"]
    good = {
        "ce-specversion": "1.0",
        "ce-id": "m-1",
        "ce-source": "/shop",
        "ce-type": f"spark.{command.TYPE.name}.v{command.TYPE.version}",
        "ce-partitionkey": "x",
        "Spark-Authorization": "Bearer x",
    }
    check(headers, good)
    for missing in ("ce-specversion", "ce-id", "ce-source", "ce-type"):
        assert not Draft202012Validator(headers).is_valid({name: good[name] for name in good if name != missing})


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.TYPE.name)
def test_every_query_is_a_request_with_its_view_as_reply(query: type[Query]) -> None:
    operation = DOCUMENT["operations"][query.__name__]
    assert resolved(operation["channel"]["$ref"])["address"] == f"spark.queries.{query.TYPE.name}"
    assert query.RESULT.__name__ in resolved(operation["reply"]["channel"]["$ref"])["messages"]


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_every_message_of_the_document_has_an_example_that_fits(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    for shown in message["examples"]:
        check(schema, shown["payload"])


def test_events_are_described_but_not_received() -> None:
    events = {cls.__name__ for cls in REGISTRY if issubclass(cls, Event)}
    assert events <= set(DOCUMENT["components"]["messages"])
    assert not events & set(DOCUMENT["operations"])
