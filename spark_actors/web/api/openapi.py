"""The API as an OpenAPI 3.1 document, from the same catalogue as the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from spark_actors.kernel.messages import Action, Command, MessageRegistry, Query, Sender
from spark_actors.messaging.catalogue import MessageEntry
from spark_actors.messaging.cloudevents import EVENT_CONTENT_TYPE
from spark_actors.messaging.schemas import Schemas
from spark_actors.web import tuning
from spark_actors.web.api.calls import has_secrets
from spark_actors.web.api.problems import PROBLEM_TYPE

JsonObject = dict[str, Any]
OPENAPI = "3.1.0"
JSON = "application/json"
FOLDERS = {"command": "commands", "query": "views", "action": "actions"}
"""Under which path messages of a kind are; events stay inside."""
_EXAMPLE_ID = "2f1e0d9c-8b7a-4c6d-9e5f-4a3b2c1d0e55"
_TOLD = {
    400: "It is malformed: `detail` says what was wrong, the value, and what was expected.",
    401: "Nobody, or a token that is not believed: log in.",
    403: "Not this sender's to send or to see.",
    404: "There is no such message here; of a view also: no such thing, or none that this asker may see.",
    405: "Not by this method.",
    409: "The id was used for something else.",
    413: "More bytes than are taken.",
    415: "Not JSON.",
    422: "Rejected by the business: `reason` says why. It is final for this id.",
    429: "Too many attempts: `Retry-After` says when.",
    500: "It could not be handled. A command is kept for the operators of the daemon.",
    503: "The daemon is away or busy: `Retry-After` says when. What was sent may have arrived or not.",
}
_ALWAYS = (400, 401, 403, 404, 413, 415, 429, 500, 503)
_OF_COMMANDS = (*_ALWAYS, 409, 422)
_OF_QUESTIONS = (400, 401, 403, 404, 405, 429, 500, 503)


class Outcome(BaseModel):
    """How a command ended, or how far it has come."""

    id: str = Field(description="The id of the command: sent again under it, it counts once.")
    outcome: Literal["done", "parked", "under_way"] = Field(
        description="done; parked: it waits durably behind one that failed; under_way: it is stored, and how it ends "
        "is not known yet."
    )
    reason: str = Field(description="Why it is parked; empty else.")
    data: dict[str, Any] = Field(description="A few plain values.")
    again: str | None = Field(None, description="How to ask for the outcome, where it is not known yet.")


class Problem(BaseModel):
    """Problem details by RFC 9457."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What was wrong, the value, and what was expected.")
    reason: str = Field(description="One word in snake case.")
    id: str | None = Field(None, description="Of a command: its id.")
    data: dict[str, Any] | None = Field(None, description="Of a rejected command: a few plain values.")


def path_of(entry: MessageEntry) -> str:
    """Where a message is sent or asked for; empty for an event."""
    folder = FOLDERS.get(entry.kind)
    return f"/api/{folder}/{entry.name.replace('.', '/')}" if folder else ""


def openapi(registry: MessageRegistry, entries: Iterable[MessageEntry], *, title: str, version: str) -> JsonObject:
    """The document of all commands, views and actions of *registry*."""
    paths: JsonObject = {}
    for entry in entries:
        cls = registry.current(entry.name)
        if issubclass(cls, Command):
            paths[path_of(entry)] = {"post": _command(cls, entry)}
        elif issubclass(cls, Action):
            paths[path_of(entry)] = {"post": _question(cls, entry, by="post")}
        elif issubclass(cls, Query):
            ways = ("post",) if has_secrets(cls) else ("get", "post")
            paths[path_of(entry)] = {way: _question(cls, entry, by=way) for way in ways}
            if not has_secrets(cls):
                paths[f"/api/stream/{entry.name.replace('.', '/')}"] = {"get": _stream(cls, entry)}
    return {
        "openapi": OPENAPI,
        "info": {"title": title, "version": version, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": _schemas(registry),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


_ABOUT = (
    "Commands, views and actions of the daemon. A command takes effect once under its `Idempotency-Key`. Problems are "
    "RFC 9457 problem details with the member `reason`. Events are in `/asyncapi.json`."
)


def _command(cls: type[Command], entry: MessageEntry) -> JsonObject:
    told = f"May be rejected: {', '.join(entry.reasons)}." if entry.reasons else ""
    return {
        **_operation(entry, "send", told),
        **_security(cls),
        "parameters": _command_headers(cls),
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": _schema(cls.__name__), "example": entry.example},
                EVENT_CONTENT_TYPE: {"schema": _schema(f"{cls.__name__}Event")},
            },
        },
        "responses": {
            "200": _answer("Done.", Outcome.__name__, _outcome("done")),
            "202": _answer("Stored, and how it ends is not known yet.", Outcome.__name__, _outcome("under_way")),
            **_problems(_OF_COMMANDS),
        },
        **({"x-reasons": list(entry.reasons)} if entry.reasons else {}),
    }


