"""One turn of an AggregateActor, decided in memory: many commands, each with its own fate. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from domain.shared.context import BoundedContext
from domain.shared.decisions import Decision, Outcome, Verdict
from domain.shared.errors import MalformedMessageError, UnknownMessageError
from domain.shared.ids import derived_id
from domain.shared.messages import Event, MessageRegistry
from domain.shared.ports import Change, InboxMark, OutgoingMessage, Versioned
from spark_actors.messaging.envelope import Envelope, decode_data, encode_data

PARKED = Outcome(Verdict.PARKED, "key_parked")
LOCKED = Outcome(Verdict.LOCKED, "row_locked")


class CommandFailed(NamedTuple):
    """A command that cannot be handled as it is."""

    command: Envelope
    reason: str
    error: Exception


@dataclass
class Turn:
    """What is to be committed together, and how each command ends once it is."""

    loaded: Mapping[str, Versioned[Any]]
    """The instances as they were when the turn began."""
    current: dict[str, Versioned[Any]] = field(default_factory=dict)
    """The instances that the turn has changed."""
    records: list[object] = field(default_factory=list)
    marks: list[InboxMark] = field(default_factory=list)
    outgoing: list[OutgoingMessage] = field(default_factory=list)
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

    def fail(self, command: Envelope, reason: str, error: Exception) -> None:
        self.failures.append(CommandFailed(command, reason, error))
        self.outcomes[command.message_id] = Outcome(Verdict.FAILED, reason)

    def park(self, command: Envelope) -> None:
        self.parked.append(command)
        self.outcomes[command.message_id] = PARKED

    @property
    def unchanged(self) -> dict[str, int]:
        """The instances that the turn only looked at, and their versions."""
        return {key: held.version for key, held in self.loaded.items() if key not in self.current}

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
    refused_by: str = "",
    blocked: Collection[str] = (),
) -> Turn:
    """Handle *commands* in order, each on the state that the one before left behind.

    A command whose handler raises fails, and the later ones of its key must wait, as do those of the *blocked* keys;
    the others are not touched by it. *refused_by* names the database constraint that refused this (then
    single) command before: the context's refusal decides instead of its handler.
    """
    turn = Turn(loaded)
    waiting = set(blocked)
    for envelope in commands:
        if envelope.key in waiting:
            turn.park(envelope)
            continue
        held = turn.instance(envelope.key)
        try:
            decision = _decide(rules, envelope, held.state, now, refused_by)
            version = held.version if decision.state is None else held.version + 1
            outgoing = _outgoing(envelope, decision.events, version, now)
        except Exception as error:  # noqa: BLE001 - a bug in one handler must not stop the neighbours: the command fails, visibly
            turn.fail(envelope, _reason(error), error)
            waiting.add(envelope.key)
        else:
            _apply(turn, envelope, decision, version, outgoing)
    return turn


def _decide(rules: TurnRules, envelope: Envelope, state: object, now: datetime, refused_by: str) -> Decision[Any]:
    command: Any = decode_data(rules.registry, envelope)
    if refused_by:
        return rules.context.refusals[refused_by](state, command)
    return rules.context.commands[type(command)](state, command, now)


def _outgoing(envelope: Envelope, events: Sequence[Event], sequence: int, now: datetime) -> list[OutgoingMessage]:
    cause = envelope.message_id
    return [
        OutgoingMessage(  # by position: names would double what it costs
            derived_id(cause, index),
            event.TYPE.name,
            event.TYPE.version,
            event.key,
            sequence,
            encode_data(event),
            envelope.correlation_id,
            cause,
            now,
        )
        for index, event in enumerate(events)
    ]


def _apply(
    turn: Turn, envelope: Envelope, decision: Decision[Any], version: int, outgoing: list[OutgoingMessage]
) -> None:
    if decision.state is not None:
        turn.current[envelope.key] = Versioned(decision.state, version)
    turn.records += decision.records
    turn.outgoing += outgoing
    turn.marks.append(InboxMark(envelope.message_id, decision.outcome, envelope.key))
    turn.outcomes[envelope.message_id] = decision.outcome


def _reason(error: Exception) -> str:
    """A short, machine-readable reason without the content of the message."""
    if isinstance(error, UnknownMessageError):
        return "unknown_message"
    if isinstance(error, (MalformedMessageError, msgspec.DecodeError)):
        return "malformed"
    return f"handler_raised_{type(error).__name__}"
