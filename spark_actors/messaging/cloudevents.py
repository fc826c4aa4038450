"""How messages look on the wire: subjects, types and the CloudEvents 1.0 JSON (structured mode) around a command."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from domain.shared.messages import Command, MessageType

SPEC_VERSION = "1.0"
EVENT_CONTENT_TYPE = "application/cloudevents+json"
"""Of a command with its attributes."""
REPLY_TO_HEADER = "Spark-Reply-To"
"""Header that names the subject on which the outcome of a command is published."""
AUTHORIZATION_HEADER = "Spark-Authorization"
"""Header that says who sends a command or query: `Bearer <token>`. Not in the body, which may be kept."""
COMMANDS = "spark.commands."
"""What the subject of every command begins with."""
COMMAND_SUBJECTS = f"{COMMANDS}>"
QUERY_SUBJECTS = "spark.queries.>"
_REPLY_SUBJECT = re.compile(r"(?!\$|spark\.)[!-)+\-/-=?-~]+(\.[!-)+\-/-=?-~]+)*", re.ASCII)
"""Tokens of printable ASCII without wildcards; not the server's own subjects and not ours."""
REPLY_SUBJECT_CHARACTERS = 255


def authorization(token: str) -> dict[str, str]:
    """The header with which a sender shows its token; none without one."""
    return {AUTHORIZATION_HEADER: f"Bearer {token}"} if token else {}


def commands_of(context: str) -> str:
    """Every command of one context."""
    return f"{COMMANDS}{context}.>"


def context_of(subject: str) -> str:
    """The context whose commands come on *subject*, if there is one of that name; empty if it is for no commands."""
    return subject.removeprefix(COMMANDS).partition(".")[0] if subject.startswith(COMMANDS) else ""


def command_subject(message: MessageType) -> str:
    """Where a command is published: `spark.commands.<context>.<kebab-name>`."""
    return f"{COMMANDS}{message.name}"


def query_subject(message: MessageType) -> str:
    """Where a query is asked: `spark.queries.<context>.<view>`."""
    return f"spark.queries.{message.name}"


def is_reply_subject(subject: str) -> bool:
    """Whether an answer may be published there: never where it would become a command, or one to the broker itself."""
    return len(subject) <= REPLY_SUBJECT_CHARACTERS and _REPLY_SUBJECT.fullmatch(subject) is not None


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
    why: str = ""


def command_body(
    command: Command,
    *,
    message_id: str,
    source: str,
    time: datetime | None = None,
    correlation_id: str = "",
    causation_id: str = "",
    why: str = "",
) -> bytes:
    """The body to publish on `command_subject(command.TYPE)`.

    *message_id* is the deduplication key, of this sender and *source*; *time* needs a zone; *why* is for money that is
    moved by hand. Nothing is validated here: the door does that, for every
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
            why=why,
        )
    )
