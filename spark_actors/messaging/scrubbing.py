"""What of a refused message may be kept: all of it, but no password that somebody has sent by mistake.

In a message that can be read, values are blotted out by their names; of one to `auth`, every value whose name is not
known to be harmless. One that cannot be read is not kept at all if it may hold a password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from spark_actors.messaging.cloudevents import commands_of

MASK = "***"
_AUTH = commands_of("auth").removesuffix(">")
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|authorization|credential|\bpin\b", re.IGNORECASE)
_SECRET_BYTES = re.compile(rb"pass|pwd|secret|token|authorization|credential", re.IGNORECASE)
_HASH = re.compile(r"\$argon2\w*\$[\w$=,+/]+")
_HARMLESS = frozenset(
    ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "correlationid", "causationid")
    + ("dataschema", "traceparent", "tracestate", "partitionkey", "account_id", "username")
)


def is_secret_name(name: str) -> bool:
    """Whether what is called so is to be shown and kept nowhere."""
    return _SECRET_NAME.search(name) is not None


def is_of_auth(subject: str) -> bool:
    """Whether a command is one of those that have to do with passwords."""
    return subject.startswith(_AUTH)


def may_hold_password(subject: str, body: bytes) -> bool:
    """Whether *body* holds, or may hold, a password in clear."""
    kept = storable(subject, body)
    return kept != body and (kept.startswith(b"(") or f'"{MASK}"'.encode() in kept)


def storable(subject: str, body: bytes) -> bytes:
    """*body* as it may be kept, which is as it came unless it holds, or may hold, a password."""
    is_auth = is_of_auth(subject)
    if not is_auth and not _SECRET_BYTES.search(body.replace(b"\0", b"")) and b"\\u" not in body:
        return body
    try:  # encoded anew in any case: of keys that come twice the parser has seen the last
        return json.dumps(_scrubbed(json.loads(body), "", is_auth=is_auth)).encode()
    except (ValueError, RecursionError):
        return f"({len(body)} bytes that cannot be read are not kept: they may hold a password)".encode()


def _scrubbed(value: object, name: str, *, is_auth: bool, is_secret: bool = False) -> object:
    is_secret = is_secret or is_secret_name(name)
    if isinstance(value, Mapping):
        return {key: _scrubbed(each, key, is_auth=is_auth, is_secret=is_secret) for key, each in value.items()}
    if isinstance(value, list):
        return [_scrubbed(each, name, is_auth=is_auth, is_secret=is_secret) for each in value]
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value
    return MASK if is_secret or (is_auth and name not in _HARMLESS) else value
