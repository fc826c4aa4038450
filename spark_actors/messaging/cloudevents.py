"""How messages look on the wire: subjects, types, and CloudEvents 1.0 around a command.

By its NATS protocol binding an event comes in one of two modes. *Structured*: the body is JSON that holds attributes
and data. *Binary*: the body is the data, and each attribute has a header `ce-<name>`, percent-encoded. Producers that
set neither such headers nor a content type mean the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote_to_bytes

import msgspec

from spark_actors.kernel.messages import Command, MessageType

SPEC_VERSION = "1.0"
EVENT_CONTENT_TYPE = "application/cloudevents+json"
"""Of a command with its attributes."""
REPLY_TO_HEADER = "Spark-Reply-To"
"""Header that names the subject on which the outcome of a command is published."""
AUTHORIZATION_HEADER = "Spark-Authorization"
"""Header that says who sends a command or query: `Bearer <token>`. Not in the body, which may be kept."""
AUTHORIZATION_CHARACTERS = 4_096
"""Of a token with what stands before it, at most."""
CONTENT_TYPE_HEADER = "Content-Type"
ATTRIBUTE_PREFIX = "ce-"
"""What the header of an attribute begins with. Names of headers are compared without regard to case."""
HEADERS_CHARACTERS = 16_384
"""Names and values of an event's headers together, at most."""
COMMAND_PREFIX = "spark.commands."
"""What the subject of every command begins with."""
COMMAND_SUBJECTS = f"{COMMAND_PREFIX}>"
_DOTS_WITH_BUCKET = 4
QUERY_PREFIX = "spark.queries."
QUERY_SUBJECTS = f"{QUERY_PREFIX}>"
_REPLY_SUBJECT = re.compile(r"(?!\$|spark\.)[!-)+\-/-=?-~]+(\.[!-)+\-/-=?-~]+)*", re.ASCII)
"""Tokens of printable ASCII without wildcards; not the server's own subjects and not ours."""
REPLY_SUBJECT_CHARACTERS = 255


def event_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that say something of the event, with names in lower case, and little more of them than is allowed.

    What comes twice is joined with a comma, as HTTP does it, so that no reader can take one for the whole.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        plain = name.lower()
        if plain.startswith(ATTRIBUTE_PREFIX) or plain == _CONTENT_TYPE:
            found[plain] = f"{found[plain]}, {value}" if plain in found else value
    return found if characters_of(found) <= HEADERS_CHARACTERS else _beginning(found, HEADERS_CHARACTERS + 1)


def _beginning(headers: Mapping[str, str], room: int) -> dict[str, str]:
    """The first so many characters of names and values."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        shown = name[:room]
        kept[shown] = value[: room - len(shown)]
        room -= len(shown) + len(kept[shown])
        if not room:
            break
    return kept


def characters_of(headers: Mapping[str, str]) -> int:
    """Of names and values together."""
    return sum(len(name) + len(value) for name, value in headers.items())


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the attributes of an event with these headers (of `event_headers`) are in them."""
    is_structured = headers.get(_CONTENT_TYPE, "").lower().startswith(_CLOUDEVENTS)
    return not is_structured and any(name.startswith(ATTRIBUTE_PREFIX) for name in headers)


def attributes_in(headers: Mapping[str, str]) -> dict[str, str]:
    """The attributes of an event in binary mode. Raises ValueError, with the header in words, if one is malformed.

    Of what kind the data is may also be said as other messages say it, by the content type.
    """
    attributes = {
        name.removeprefix(ATTRIBUTE_PREFIX): _decoded(name, value)
        for name, value in headers.items()
        if name.startswith(ATTRIBUTE_PREFIX)
    }
    if _CONTENT_TYPE in headers:
        attributes.setdefault("datacontenttype", headers[_CONTENT_TYPE])
    return attributes


def whole_event(body: bytes, headers: Mapping[str, str]) -> bytes:
    """An event in binary mode as one in structured mode, so that it can be kept as one text and sent again.

    Nothing is checked. A body that is no JSON, or has its attributes already, stays what it is.
    """
    if not is_binary(headers):
        return body
    try:
        json.loads(body)
        attributes = attributes_in(headers)
    except (ValueError, RecursionError):
        return body
    members = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in attributes.items() if name != "data"]
    return b"{%s}" % b",".join([*(member.encode() for member in members), b'"data":' + body])


