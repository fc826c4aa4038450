"""Lists that go over several contexts, a page at a time: each is read behind the last line that was shown. Pure.

Lines stand in the order of a moment, of their context's name, and of what tells those of one context apart. So a page
goes on in one context as it does in the other, whatever was added meanwhile.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from spark_actors.persistence.operator_desk import DeskError

T = TypeVar("T")
Rest: TypeAlias = tuple[Any, ...]
"""What tells lines of one moment and context apart: numbers, or texts."""
LEAST: dict[type, Any] = {int: 0, str: ""}
MOST: dict[type, Any] = {int: 2**63 - 1, str: "\U0010ffff"}


class UnknownPlaceInListError(DeskError):
    """What a list is to go on from is nothing that such a list has given."""

    code = "malformed_data"


@dataclass(frozen=True)
class Line:
    """Where a line stands in a list."""

    at: datetime
    context: str
    rest: Rest

    def behind(self, context: str) -> tuple[Any, ...]:
        """What lines of *context* stand behind: the moment and the rest."""
        if context == self.context:
            return (self.at, *self.rest)
        ends = MOST if context < self.context else LEAST
        return (self.at, *(ends[type(each)] for each in self.rest))

    @property
    def text(self) -> str:
        told = json.dumps([self.at.isoformat(), self.context, *self.rest]).encode()
        return base64.urlsafe_b64encode(told).decode()


def line_of(text: str, *rest: type) -> Line | None:
    """The line that *text* stands for, which has a rest of these types; None at the beginning of a list.

    Raises UnknownPlaceInListError.
    """
    if not text:
        return None
    try:
        at, context, *told = json.loads(base64.urlsafe_b64decode(text.encode()))
        line = Line(datetime.fromisoformat(at), context, tuple(told))
        is_known = tuple(map(type, told)) == rest and isinstance(context, str) and line.at.tzinfo is not None
    except (ValueError, TypeError):
        is_known = False
    if not is_known:
        raise UnknownPlaceInListError("after: expected what the `next` of such a list was")
    return line


def page(
    contexts: Iterable[str],
    limit: int,
    after: Line | None,
    read: Callable[[str, int, Any], Sequence[T]],
    place: Callable[[T], Line],
    *,
    newest_first: bool,
) -> tuple[list[T], str]:
    """At most *limit* lines behind *after*, and where the list goes on; empty where it ends.

    *read* gives the first lines of a context, so many at most, behind what `Line.behind` says.
    """
    found = [each for name in contexts for each in read(name, limit + 1, after.behind(name) if after else None)]
    lines = sorted(found, key=lambda each: _order(place(each)), reverse=newest_first)
    shown = lines[:limit]
    return shown, place(shown[-1]).text if len(lines) > limit else ""


def _order(line: Line) -> tuple[Any, ...]:
    return (line.at, line.context, *line.rest)
