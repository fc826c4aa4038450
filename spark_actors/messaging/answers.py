"""Answers as bytes: whole if the broker takes so much in one piece, else cut to what it takes, or an error. Pure."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from spark_actors.messaging.door import RefusedError

TRUNCATED = "truncated"
"""The field of a view that says that it was cut, and what the data of an outcome says then."""


class Cut(StrEnum):
    """What an answer had to lose."""

    NOTHING = ""
    TRUNCATED = "truncated"  # lines of a view, which the next page has, or the details of an outcome
    TOO_LARGE = "too_large"  # all of it: an error stands in its place, or for an outcome nothing


class AnswerBody(NamedTuple):
    """An answer that fits; empty if nothing does."""

    body: bytes
    cut: Cut = Cut.NOTHING


def view_answer(result: object, room: int) -> AnswerBody:
    """The view as JSON of at most *room* bytes: with as many of its lines as fit, at least one, or `too_large`."""
    whole = msgspec.json.encode(result)
    if len(whole) <= room:
        return AnswerBody(whole)
    best, lines, too_many = b"", 0, _longest(result)
    while too_many - lines > 1:
        middle = (lines + too_many) // 2
        body = msgspec.json.encode(_with_lines(result, middle))
        if len(body) <= room:
            best, lines = body, middle
        else:
            too_many = middle
    if best:
        return AnswerBody(best, Cut.TRUNCATED)
    detail = f"the view has {len(whole)} bytes and the broker takes {room} in one piece: ask for less"
    return AnswerBody(error_body(RefusedError(Cut.TOO_LARGE, detail)), Cut.TOO_LARGE)


def error_body(error: RefusedError) -> bytes:
    """Instead of a view."""
    retry = {"retry_after_seconds": error.retry_after_seconds} if error.retry_after_seconds else {}
    return msgspec.json.encode({"error": {"code": error.code, "detail": error.detail, **retry}})


def outcome_answer(body: bytes, room: int) -> AnswerBody:
    """*body*, as the door makes it, in at most *room* bytes: how a command ended is told without details if need be."""
    if len(body) <= room:
        return AnswerBody(body)
    brief = msgspec.json.encode({**msgspec.json.decode(body, type=dict[str, object]), "data": {TRUNCATED: True}})
    return AnswerBody(brief, Cut.TRUNCATED) if len(brief) <= room else AnswerBody(b"", Cut.TOO_LARGE)


def _longest(result: object) -> int:
    """The lines of a kind, at most; 0 for a view that cannot be cut."""
    if not is_dataclass(result) or not hasattr(result, TRUNCATED):
        return 0
    return max(len(lines) for lines in _lines(result).values())


def _with_lines(result: Any, most: int) -> object:
    """The view with so many lines of each kind at most: the first ones."""
    cut: dict[str, object] = {name: lines[:most] for name, lines in _lines(result).items()}
    return replace(result, **{**cut, TRUNCATED: True})


def _lines(result: Any) -> dict[str, tuple[object, ...]]:
    found = {field.name: getattr(result, field.name) for field in fields(result)}
    return {name: value for name, value in found.items() if isinstance(value, tuple)}
