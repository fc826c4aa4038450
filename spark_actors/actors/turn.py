"""One turn of an AggregateActor, decided in memory: many commands, each with its own fate. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import PARKED, Decision, Outcome, Verdict
from spark_actors.kernel.errors import MalformedMessageError, UnknownMessageError
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import Event, MessageRegistry
from spark_actors.messaging.envelope import Envelope, content_digest, decode_data, encode_data
from spark_actors.messaging.unit_of_work import (
    Change,
    Effect,
    InboxMark,
    OperatorAction,
    Unreadable,
    Versioned,
)

LOCKED = Outcome(Verdict.LOCKED, "row_locked")
MOVED = Outcome(Verdict.MOVED, "key_moved")
_NONE: Mapping[str, str] = MappingProxyType({})

INVALID_KEY = Outcome(Verdict.REJECTED, "invalid_key")
"""The answer to what is for a key that no instance can have (see `is_key`): the door lets none in."""


class CommandFailed(NamedTuple):
    """A command that cannot be handled as it is."""

    command: Envelope
    reason: str
    error: Exception | None
    """None where nothing is known but that it cannot be handled."""


@dataclass
class Turn:
    """What is to be committed together, and how each command ends once it is."""

    loaded: Mapping[str, Versioned[Any]]
    """The instances as they were when the turn began."""
    current: dict[str, Versioned[Any]] = field(default_factory=dict)
    """The instances that the turn has changed."""
    records: list[object] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    """Who sent the command behind each record; empty for what was made inside."""
    actions: list[OperatorAction] = field(default_factory=list)
    """What was done by hand."""
    decided: list[tuple[Envelope, Decision[Any]]] = field(default_factory=list)
    marks: list[InboxMark] = field(default_factory=list)
    outgoing: list[Envelope] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By message id; holds commands that failed or must wait too, which leave no mark."""
    failures: list[CommandFailed] = field(default_factory=list)
    """The first of each key whose handling raised: bugs, or messages that this version does not know."""
    parked: list[Envelope] = field(default_factory=list)
    """Commands that must wait, because their key does or because an earlier one of it failed in this turn."""

    def instance(self, key: str) -> Versioned[Any]:
        return self.current.get(key) or self.loaded[key]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be committed."""
        return not (self.marks or self.failures or self.parked)

    def fail(self, command: Envelope, reason: str, error: Exception | None) -> None:
        self.failures.append(CommandFailed(command, reason, error))
        self.outcomes[command.message_id] = Outcome(Verdict.FAILED, reason)

    def answer(self, command: Envelope, outcome: Outcome, key: str | None) -> None:
        """The command has ended so, for the instance *key*, if for any."""
        self.marks.append(InboxMark(command.message_id, outcome, key, content_digest(command)))
        self.outcomes[command.message_id] = outcome

    def park(self, command: Envelope) -> None:
        self.parked.append(command)
        self.outcomes[command.message_id] = PARKED

    @property
    def marks_of_waiting(self) -> list[InboxMark]:
        """The marks if these are commands that have waited for their key."""
        return [mark._replace(key=None) for mark in self.marks]

    @property
    def unchanged(self) -> dict[str, int]:
        """The instances that the turn only looked at, and their versions."""
        return {key: held.version for key, held in self.loaded.items() if key not in self.current}

    @property
    def effects(self) -> list[Effect[Any]]:
        """What each of the decided commands does to the store."""
        return [Effect(command.key, decision.state, decision.records) for command, decision in self.decided]

    @property
    def changes(self) -> list[Change[Any]]:
        return [Change(key, self.loaded[key].version, now.version, now.state) for key, now in self.current.items()]


@dataclass(frozen=True)
class TurnRules:
    """What a turn needs to know of its context."""

    context: BoundedContext
    registry: MessageRegistry


def decide_turn(
    rules: TurnRules,
    commands: Sequence[Envelope],
    loaded: Mapping[str, Versioned[Any]],
    now: datetime,
    refused: Mapping[str, str] = _NONE,
    blocked: Collection[str] = (),
) -> Turn:
    """Handle *commands* in order, each on the state that the one before left behind.

    *loaded* has every instance that there can be: a command for a key that is neither in it nor *blocked* is refused.
    One whose handler raises, or whose instance cannot be read, fails, and the later ones of its key must wait, as do
    those of the *blocked* keys; the others are not touched by it. *refused* names, by message id, the rule of the store
    by which a command was refused before: the context's refusal decides instead of its handler.
    """
    turn = Turn(loaded)
    waiting = set(blocked)
    for envelope in commands:
        if envelope.key in waiting:
            turn.park(envelope)
            continue
        if envelope.key not in loaded:
            turn.answer(envelope, INVALID_KEY, None)
            continue
        held = turn.instance(envelope.key)
        if isinstance(held.state, Unreadable):
            turn.fail(envelope, f"state_unreadable_{type(held.state.error).__name__}", held.state.error)
            waiting.add(envelope.key)
            continue
        try:
            decision = _decide(rules, envelope, held.state, now, refused.get(envelope.message_id, ""))
            version = held.version if decision.state is None else held.version + 1
            outgoing = _outgoing(envelope, decision.events, version, now)
        except Exception as error:  # noqa: BLE001 - a bug in one handler must not stop the neighbours: the command fails, visibly
            turn.fail(envelope, _reason(error), error)
            waiting.add(envelope.key)
        else:
            _apply(turn, envelope, decision, version, outgoing)
            if envelope.why and rules.registry.current(envelope.name).TYPE.needs_why:
                turn.actions.append(_by_hand(envelope, decision.outcome))
    return turn


def _decide(rules: TurnRules, envelope: Envelope, state: object, now: datetime, refused_by: str) -> Decision[Any]:
    command: Any = decode_data(rules.registry, envelope)
    handler = rules.context.refusals[refused_by] if refused_by else rules.context.commands[type(command)]
    return handler.missing(command, now) if state is None else handler.existing(state, command, now)


def _outgoing(envelope: Envelope, events: Sequence[Event], sequence: int, now: datetime) -> list[Envelope]:
    cause, context = envelope.message_id, envelope.context  # contexts remember ids each for itself
    return [
        Envelope(
            message_id=derived_id(cause, context, index),
            name=event.TYPE.name,
            version=event.TYPE.version,
            key=event.key,
            data=encode_data(event),
            correlation_id=envelope.correlation_id,
            causation_id=cause,
            occurred_at=now,
            sequence=sequence,
        )
        for index, event in enumerate(events)
    ]


def _apply(turn: Turn, envelope: Envelope, decision: Decision[Any], version: int, outgoing: list[Envelope]) -> None:
    if decision.state is not None:
        turn.current[envelope.key] = Versioned(decision.state, version)
    turn.decided.append((envelope, decision))
    turn.records += decision.records
    turn.senders += [envelope.sender] * len(decision.records)
    turn.outgoing += outgoing
    turn.answer(envelope, decision.outcome, envelope.key)


def _by_hand(envelope: Envelope, outcome: Outcome) -> OperatorAction:
    detail = f"{outcome.verdict} {outcome.reason or '-'} {envelope.data.decode(errors='replace')}"
    return OperatorAction(  # by position, as above
        envelope.sender, envelope.why, envelope.name, envelope.key, envelope.message_id, detail
    )


def _reason(error: Exception) -> str:
    """A short, machine-readable reason without the content of the message."""
    if isinstance(error, UnknownMessageError):
        return "unknown_message"
    if isinstance(error, (MalformedMessageError, msgspec.DecodeError)):
        return "malformed"
    return f"handler_raised_{type(error).__name__}"
