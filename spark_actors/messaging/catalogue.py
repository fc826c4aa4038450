"""The catalogue of all messages: each with its schema and an example, and the whole as an AsyncAPI 3.0 document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from spark_actors.kernel.messages import (
    Bearer,
    Command,
    Kind,
    Message,
    MessageRegistry,
    MessageType,
    OwnerOf,
    Query,
    Sender,
)
from spark_actors.messaging.cloudevents import (
    ATTRIBUTE_PREFIX,
    AUTHORIZATION_HEADER,
    CONTENT_TYPE_HEADER,
    EVENT_CONTENT_TYPE,
    REPLY_TO_HEADER,
    SPEC_VERSION,
    command_body,
    command_subject,
    event_type,
    query_subject,
)
from spark_actors.messaging.examples import Examples
from spark_actors.messaging.schemas import CloudEvent, Schemas, own_docstring

JsonObject = dict[str, Any]

_EXAMPLE_ID = "2f1e0d9c-8b7a-4c6d-9e5f-4a3b2c1d0e55"
_EXAMPLE_SOURCE = "/examples"
_EXAMPLE_WHY = "paid in at the counter"
_REPLY_ADDRESS = f"$message.header#/{REPLY_TO_HEADER}"
_REPLY_TO: JsonObject = {"type": "string", "description": "Subject to publish the outcome on."}
_OUTCOME, _ERROR = "Outcome", "Error"


class OutcomeBody(BaseModel):
    """How a command ended, published on the subject that its `Spark-Reply-To` header names."""

    id: str = Field(description="Id of the command; empty if it could not be read.")
    outcome: Literal["done", "rejected", "failed", "parked"] = Field(
        description="done; rejected: the business said no; failed: it could not be understood or handled; "
        "parked: it waits durably behind one that failed, and is handled once an operator has seen to that."
    )
    reason: str = Field(description="Why, in snake case; empty when done.")
    data: dict[str, Any] = Field(
        description="A few plain values, such as the detail of a refusal; `truncated` alone if the broker would not "
        "take them in one piece."
    )


class ErrorDetail(BaseModel):
    code: str = Field(
        description="A refusal (malformed_data, forbidden, too_many_attempts …), not_found, unavailable, failed, or "
        "too_large (for the broker to take in one piece: ask for less)."
    )
    detail: str
    retry_after_seconds: int | None = Field(None, description="When it is worth trying again, if waiting helps.")


class ErrorBody(BaseModel):
    """The answer to a query that could not be answered."""

    error: ErrorDetail


@dataclass(frozen=True)
class MessageEntry:
    """A message as the catalogue shows it."""

    name: str
    """Wire name, `<context>.<kebab-name>`."""
    version: int
    kind: Kind
    subject: str
    """Where it is published; empty for an event, which stays inside."""
    type: str
    """The CloudEvents type; empty for a query or an action."""
    key_field: str
    sent_by: str
    """Who may send it, in words; empty for an event."""
    reasons: tuple[str, ...]
    """Of a command: every reason for which it may be rejected."""
    description: str
    schema: JsonObject
    """JSON Schema of the message's own fields."""
    example: JsonObject
    result_schema: JsonObject | None = None
    """JSON Schema of the answer to a query or an action."""


def entries(registry: MessageRegistry, example: Examples) -> list[MessageEntry]:
    """Every message, by kind and name."""
    schemas = Schemas()
    found = [_entry(cls, schemas, example) for cls in registry]
    return sorted(found, key=lambda entry: (entry.kind, entry.name, entry.version))


def asyncapi(registry: MessageRegistry, example: Examples, *, title: str, version: str) -> JsonObject:
    """The AsyncAPI 3.0 document of a daemon that knows *registry*: *title* and *version* are the application's."""
    schemas = Schemas()
    commands = [cls for cls in registry if issubclass(cls, Command)]
    queries = [cls for cls in registry if issubclass(cls, Query)]
    received: list[type[Command | Query]] = [*commands, *queries]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {"nats": _SERVER},
        "channels": _channels(commands, queries),
        "operations": {cls.__name__: _operation(cls) for cls in received},
        "components": {"messages": _messages(registry, example), "schemas": _component_schemas(registry, schemas)},
    }


