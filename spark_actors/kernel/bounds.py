"""What a field of a message may hold where its plain type does not say it, as a note on the type.

`title: Annotated[str, Characters(200)]`: the rule stands once, beside the field; the door and the published schemas
read it there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Characters:
    """Of a text: one line of so many characters at most, none of them a control character."""

    most: int
    has_lines: bool = False
    """Whether it may have line breaks and tabs."""
    pattern: str = ""
    """A regular expression that the whole of it must fit; empty if any text will do."""
    told_as: str = ""
    """What the pattern stands for, in words."""


@dataclass(frozen=True)
class Between:
    """Of a whole number: at least and at most so much."""

    least: int
    most: int
