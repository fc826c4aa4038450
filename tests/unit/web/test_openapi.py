"""The OpenAPI document: valid, whole, and true."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from domain.application import APPLICATION
from spark_actors.kernel.messages import Action, Command, Event, Message, Query, Sender
from spark_actors.messaging import catalogue
from spark_actors.version import version
from spark_actors.web.api.calls import has_secrets
from tests.fixtures.api import Program

MESSAGES = [cls for cls in APPLICATION.registry if not issubclass(cls, Event)]
METHODS = {"get", "post"}


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = Program().get("/openapi.json").json()
    return found


def path_of(cls: type[Message]) -> str:
    folder = {"command": "commands", "query": "views", "action": "actions"}[cls.TYPE.kind]
    return f"/api/{folder}/{cls.TYPE.name.replace('.', '/')}"


def operations(cls: type[Message]) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][path_of(cls)]
    return found


def test_it_is_valid() -> None:
    validate(document())


def test_every_command_view_and_action_is_in_it_and_nothing_else() -> None:
    streams = {path_of(cls).replace("/views/", "/stream/") for cls in MESSAGES if cls.TYPE.kind == "query"}
    passwords = {path_of(cls).replace("/views/", "/stream/") for cls in MESSAGES if has_secrets(cls)}
    assert set(document()["paths"]) == {path_of(cls) for cls in MESSAGES} | (streams - passwords)


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.TYPE.name)
def test_each_says_who_may_send_it_and_its_example_is_of_its_schema(cls: type[Message]) -> None:
    for operation in operations(cls).values():
        assert operation["x-sent-by"] == catalogue.sent_by(cls.TYPE)
        assert operation["x-sent-by"] in operation["description"]
        assert ({} in operation["security"]) == (cls.TYPE.sent_by is Sender.ANYBODY)
        assert {"400", "401", "403", "404", "500", "503"} <= set(operation["responses"])
    content = operations(cls)["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": document()["components"]}
    assert list(Draft202012Validator(schema).iter_errors(content["example"])) == []


@pytest.mark.parametrize("cls", [cls for cls in MESSAGES if issubclass(cls, Command)], ids=lambda cls: cls.TYPE.name)
def test_a_command_has_its_key_its_ends_and_its_reasons(cls: type[Command]) -> None:
    operation = operations(cls)["post"]
    headers = {each["name"] for each in operation["parameters"]}
    assert headers == {"Idempotency-Key", "Prefer"} | ({"ce-why"} if cls.TYPE.needs_why else set())
    assert {"200", "202", "409", "413", "415", "422"} <= set(operation["responses"])
    assert operation.get("x-reasons", []) == list(map(str, cls.TYPE.reasons))
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/cloudevents+json"}


@pytest.mark.parametrize("cls", [cls for cls in MESSAGES if issubclass(cls, Query)], ids=lambda cls: cls.TYPE.name)
def test_a_question_with_a_password_and_an_action_are_posted(cls: type[Query]) -> None:
    assert set(operations(cls)) == ({"post"} if has_secrets(cls) or issubclass(cls, Action) else METHODS)


def test_passwords_are_known_by_their_names() -> None:
    assert {cls.TYPE.name for cls in MESSAGES if has_secrets(cls)} == {"auth.login", "auth.register-account"}


def test_the_asyncapi_document_is_the_command_lines() -> None:
    of = APPLICATION
    expected = catalogue.asyncapi(of.registry, of.examples, title=of.name, version=version())
    answer = Program().get("/asyncapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["channels"].keys() == expected["channels"].keys()
    assert answer.json()["info"] == expected["info"]