_ABOUT = (
    "Commands are CloudEvents 1.0 by its NATS protocol binding, in structured mode (JSON) or in binary mode "
    f"(attributes in headers `{ATTRIBUTE_PREFIX}…`, percent-encoded), on a JetStream subject, which may end with "
    "the bucket of the command's key (`.<bucket>`: CRC-32 of the key, & 4095, in decimal); outcomes go out on "
    f"the subject that its `{REPLY_TO_HEADER}` header names. Queries are NATS requests. Both say who sends them by a "
    f"JWT in the header `{AUTHORIZATION_HEADER}`. Events stay inside the daemon "
    "and are listed because views and logs name them."
)
_SERVER: JsonObject = {
    "host": "{host}:{port}",
    "protocol": "nats",
    "description": "The broker that the daemon was started with; the token is in its data folder.",
    "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}},
    "security": [{"type": "userPassword", "description": "The NATS token, as the password."}],
}


def sent_by(message: MessageType) -> str:
    """Who may send it from outside, in words; empty for an event."""
    if message.kind == "event":
        return ""
    if message.sent_by is Sender.ANYBODY:
        return "anybody, without a token"
    if message.sent_by is Sender.KNOWN:
        return "whoever has a token"
    everything = "operators, readers" if message.kind == "query" else "operators"
    if isinstance(message.sent_by, OwnerOf):
        whose = "that of the answer" if message.sent_by.of_result else message.sent_by.field
        return f"the user whose account is {whose}, {everything}"
    return f"the role {message.sent_by.role}, {everything}" if isinstance(message.sent_by, Bearer) else everything


def _entry(cls: type[Message], schemas: Schemas, example: Examples) -> MessageEntry:
    subjects = {"command": command_subject, "query": query_subject, "action": query_subject}
    subject = subjects[cls.TYPE.kind](cls.TYPE) if cls.TYPE.kind in subjects else ""
    return MessageEntry(
        name=cls.TYPE.name,
        version=cls.TYPE.version,
        kind=cls.TYPE.kind,
        subject=subject,
        type="" if issubclass(cls, Query) else event_type(cls.TYPE),
        key_field=cls.TYPE.key_field,
        sent_by=sent_by(cls.TYPE),
        reasons=tuple(map(str, cls.TYPE.reasons)),
        description=own_docstring(cls) or "",
        schema=schemas.of(cls).model_json_schema(),
        example=_plain(example(cls)),
        result_schema=schemas.of(cls.RESULT).model_json_schema() if issubclass(cls, Query) else None,
    )


def _channels(commands: Iterable[type[Command]], queries: Iterable[type[Query]]) -> JsonObject:
    channels: JsonObject = {
        "outcomes": {
            "address": None,
            "description": f"The subject that a command's `{REPLY_TO_HEADER}` header names.",
            "messages": _references("components/messages", _OUTCOME),
        }
    }
    for command in commands:
        messages = _references("components/messages", command.__name__, _binary(command))
        channels[command.__name__] = {"address": command_subject(command.TYPE), "messages": messages}
    for query in queries:
        messages = _references("components/messages", query.__name__)
        channels[query.__name__] = {"address": query_subject(query.TYPE), "messages": messages}
        answers = _references("components/messages", query.RESULT.__name__, _ERROR)
        channels[_answer_channel(query)] = {"address": None, "description": "The request's inbox.", "messages": answers}
    return channels


def _operation(cls: type[Command | Query]) -> JsonObject:
    """The daemon receives the message and replies."""
    reply: JsonObject = {"channel": _reference("channels", "outcomes"), "address": {"location": _REPLY_ADDRESS}}
    if issubclass(cls, Query):
        reply = {"channel": _reference("channels", _answer_channel(cls))}
    refusals: JsonObject = {"x-reasons": list(map(str, cls.TYPE.reasons))} if cls.TYPE.reasons else {}
    return {
        "action": "receive",
        "summary": own_docstring(cls) or cls.TYPE.name,
        **refusals,
        "channel": _reference("channels", cls.__name__),
        "messages": [_reference(f"channels/{cls.__name__}/messages", name) for name in _forms(cls)],
        "reply": reply,
    }


def _messages(registry: MessageRegistry, example: Examples) -> JsonObject:
    messages: JsonObject = {
        _OUTCOME: _message(_OUTCOME, OutcomeBody.__name__, _EXAMPLE_OUTCOME),
        _ERROR: _message(_ERROR, ErrorBody.__name__, _EXAMPLE_ERROR),
    }
    for cls in registry:
        name = cls.__name__
        if issubclass(cls, Command):
            messages[name] = _command_message(cls, example(cls))
            messages[_binary(cls)] = _binary_message(cls, example(cls))
            continue
        messages[name] = _message(cls.TYPE.name, name, _plain(example(cls)), summary=own_docstring(cls) or "")
        if issubclass(cls, Query):
            messages[name]["headers"] = _headers(cls.TYPE, {})
            result = cls.RESULT
            messages[result.__name__] = _message(result.__name__, result.__name__, _plain(example(result)))
    return messages


