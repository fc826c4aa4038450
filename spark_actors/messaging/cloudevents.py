"""How messages look on the wire: subjects, types and the CloudEvents 1.0 JSON (structured mode) around a command."""

from __future__ import annotations

from datetime import datetime

import msgspec

from domain.shared.messages import Command, MessageType

SPEC_VERSION = "1.0"
EVENT_CONTENT_TYPE = "application/cloudevents+json"
"""Of a command with its attributes."""
REPLY_TO_HEADER = "Spark-Reply-To"
"""Header that names the subject on which the outcome of a command is published."""
COMMAND_SUBJECTS = "spark.commands.>"
QUERY_SUBJECTS = "spark.queries.>"


def commands_of(context: str) -> str:
    """Every command of one context."""
    return f"spark.commands.{context}.>"


def command_subject(message: MessageType) -> str:
    """Where a command is published: `spark.commands.<context>.<kebab-name>`."""
    return f"spark.commands.{message.name}"


def query_subject(message: MessageType) -> str:
    """Where a query is asked: `spark.queries.<context>.<view>`."""
    return f"spark.queries.{message.name}"


def event_type(message: MessageType) -> str:
    """The CloudEvents `type` of a message: `spark.<context>.<kebab-name>.v<version>`."""
    return event_type_of(message.name, message.version)


def event_type_of(name: str, version: int) -> str:
    return f"spark.{name}.v{version}"


class _CloudEvent(msgspec.Struct, omit_defaults=True):
    """The attributes as a producer writes them; empty optional ones are left out."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    data: Command
    time: datetime | None = None
    correlationid: str = ""
    causationid: str = ""


def command_body(
    command: Command,
    *,
    message_id: str,
    source: str,
    time: datetime | None = None,
    correlation_id: str = "",
    causation_id: str = "",
) -> bytes:
    """The body to publish on `command_subject(command.TYPE)`.

    *message_id* is the deduplication key; *time* needs a zone. Nothing is validated here: the door does that, for every
    producer alike.
    """
    return msgspec.json.encode(
        _CloudEvent(
            specversion=SPEC_VERSION,
            id=message_id,
            source=source,
            type=event_type(command.TYPE),
            subject=command.key,
            data=command,
            time=time,
            correlationid=correlation_id,
            causationid=causation_id,
        )
    )
