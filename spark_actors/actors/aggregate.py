"""The AggregateActor: hosts aggregate instances and takes turns, each one transaction (group commit).

Instances activate when a command for them comes and passivate when room is needed. What is resident is only a
cache: every write carries the version it was decided on, and if the store refuses it the actor reloads.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from domain.shared.context import BoundedContext
from domain.shared.decisions import Outcome, Verdict
from domain.shared.errors import (
    ConstraintError,
    DuplicateMessageError,
    StaleVersionError,
    StorageUnavailableError,
)
from domain.shared.messages import MessageRegistry
from domain.shared.ports import UnitOfWorkFactory, Versioned
from spark_actors.actors.turn import Turn, TurnRules, decide_turn
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import Envelope, Reply, pack, unpack_envelopes
from spark_actors.messaging.ports import Clock, Telemetry
from spark_actors.messaging.telemetry import InstancesMoved, TurnRetried, TurnTaken

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class HostedContext:
    """A context that an AggregateActor serves, and its store."""

    context: BoundedContext
    unit_of_work: UnitOfWorkFactory


class Residents:
    """The active instances, most recently used last; those over the capacity passivate when a turn has ended."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._instances: OrderedDict[tuple[str, str], Versioned[Any]] = OrderedDict()
        self._by_context: Counter[str] = Counter()

    def find(self, context: str, keys: Iterable[str]) -> dict[str, Versioned[Any]]:
        """Those of *keys* that are active."""
        return {key: held for key in keys if (held := self._instances.get((context, key)))}

    def keep(self, context: str, instances: Mapping[str, Versioned[Any]]) -> None:
        """Hold these as the most recently used."""
        for key, instance in instances.items():
            if (context, key) not in self._instances:
                self._by_context[context] += 1
            self._instances[context, key] = instance
            self._instances.move_to_end((context, key))

    def forget(self, context: str, keys: Iterable[str]) -> None:
        """Let these go; they are loaded again when needed."""
        for key in keys:
            if self._instances.pop((context, key), None) is not None:
                self._by_context[context] -= 1

    def passivate(self) -> Counter[str]:
        """Let the longest unused go until the capacity is kept; how many, by context."""
        passivated: Counter[str] = Counter()
        while len(self._instances) > self._capacity:
            (context, _), _ = self._instances.popitem(last=False)
            passivated[context] += 1
        self._by_context -= passivated
        return passivated

    def count(self, context: str) -> int:
        return self._by_context[context]


