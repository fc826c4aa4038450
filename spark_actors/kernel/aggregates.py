"""What an aggregate is, and how the table of a context says which of its methods decides on which command.

An aggregate neither loads nor stores itself. The runtime does, by its *repository*, in one *unit of work* for all that
a turn decides: `messaging/unit_of_work.py` has both ports, `actors/aggregate.py` uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from spark_actors.kernel.decisions import Decision, rejected
from spark_actors.kernel.errors import BrokenRuleError
from spark_actors.kernel.messages import Command


class Aggregate:
    """An aggregate's root: what changes together, and the rules that hold for it at every instant.

    A subclass is a frozen dataclass that keeps to this:

    - It is valid or it is not made: `__post_init__` raises BrokenRuleError for what its rules forbid.
    - It decides on its own commands: on the one that makes it in a class method `(command, now)`, on the others in
      methods `(self, command, now)`. Each gives a Decision and is pure: `now` is the time of the turn, and nothing is
      known but the command and the state. What rules between instances forbid is for the store to refuse.
    - It changes by decisions alone: the state of a decision is a new value, which takes the place of the old one when
      it is committed, with the events and the rows for the books. Lists are such rows: nothing in a state grows.

    An instance is known by its key, of which the store has one; as a value it equals what has the same fields.
    """

    __slots__ = ()


A = TypeVar("A", bound=Aggregate)
C = TypeVar("C", bound=Command)


@dataclass(frozen=True)
class Handler:
    """The two functions that decide on a command. Pure."""

    missing: Callable[[Any, datetime], Decision[Any]]
    """(command, time of the turn), where the instance does not exist."""
    existing: Callable[[Any, Any, datetime], Decision[Any]]
    """(instance, command, time of the turn), where it does."""


def creates(
    command: type[C],
    create: Callable[[C, datetime], Decision[A]],
    *,
    again: str | Callable[[A, C, datetime], Decision[A]],
) -> tuple[type[Command], Handler]:
    """A command that makes the instance. *again*: what decides, or why it is refused, where there is one already."""
    return command, Handler(create, refuses(again).existing if isinstance(again, str) else again)


def changes(
    command: type[C],
    change: Callable[[A, C, datetime], Decision[A]],
    *,
    missing: str | Callable[[C, datetime], Decision[A]],
) -> tuple[type[Command], Handler]:
    """A command for an instance that exists. *missing*: what decides, or why it is refused, where there is none."""
    return command, Handler(refuses(missing).missing if isinstance(missing, str) else missing, change)


def refuses(
    refuse: str | Callable[[C, datetime], Decision[A]],
    *,
    existing: Callable[[A, C, datetime], Decision[A]] | None = None,
) -> Handler:
    """What is decided once a rule of the store has refused the first decision: by a function, or for this reason.

    *existing*, if given, decides where the instance exists.
    """
    decide = (lambda command, now: rejected(refuse)) if isinstance(refuse, str) else refuse
    return Handler(decide, existing or (lambda state, command, now: decide(command, now)))


def handlers(*each: tuple[type[Command], Handler]) -> Mapping[type[Command], Handler]:
    """The table of a context's commands. Raises BrokenRuleError for a command that has two handlers."""
    table = dict(each)
    if len(table) < len(each):
        raise BrokenRuleError("one_handler_a_command", [command.TYPE.name for command, _ in each], "each once")
    return table