def unreadable_format(headers: Mapping[str, str]) -> str:
    """The content type of an event in structured mode, if it is not the JSON that is read here; empty if it is."""
    given = headers.get(_CONTENT_TYPE, "")
    plain = given.partition(";")[0].strip().lower()
    return given if plain.startswith(_CLOUDEVENTS) and plain not in (_CLOUDEVENTS, EVENT_CONTENT_TYPE) else ""


def is_json(media_type: str) -> bool:
    """Whether data of this type is JSON in UTF-8 (or ASCII), as `application/json; charset=utf-8` is."""
    found = _MEDIA_TYPE.fullmatch(media_type)
    if found is None or not (found["subtype"].lower() == "json" or found["subtype"].lower().endswith("+json")):
        return False
    charsets = (value for name, value in _PARAMETER.findall(found["parameters"]) if name.lower() == "charset")
    return all(value.strip('"').lower() in ("utf-8", "us-ascii") for value in charsets)


def trace_of(traceparent: str) -> str:
    """The trace that a W3C `traceparent` names; empty if it is malformed, which the standard tells to ignore."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found["trace"] if found else ""


def _decoded(name: str, value: str) -> str:
    """The value of a header: quoted strings are taken apart, then percent-encoding, once."""
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    told = ascii(name[:_TOLD_CHARACTERS])[1:-1]
    if not value.isascii() or _BAD_PERCENT.search(value):
        raise ValueError(f"header {told}: expected printable ASCII, all else percent-encoded")
    try:
        return unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"header {told}: expected what is percent-encoded to be UTF-8") from None


_CONTENT_TYPE = CONTENT_TYPE_HEADER.lower()
_CLOUDEVENTS = "application/cloudevents"
_TOLD_CHARACTERS = 80
"""Of the name of a header that is refused."""
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETERS = rf'(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|"[^"\\]*"))*'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/(?P<subtype>{_TOKEN})(?P<parameters>{_PARAMETERS})", re.ASCII)
_PARAMETER = re.compile(rf'({_TOKEN})=({_TOKEN}|"[^"\\]*")', re.ASCII)
_QUOTED_PAIR = re.compile(r"\\(.)")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)


def authorization(token: str) -> dict[str, str]:
    """The header with which a sender shows its token; none without one."""
    return {AUTHORIZATION_HEADER: f"Bearer {token}"} if token else {}


def commands_of(context: str) -> str:
    """Every command of one context."""
    return f"{COMMAND_PREFIX}{context}.>"


def queries_of(context: str) -> str:
    """Every query of one context."""
    return f"{QUERY_PREFIX}{context}.>"


def context_of(subject: str) -> str:
    """The context whose commands come on *subject*, if there is one of that name; empty if it is for no commands."""
    return subject.removeprefix(COMMAND_PREFIX).partition(".")[0] if subject.startswith(COMMAND_PREFIX) else ""


def command_subject(message: MessageType) -> str:
    """Where a command is published: `spark.commands.<context>.<kebab-name>`."""
    return f"{COMMAND_PREFIX}{message.name}"


def parted(subject: str) -> tuple[str, str]:
    """The subject of a command without its bucket, and the bucket as it stands there; empty if there is none.

    A producer may end the subject of a command with the bucket of its key (`buckets.bucket_of`, in decimal), so that
    the broker can tell streams apart by it: `spark.commands.<context>.<kebab-name>.<bucket>`.
    """
    if subject.count(".") != _DOTS_WITH_BUCKET or not subject.startswith(COMMAND_PREFIX):
        return subject, ""
    short, _, bucket = subject.rpartition(".")
    return (short, bucket) if bucket else (subject, "")


def query_subject(message: MessageType) -> str:
    """Where a query is asked: `spark.queries.<context>.<view>`."""
    return f"{QUERY_PREFIX}{message.name}"


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

    *message_id* is the deduplication key, of this sender and *source*; *time* needs a zone; *why* is for what is
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
