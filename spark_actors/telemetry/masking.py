"""Keeps secrets out of logs: by the name of a field, and in any text by the forms that secrets come in."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from spark_actors.messaging.scrubbing import MASK

_SECRET_NAMES = ("password", "passwd", "token", "dsn", "preimage", "authorization", "secret")
_WORD = "|".join(_SECRET_NAMES)
_QUOTED = r"'(?:[^'\\]|\\.){0,999}'|\"(?:[^\"\\]|\\.){0,999}\""
# Every repetition that can fail after it began is bounded, so that a long text costs time in proportion to its length.
_RULES = (
    # scheme://user:password@ (the user may stay) and scheme://token@
    (re.compile(r"(\w://)([^\s:/@'\"]{0,99}:)[^\s'\"]{0,299}@"), rf"\1\2{MASK}@"),
    (re.compile(r"((?:nats|tls|wss?)://)[^\s:/@'\"]{1,299}@"), rf"\1{MASK}@"),
    (re.compile(r"\b(Bearer\s{1,9}|Basic\s{1,9}(?=[A-Za-z0-9+/=]{8}))[^\s'\",]+"), rf"\1{MASK}"),
    # password=..., token: '...', "preimage": "...", as in connection strings and in the text form of objects
    (
        re.compile(rf"((?:{_WORD})\w{{0,29}}['\"]?\s{{0,9}}[=:]\s{{0,9}})({_QUOTED}|[^\s,;)}}&]+)", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    # JSON Web Tokens, wherever they stand: the first part is always a JSON object that begins with {"
    (re.compile(r"\beyJ[\w-]{8,4096}\.[\w-]{1,4096}(?:\.[\w-]{0,4096})?"), MASK),
    # password hashes in PHC form: $<function>$<parameters>$…
    (re.compile(r"\$[a-z][a-z0-9-]{2,31}\$[^\s'\"]+"), MASK),
)


def mask_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: every value as plain data, without what looks like a secret."""
    return {name: masked(value, name) for name, value in event.items()}


def masked(value: Any, name: str = "") -> Any:
    """*value*, found under *name*, as plain data (text, numbers, lists, tables) without secrets.

    An object of another type becomes its text form first, so that no secret hides in it.
    """
    if value is None or isinstance(value, bool):
        return value
    if _is_secret(name):
        return MASK if value != "" else value
    if isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): masked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(inner) for inner in value]
    return masked_text(value if isinstance(value, str) else _text(value))


def masked_text(text: str) -> str:
    """*text* with the passwords of DSNs, tokens and hashes blotted out. Rather too much than too little."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_NAMES)


def _text(value: object) -> str:
    """Messages travel as bytes, which may hold anything: only their size is told."""
    return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else str(value)
