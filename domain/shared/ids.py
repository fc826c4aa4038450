"""Ids that repeat: a step that runs twice gives its messages the same ids, and the inbox drops the second."""

from __future__ import annotations

from hashlib import sha1
from uuid import NAMESPACE_URL, uuid5

_NAMESPACE = uuid5(NAMESPACE_URL, "spark:message").bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived_id(cause_id: str, *path: str | int) -> str:
    """The id (a UUIDv5 in text form) of the message that *cause_id* brought about by the step named by *path*.

    The same as `str(uuid5(namespace, name))` in a fourth of the time (RFC 9562, 5.5): each message needs one.
    """
    name = "/".join([cause_id, *map(str, path)])
    text = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


MAX_ID_LENGTH = 200  # characters; the store indexes ids, and an index entry has a limit


def is_key(text: str) -> bool:
    """Whether *text* can be the key of an aggregate instance: not empty, and short enough for every index."""
    return 0 < len(text) <= MAX_ID_LENGTH and "\0" not in text


def is_id(text: str) -> bool:
    """Whether *text* may name an aggregate or a movement of money: printable, no spaces, neither empty nor huge."""
    return 0 < len(text) <= MAX_ID_LENGTH and text.isprintable() and " " not in text


def is_account_id(text: str) -> bool:
    """Whether *text* may name the account of a user; ids that begin with `@` belong to the system's own accounts."""
    return is_id(text) and not text.startswith("@")