def _command_headers(cls: type[Command]) -> list[JsonObject]:
    key = "An id of your own, such as a UUID. Without one a new one is made, and told."
    wait = f"`wait=N`: at most so many seconds for the outcome, {tuning.OUTCOME_SECONDS:g} if not said."
    why = "Why this is done by hand (percent-encoded); remembered with it."
    headers = [_header("Idempotency-Key", key), _header("Prefer", wait)]
    return [*headers, _header("ce-why", why)] if cls.TYPE.needs_why else headers


def _question(cls: type[Query], entry: MessageEntry, *, by: str) -> JsonObject:
    asked: JsonObject = {"parameters": _fields(entry)}
    if by == "post":
        content = {JSON: {"schema": _schema(cls.__name__), "example": entry.example}}
        asked = {"requestBody": {"required": True, "content": content}}
    verb = "act" if entry.kind == "action" else {"get": "view", "post": "ask"}[by]
    return {
        **_operation(entry, verb),
        **_security(cls),
        **asked,
        "responses": {
            "200": _answer("The answer.", cls.RESULT.__name__),
            **_problems(_ALWAYS if by == "post" else _OF_QUESTIONS),
        },
    }


def _stream(cls: type[Query], entry: MessageEntry) -> JsonObject:
    told = (
        "Server-sent events: each message without a name has the view as JSON, now and whenever it has changed. `away` "
        "and `back` tell of the daemon; after `over` (the token has ended) and `bye` (come again) nothing follows."
    )
    return {
        **_operation(entry, "stream", told),
        **_security(cls),
        "parameters": _fields(entry),
        "responses": {
            "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **_problems(_OF_QUESTIONS),
        },
    }


def _operation(entry: MessageEntry, verb: str, more: str = "") -> JsonObject:
    context, _, name = entry.name.partition(".")
    return {
        "operationId": f"{verb}-{context}-{name}",
        "summary": entry.description.partition("\n")[0],
        "description": "\n\n".join(filter(None, [entry.description, f"May send it: {entry.sent_by}.", more])),
        "tags": [context],
        "x-sent-by": entry.sent_by,
    }


def _security(cls: type[Command | Query]) -> JsonObject:
    nobody: list[JsonObject] = [{}] if cls.TYPE.sent_by is Sender.ANYBODY else []
    return {"security": [*nobody, {"token": []}]}


def _fields(entry: MessageEntry) -> list[JsonObject]:
    return [_parameter(entry, name, schema) for name, schema in entry.schema.get("properties", {}).items()]


def _parameter(entry: MessageEntry, name: str, schema: JsonObject) -> JsonObject:
    """One that is left out has its default; null is not written in an address."""
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    plain = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if len(options) == 1:
        plain |= options[0]
    elif options:
        plain["anyOf"] = options
    if schema.get("default") is not None:
        plain["default"] = schema["default"]
    if reference := plain.get("$ref"):
        plain = {**plain, **entry.schema["$defs"][reference.rpartition("/")[2]]}
        del plain["$ref"]
    is_needed = name in entry.schema.get("required", ())
    return {"name": name, "in": "query", "required": is_needed, "schema": plain}


def _header(name: str, told: str) -> JsonObject:
    return {"name": name, "in": "header", "required": False, "description": told, "schema": {"type": "string"}}


def _schema(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(told: str, schema: str, example: JsonObject | None = None) -> JsonObject:
    shown = {"example": example} if example else {}
    return {"description": told, "content": {JSON: {"schema": _schema(schema), **shown}}}


def _outcome(outcome: str) -> JsonObject:
    return {"id": _EXAMPLE_ID, "outcome": outcome, "reason": "", "data": {}}


def _problems(statuses: tuple[int, ...]) -> JsonObject:
    content = {PROBLEM_TYPE: {"schema": _schema(Problem.__name__)}}
    return {str(status): {"description": _TOLD[status], "content": content} for status in sorted(statuses)}


def _schemas(registry: MessageRegistry) -> JsonObject:
    schemas = Schemas()
    models: list[type[BaseModel]] = [Outcome, Problem]
    for cls in registry:
        if issubclass(cls, Command):
            models += [schemas.of(cls), schemas.event_of(cls)]
        if issubclass(cls, Query):
            models += [schemas.of(cls), schemas.of(cls.RESULT)]
    template = "#/components/schemas/{model}"
    _, document = models_json_schema([(model, "validation") for model in models], ref_template=template)
    definitions: JsonObject = document["$defs"]
    return definitions
