"""What of a refused message may be kept: all of it, but no password that somebody has sent by mistake.

In a message that can be read, values are blotted out by their names; of one to a context that has to do with
passwords, every value whose name is not known to be harmless. One that cannot be read is not kept at all if it may hold
a password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from spark_actors.messaging.cloudevents import COMMAND_PREFIX, commands_of

MASK = "***"
PROOFS = ("preimage",)
"""Fields that are kept, and quoted and shown nowhere, besides those whose name says so."""
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|authorization|credential|\bpin\b", re.IGNORECASE)
_SECRET_BYTES = re.compile(rb"pass|pwd|secret|token|authorization|credential", re.IGNORECASE)
_HASH = re.compile(
    r"\$[a-z0-9-]{3,32}(\$v=\d+)?\$[a-z0-9-]+=[\w+/.-]+(,[a-z0-9-]+=[\w+/.-]+)*\$[A-Za-z0-9+/.-]{8,}\$[A-Za-z0-9+/]{16,}"
)
"""In PHC form, with parameters, salt and digest: no password, but what one is held against."""
_HARMLESS = frozenset(
    ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "correlationid", "causationid")
    + ("dataschema", "traceparent", "tracestate", "partitionkey")
)


def is_secret_name(name: str) -> bool:
    """Whether what is called so is to be shown and kept nowhere."""
    return _SECRET_NAME.search(name) is not None


class Scrubber:
    """Knows the contexts that have to do with passwords."""

    def __init__(self, harmless: Mapping[str, Collection[str]]) -> None:
        """*harmless*: for each such context the names of its fields that hold no secret."""
        self._harmless = {
            commands_of(context).removesuffix(">"): _HARMLESS.union(names) for context, names in harmless.items()
        }

    def is_about_passwords(self, subject: str) -> bool:
        """Whether a command is one of those that have to do with passwords."""
        return subject.startswith(tuple(self._harmless))

    def may_hold_password(self, subject: str, body: bytes) -> bool:
        """Whether *body* holds, or may hold, a password in clear."""
        kept = self.storable(subject, body)
        return kept != body and (kept.startswith(b"(") or f'"{MASK}"'.encode() in kept)

    def shown(self, name: str, body: bytes) -> str:
        """*body*, of a message of this name or that came on this subject, as text for people, with nothing secret."""
        context = name.partition(".")[0]
        subject = name if name.startswith(COMMAND_PREFIX) else commands_of(context).removesuffix(">")
        harmless = next((names for place, names in self._harmless.items() if subject.startswith(place)), None)
        try:
            return json.dumps(_scrubbed(json.loads(body), "", harmless, shows_hashes=False), ensure_ascii=False)
        except (ValueError, RecursionError):
            text = body.decode("utf-8", "replace")
            is_suspect = harmless is not None or _SECRET_BYTES.search(body.replace(b"\0", b""))
            return _unreadable(body) if is_suspect else text

    def storable(self, subject: str, body: bytes) -> bytes:
        """*body* as it may be kept, which is as it came unless it holds, or may hold, a password."""
        harmless = next((names for place, names in self._harmless.items() if subject.startswith(place)), None)
        if harmless is None and not _SECRET_BYTES.search(body.replace(b"\0", b"")) and b"\\u" not in body:
            return body
        try:  # encoded anew in any case: of keys that come twice the parser has seen the last
            return json.dumps(_scrubbed(json.loads(body), "", harmless)).encode()
        except (ValueError, RecursionError):
            return f"({len(body)} bytes that cannot be read are not kept: they may hold a password)".encode()


def _unreadable(body: bytes) -> str:
    return f"({len(body)} bytes that cannot be read are not shown: they may hold a password)"


def _scrubbed(
    value: object,
    name: str,
    harmless: Collection[str] | None,
    *,
    is_secret: bool = False,
    shows_hashes: bool = True,
) -> object:
    is_secret = is_secret or is_secret_name(name) or (not shows_hashes and name in PROOFS)
    marks = {"is_secret": is_secret, "shows_hashes": shows_hashes}
    if isinstance(value, Mapping):
        return {key: _scrubbed(each, key, harmless, **marks) for key, each in value.items()}
    if isinstance(value, list):
        return [_scrubbed(each, name, harmless, **marks) for each in value]
    if shows_hashes and isinstance(value, str) and _HASH.fullmatch(value):
        return value
    return MASK if is_secret or (harmless is not None and name not in harmless) else value
