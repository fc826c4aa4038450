"""Named places at which a process may be made to end or to stop, so that tests can hurt it exactly there."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias


class CrashPoint(StrEnum):
    """A place between two things that cannot be done as one."""

    TURN_BEFORE_COMMIT = "turn.before-commit"  # decided, nothing stored
    TURN_AFTER_COMMIT = "turn.after-commit"  # stored, and nobody told
    INGRESS_BEFORE_REPLY = "ingress.before-reply"  # committed, the sender does not know
    INGRESS_AFTER_REPLY = "ingress.after-reply"  # the sender knows, the broker does not
    RELAY_BEFORE_DELIVERY = "relay.before-delivery"
    RELAY_AFTER_DELIVERY = "relay.after-delivery"  # taken by a subscriber, still in the outbox
    STEP_BEFORE_COMMANDS = "step.before-commands"  # of a saga; its detail is the event
    STEP_AFTER_COMMANDS = "step.after-commands"  # the commands are committed, the event does not count as taken
    TASK_BEFORE_ASK = "task.before-ask"  # its detail is the kind of task
    TASK_AFTER_ASK = "task.after-ask"  # it is done outside, nothing of that is stored
    TASK_AFTER_RECORD = "task.after-record"  # the answer is committed, the task is still listed


PassPoint: TypeAlias = Callable[[CrashPoint, str], None]
"""Called when a process passes a point, with a detail that tells more exactly which (or none). Never raises."""


def pass_unharmed(point: CrashPoint, detail: str = "") -> None:
    """What is called in earnest: nothing happens."""