class AggregateActor:
    """Handles the commands of its instances one at a time, in the order in which they are handed over.

    It is not safe for threads: one turn at a time. It calls nobody and waits for nothing but its store.
    """

    def __init__(
        self,
        contexts: Sequence[HostedContext],
        registry: MessageRegistry,
        *,
        capacity: int,
        max_attempts: int,
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._hosted = {hosted.context.name: hosted for hosted in contexts}
        self._registry = registry
        self._residents = Residents(capacity)
        self._max_attempts = max_attempts
        self._clock = clock
        self._telemetry = telemetry
        self._pass = pass_point

    def take_turn(self, context: str, payload: bytes) -> bytes:
        """Handle packed envelopes and give packed replies, in the same order, once they are committed.

        Raises StorageUnavailableError if the store is away: nothing is known then, so hand the same batch over again.
        """
        commands = unpack_envelopes(payload)
        started = time.monotonic()
        distinct = _distinct(commands)
        outcomes, duplicates = self._take(self._hosted[context], distinct)
        self._tell(context, distinct, outcomes, duplicates + len(commands) - len(distinct), started)
        return pack([Reply.of(command.message_id, outcomes[command.message_id]) for command in commands])

    def _take(
        self, hosted: HostedContext, commands: Sequence[Envelope], refused_by: str = ""
    ) -> tuple[dict[str, Outcome], int]:
        """The outcomes of *commands*, committed, and how many of them the inbox knew."""
        known: dict[str, Outcome] = {}
        pending = list(commands)
        for _ in range(self._max_attempts):
            turn = self._decide(hosted, pending, refused_by)
            try:
                self._commit(hosted, turn)
                return known | turn.outcomes, len(known)
            except DuplicateMessageError as error:
                self._retried(hosted, "duplicate_message", error)
                known |= self._known(hosted, pending)
                pending = [command for command in pending if command.message_id not in known]
            except StaleVersionError as error:
                self._retried(hosted, "stale_version", error)
            except StorageUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - a row that the store refuses, or a bug in writing it: find whose
                self._retried(hosted, "constraint", error)
                outcomes, duplicates = self._isolate(hosted, pending, error, refused_by)
                return known | outcomes, len(known) + duplicates
        raise StorageUnavailableError(f"turn of {len(pending)} commands gave up after {self._max_attempts} attempts")

    def _decide(self, hosted: HostedContext, commands: Sequence[Envelope], refused_by: str) -> Turn:
        keys = dict.fromkeys(command.key for command in commands)
        loaded = self._activate(hosted, keys)
        return decide_turn(TurnRules(hosted.context, self._registry), commands, loaded, self._clock(), refused_by)

    def _activate(self, hosted: HostedContext, keys: Iterable[str]) -> dict[str, Versioned[Any]]:
        name = hosted.context.name
        held = self._residents.find(name, keys)
        missing = [key for key in keys if key not in held]
        if missing:
            with hosted.unit_of_work() as uow:
                loaded = dict(uow.repository.load(missing))
            self._residents.keep(name, loaded)
            self._telemetry(InstancesMoved(name, len(missing), 0, self._residents.count(name)))
            held |= loaded
        return held

    def _commit(self, hosted: HostedContext, turn: Turn) -> None:
        """Commit the turn; whatever goes wrong, the instances it touched are loaded anew next time."""
        name = hosted.context.name
        try:
            if turn.marks:
                with hosted.unit_of_work() as uow:
                    uow.repository.save(turn.changes, turn.records, turn.unchanged)
                    uow.inbox.mark(turn.marks)
                    uow.outbox.add(turn.outgoing)
                    self._pass(CrashPoint.TURN_BEFORE_COMMIT, name)
                    uow.commit()
                    self._pass(CrashPoint.TURN_AFTER_COMMIT, name)
        except Exception:
            self._residents.forget(name, turn.loaded)
            raise
        self._residents.keep(name, turn.current)
        self._passivate()
        for command, error in turn.failures:
            _log_failure(command, error)

    def _known(self, hosted: HostedContext, commands: Sequence[Envelope]) -> dict[str, Outcome]:
        with hosted.unit_of_work() as uow:
            return dict(uow.inbox.outcomes([command.message_id for command in commands]))

    def _isolate(
        self, hosted: HostedContext, commands: Sequence[Envelope], error: Exception, refused_by: str
    ) -> tuple[dict[str, Outcome], int]:
        """Halve the batch until the command that the store refuses is alone, then let the domain answer it."""
        if len(commands) > 1:
            middle = len(commands) // 2
            first, known_first = self._take(hosted, commands[:middle])
            second, known_second = self._take(hosted, commands[middle:])
            return first | second, known_first + known_second
        constraint = error.constraint if isinstance(error, ConstraintError) else ""
        if refused_by or constraint not in hosted.context.refusals:
            _log_failure(commands[0], error)
            return {commands[0].message_id: Outcome(Verdict.FAILED, f"store_refused_{constraint}")}, 0
        return self._take(hosted, commands, refused_by=constraint)

    def _passivate(self) -> None:
        for context, count in self._residents.passivate().items():
            self._telemetry(InstancesMoved(context, 0, count, self._residents.count(context)))

    def _retried(self, hosted: HostedContext, reason: str, error: Exception) -> None:
        self._telemetry(TurnRetried(hosted.context.name, reason))
        log.debug("turn_retried", context=hosted.context.name, reason=reason, detail=str(error))

    def _tell(
        self,
        context: str,
        commands: Sequence[Envelope],
        outcomes: Mapping[str, Outcome],
        duplicates: int,
        started: float,
    ) -> None:
        counts = Counter((command.name, outcomes[command.message_id].verdict) for command in commands)
        self._telemetry(TurnTaken(context, counts, duplicates, timedelta(seconds=time.monotonic() - started)))


def _distinct(commands: Sequence[Envelope]) -> list[Envelope]:
    """The first of each message id, in order: what stands twice in a batch is handled once."""
    first: dict[str, Envelope] = {}
    for command in commands:
        first.setdefault(command.message_id, command)
    return list(first.values())


def _log_failure(command: Envelope, error: Exception) -> None:
    log.error(
        "command_failed",
        message=command.name,
        message_id=command.message_id,
        correlation_id=command.correlation_id,
        exc_info=error,
    )
