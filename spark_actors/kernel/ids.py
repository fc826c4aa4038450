"""Ids that repeat: a step that runs twice gives its messages the same ids, and the inbox drops the second."""

from __future__ import annotations

import re
from hashlib import sha1
from unicodedata import is_normalized
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
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"  # Default_Ignorable
    "\u2800\U00016fe4\U0001d159]"  # drawn as nothing, whatever their category
)
"""Letters, marks and symbols that nobody sees; that of a control character its category says."""


def is_key(text: str) -> bool:
    """Whether *text* can be the key of an aggregate instance: not empty, and short enough for every index.

    That is enough for what ends a story, which began under rules of its own time: `is_id` has become stricter since.
    """
    return 0 < len(text) <= MAX_ID_LENGTH and "\0" not in text


_is_plain = re.compile(f"[!-~]{{1,{MAX_ID_LENGTH}}}").fullmatch
"""Nearly all ids are plain ASCII, and each command has several."""


def is_id(text: str) -> bool:
    """Whether *text* may be an id: of an aggregate, of an entry in its books, of a message.

    The one rule for the door and the domain, made so that ids that differ look different, as far as Unicode itself can
    tell: see `flaw_of_id`. Letters of two scripts that look alike (Latin a, Cyrillic а) are two letters.
    """
    return _is_plain(text) is not None or flaw_of_id(text) == ""


def flaw_of_id(text: str) -> str:
    """What keeps *text* from being an id, in words; empty if nothing does.

    An id has 1 to MAX_ID_LENGTH characters, no space, none of Unicode's categories C (control, format, unassigned …)
    and Z (separators), none that is not seen, and is in normal form C, where an accented letter is written in one way.
    """
    if not text:
        return "expected at least 1 character"
    if len(text) > MAX_ID_LENGTH:
        return f"expected at most {MAX_ID_LENGTH} characters"
    if " " in text:
        return "contains a space"
    if not text.isprintable():
        return "contains a control character or one that cannot be seen"
    if text.isascii():
        return ""
    if _UNSEEN.search(text):
        return "contains a character that cannot be seen"
    return "" if is_normalized("NFC", text) else "is not in Unicode's normal form C (NFC): another id looks the same"


def is_subject(text: str) -> bool:
    """Whether *text* may name somebody who acts; ids that begin with `@` are the system's own."""
    return is_id(text) and not text.startswith("@")
