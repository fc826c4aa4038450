"""The catalogue of what the running system says about itself. Metrics and logs are listeners.

No event carries an id of an aggregate or message as something to count by: labels stay bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.sagas import SagaState


@dataclass(frozen=True)
class TurnTaken:
    """An AggregateActor committed a turn."""

    context: str
    outcomes: Mapping[tuple[str, Verdict], int]
    """Commands by wire name and how they ended, without those dropped by the inbox."""
    duplicates: int
    """Commands that had been handled before, or stood twice in the batch."""
    duration: timedelta

    @property
    def commands(self) -> int:
        """How many were handled together."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class TurnRetried:
    """A turn could not be committed as it was and was taken again."""

    context: str
    reason: str
    """stale_version, duplicate_message, key_parked, constraint or storage_unavailable"""


@dataclass(frozen=True)
class TurnStale:
    """An AggregateActor was handed commands by an older placement, of instances that another slot has now."""

    context: str


@dataclass(frozen=True)
class InstancesMoved:
    """Aggregate instances were activated or passivated."""

    context: str
    activated: int
    passivated: int
    resident: int
    """How many are held now."""


@dataclass(frozen=True)
class CommandsRefused:
    """The ingress could not understand messages, or their senders may not send them, or not under such an id."""

    reason: str
    """A bounded word, e.g. unknown_type, malformed, oversized, forbidden, id_reused."""
    count: int = 1


@dataclass(frozen=True)
class LoginTried:
    """Somebody has tried to log in."""

    outcome: str
    """ok, wrong_credentials, too_many_attempts or busy"""


@dataclass(frozen=True)
class EventsRouted:
    """The relay handed events to a subscriber that took them."""

    context: str
    subscriber: str
    count: int


@dataclass(frozen=True)
class DeliveryRetried:
    """A subscriber or host did not take something yet."""

    context: str
    to: str
    count: int = 1


@dataclass(frozen=True)
class MessagesBuried:
    """Messages became dead letters."""

    context: str
    count: int = 1


@dataclass(frozen=True)
class OutboxMeasured:
    """The relay looked at how far it is behind."""

    context: str
    pending: int
    oldest_age: timedelta


@dataclass(frozen=True)
class MissedMeasured:
    """What subscribers that are far behind have still to get of a context's events, by subscriber."""

    context: str
    events: Mapping[str, int]
    oldest_ages: Mapping[str, timedelta]


@dataclass(frozen=True)
class DeadLettersMeasured:
    """How many dead letters wait for an operator."""

    context: str
    count: int


@dataclass(frozen=True)
class KeysParkedMeasured:
    """Which keys of a context wait: by what waits for them (`commands`, or a subscriber), state and cause."""

    context: str
    keys: Mapping[tuple[str, str, str], int]
    oldest_ages: Mapping[tuple[str, str, str], timedelta]


@dataclass(frozen=True)
class SagasEnded:
    """Sagas have come to an end."""

    kind: str
    state: SagaState
    durations: Sequence[timedelta]
    """From the first event of each to its last."""


@dataclass(frozen=True)
class SagasMeasured:
    """How many sagas of a context run, by kind and whether they are overdue."""

    running: Mapping[tuple[str, bool], int]


@dataclass(frozen=True)
class ActorRestarted:
    """A supervisor replaced an actor that had died."""

    kind: str


@dataclass(frozen=True)
class ActorMoved:
    """An actor lives on another node now."""

    kind: str


@dataclass(frozen=True)
class NodesMeasured:
    """The nodes of the cluster."""

    by_state: Mapping[str, int]
    """Every state is there, also with 0."""
    slots: Mapping[str, int]
    """By the name of each node that is there: how many of the actors that instances live in."""


@dataclass(frozen=True)
class RoutesMeasured:
    """How far the news of where everybody is has come."""

    versions: Mapping[str, int]
    """By role: of the table that the last of them goes by; `root` makes the tables."""


@dataclass(frozen=True)
class ActorsFenced:
    """Actors had a successor and have ended themselves."""

    count: int


@dataclass(frozen=True)
class GcsSeen:
    """Whether Ray's control service has answered."""

    is_up: bool


@dataclass(frozen=True)
class IngressMeasured:
    """How far the ingress is behind the broker."""

    waiting: int
    """Messages in the broker that were not pulled yet."""
    in_flight: int
    """Messages pulled and not acknowledged yet."""


@dataclass(frozen=True)
class ClocksCompared:
    """The ingress compared its clock with the broker's."""

    apart_seconds: float


@dataclass(frozen=True)
class AnswerCut:
    """The broker would not have taken an answer in one piece."""

    cut: str
    """truncated or too_large"""


@dataclass(frozen=True)
class TasksTried:
    """Durable tasks were tried."""

    name: str
    result: str
    """done, not_yet, or failed: the worker has raised something"""
    count: int = 1


@dataclass(frozen=True)
class TasksMeasured:
    """What a context has to do outside or later, by wire name and state: waiting, failing or scheduled."""

    tasks: Mapping[tuple[str, str], int]
    oldest_ages: Mapping[str, timedelta]
    """By wire name."""


@dataclass(frozen=True)
class OutsideAsked:
    """Something outside was asked for, or for how it stands."""

    service: str
    """What was asked, a bounded word."""

    call: str
    """For what; a bounded word."""
    answer: str
    """A bounded word: ok, error, refused, invalid, or the status given."""
    duration: timedelta


@dataclass(frozen=True)
class OutsideMeasured:
    """How much of something a service outside has now."""

    service: str
    """A bounded word."""
    what: str
    """A bounded word that ends with the unit."""
    amount: int


@dataclass(frozen=True)
class BooksMeasured:
    """How much of something a context has on its books now."""

    context: str
    what: str
    """A bounded word that ends with the unit."""
    amount: int


TelemetryEvent: TypeAlias = (
    TurnTaken
    | TurnRetried
    | TurnStale
    | InstancesMoved
    | CommandsRefused
    | LoginTried
    | EventsRouted
    | DeliveryRetried
    | MessagesBuried
    | OutboxMeasured
    | MissedMeasured
    | DeadLettersMeasured
    | KeysParkedMeasured
    | SagasEnded
    | SagasMeasured
    | ActorRestarted
    | ActorMoved
    | NodesMeasured
    | RoutesMeasured
    | ActorsFenced
    | GcsSeen
    | IngressMeasured
    | ClocksCompared
    | AnswerCut
    | TasksTried
    | TasksMeasured
    | OutsideAsked
    | OutsideMeasured
    | BooksMeasured
)