def _command_message(cls: type[Command], shown: Command) -> JsonObject:
    why = _EXAMPLE_WHY if cls.TYPE.needs_why else ""
    body = command_body(shown, message_id=_EXAMPLE_ID, source=_EXAMPLE_SOURCE, why=why)
    return {
        **_message(
            event_type(cls.TYPE), f"{cls.__name__}Event", msgspec.json.decode(body), summary=own_docstring(cls) or ""
        ),
        "contentType": EVENT_CONTENT_TYPE,
        "headers": _headers(cls.TYPE, {REPLY_TO_HEADER: _REPLY_TO}),
        "correlationId": {"location": "$message.payload#/correlationid"},
    }


def _binary_message(cls: type[Command], shown: Command) -> JsonObject:
    """The same command with its data alone in the body."""
    known = {f"{ATTRIBUTE_PREFIX}{name}": field for name, field in CloudEvent.model_fields.items() if name != "data"}
    attributes: JsonObject = {
        name: {"type": "string", "description": field.description or ""} for name, field in known.items()
    }
    attributes |= {
        f"{ATTRIBUTE_PREFIX}specversion": {"const": SPEC_VERSION},
        f"{ATTRIBUTE_PREFIX}type": {"const": event_type(cls.TYPE)},
        CONTENT_TYPE_HEADER: {"type": "string", "description": "As ce-datacontenttype, if that is left out."},
        REPLY_TO_HEADER: _REPLY_TO,
    }
    headers = _headers(cls.TYPE, attributes)
    needed = [name for name, field in known.items() if field.is_required()]
    headers["required"] = [*headers.get("required", ()), *needed]
    title, summary = f"{event_type(cls.TYPE)} (binary)", own_docstring(cls) or ""
    return {
        **_message(title, cls.__name__, _plain(shown), summary=summary),
        "headers": headers,
        "correlationId": {"location": f"$message.header#/{ATTRIBUTE_PREFIX}correlationid"},
    }


def _binary(cls: type[Command]) -> str:
    """Under which name the document has the command in binary mode."""
    return f"{cls.__name__}InBinaryMode"


def _forms(cls: type[Command | Query]) -> list[str]:
    """Names of the messages by which the document has it."""
    return [cls.__name__, _binary(cls)] if issubclass(cls, Command) else [cls.__name__]


def _headers(message: MessageType, others: JsonObject) -> JsonObject:
    """The headers of a message; the token is not needed for what anybody may send."""
    token: JsonObject = {"type": "string", "description": f"Bearer <JWT>. May send it: {sent_by(message)}."}
    needed: JsonObject = {} if message.sent_by is Sender.ANYBODY else {"required": [AUTHORIZATION_HEADER]}
    return {"type": "object", "properties": {AUTHORIZATION_HEADER: token, **others}, **needed}


def _message(name: str, schema: str, shown: JsonObject, *, summary: str = "") -> JsonObject:
    message: JsonObject = {"name": name, "payload": _reference("components/schemas", schema)}
    return {**message, **({"summary": summary} if summary else {}), "examples": [{"payload": shown}]}


def _component_schemas(registry: MessageRegistry, schemas: Schemas) -> JsonObject:
    models: list[type[BaseModel]] = [OutcomeBody, ErrorBody]
    for cls in registry:
        models.append(schemas.of(cls))
        if issubclass(cls, Command):
            models.append(schemas.event_of(cls))
        if issubclass(cls, Query):
            models.append(schemas.of(cls.RESULT))
    template = "#/components/schemas/{model}"
    _, document = models_json_schema([(model, "validation") for model in models], ref_template=template)
    definitions: JsonObject = document["$defs"]
    return definitions


_EXAMPLE_ERROR: JsonObject = {"error": {"code": "not_found", "detail": "there is no such thing"}}
_EXAMPLE_OUTCOME: JsonObject = {"id": _EXAMPLE_ID, "outcome": "rejected", "reason": "malformed_data", "data": {}}


def _plain(example: object) -> JsonObject:
    """An example as it is read back from JSON, with lists for tuples."""
    plain: JsonObject = msgspec.json.decode(msgspec.json.encode(example))
    return plain


def _answer_channel(query: type[Query]) -> str:
    return f"{query.__name__}.answers"


def _reference(folder: str, name: str) -> JsonObject:
    return {"$ref": f"#/{folder}/{name}"}


def _references(folder: str, *names: str) -> JsonObject:
    return {name: _reference(folder, name) for name in names}
