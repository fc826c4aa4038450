"""Durable tasks: what is to be done outside or later because of an event, until it is done.

A context says in its tables which tasks follow from which events (`ToDo`), and at its edge who does them (`Worker`).
The runtime lists a task before the event counts as taken, has it done at least once and not before its time, tries
again with a back-off for as long as there is no final answer, and forgets it only when the commands and tasks that
follow are durable. A worker must therefore be safe to run twice, also in two processes at once: *unknown* is not
*failed*. Tasks of one kind never wait for those of another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from spark_actors.kernel.messages import Command, Message


class Task(Message):
    """Something to do for one aggregate instance: a frozen dataclass with a wire name, as other messages have.

    It is the context's own and no part of its published language. Nobody sends it.
    """

    @property
    def not_before(self) -> datetime | None:
        """When it is to be done, with a time zone; None: at once. Of the content of the task, not of a clock."""
        return None


class NotYet(NamedTuple):
    """There is no final answer, or none that anybody knows: the task is done again later."""

    why: str = ""
    """For operators; empty if nothing is wrong."""


ToDo: TypeAlias = Callable[[Any], Sequence[Task]]
"""A pure function from one event to the tasks that follow from it (perhaps none)."""

Worker: TypeAlias = Callable[[Any], Awaitable[Sequence[Command | Task] | NotYet]]
"""Does a task; gives the commands of its own context that tell what came of it, and the tasks that are to be done next;
perhaps none.

What it raises counts as NotYet, and is logged as a bug."""

AT_ONCE = 16
"""How many tasks of a kind are being done at the same time, if nobody says otherwise."""


@dataclass(frozen=True)
class Workers:
    """Who does the tasks of a context, and at which pace."""

    by_task: Mapping[type[Task], Worker]
    interval: timedelta = timedelta(seconds=0.5)
    """Pause between two looks at what is due, and the first pause before a task is tried again."""
    at_once: Mapping[type[Task], int] = field(default_factory=dict)
    """How many tasks of a kind are being done at the same time; AT_ONCE of one that is not named."""
