"""The AggregateActor: hosts aggregate instances and takes turns, each one transaction (group commit).

Instances activate when a command for them comes and passivate when room is needed. What is resident is only a
cache: every write carries the version it was decided on, and if the store refuses it the actor reloads.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from domain.shared.context import BoundedContext
from domain.shared.decisions import Outcome, Verdict
from domain.shared.errors import (
    ConstraintError,
    DuplicateMessageError,
    KeyParkedError,
    RowLockedError,
    StaleVersionError,
    StorageUnavailableError,
)
from domain.shared.messages import MessageRegistry
from domain.shared.ports import Failure, Parking, UnitOfWorkFactory, Versioned
from spark_actors.actors.turn import LOCKED, PARKED, CommandFailed, Turn, TurnRules, decide_turn
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import Envelope, Reply, pack, stored, unpack_envelopes
from spark_actors.messaging.ports import Clock, Telemetry
from spark_actors.messaging.telemetry import InstancesMoved, MessagesBuried, TurnRetried, TurnTaken

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class HostedContext:
    """A context that an AggregateActor serves, and its store."""

    context: BoundedContext
    unit_of_work: UnitOfWorkFactory


@dataclass(frozen=True)
class _Work:
    """Where commands are handled, and how."""

    hosted: HostedContext
    refused_by: str = ""
    """The constraint that refused this (then single) command before."""
    draining: str = ""
    """The released key whose waiting commands these are; empty for commands that come as usual."""


RELEASED_AT_ONCE = 100
"""Commands of a released key that are handled in one turn."""
MET_KEYS = 10_000
"""How many parked keys an actor remembers, to ask about them before it decides; the store knows all."""
_HANDLED = (Verdict.DONE, Verdict.REJECTED)


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
        self._met: dict[str, set[str]] = {}
        """Parked keys that were met, by context: a hint that spares a turn that would be refused."""
        self._held_up: dict[str, set[str]] = {}
        """Keys whose rows others had locked, by context: they are tried apart until they come through."""

    def take_turn(self, context: str, payload: bytes) -> bytes:
        """Handle packed envelopes and give packed replies, in the same order, once they are committed.

        A command whose handling raises is answered FAILED; it waits as a dead letter, and its key is parked. Those of a
        parked key are answered PARKED: they wait durably and are handled, in order, by `release`. Those of a key on
        which somebody else holds a lock are answered LOCKED: hand them over again later, before any others of the key.
        Raises StorageUnavailableError if the store is away: nothing is known then, so hand the same batch over again.
        """
        commands = unpack_envelopes(payload)
        started = time.monotonic()
        distinct = _distinct(commands)
        outcomes, duplicates = self._take_all(_Work(self._hosted[context]), distinct)
        handled = [command for command in distinct if outcomes[command.message_id] is not LOCKED]
        self._tell(context, handled, outcomes, duplicates + len(commands) - len(distinct), started)
        return pack([Reply.of(command.message_id, outcomes[command.message_id]) for command in commands])

    def release(self, context: str, keys: Sequence[str]) -> list[str]:
        """Handle the first of what waits for these released keys, in order; gives those for which more waits.

        If one fails again, its key is parked again. A key that is not released (any more) is left alone. Raises
        StorageUnavailableError: ask again.
        """
        return [key for key in keys if self._release_some(self._hosted[context], key)]

    def _release_some(self, hosted: HostedContext, key: str) -> bool:
        """Handle the first of what waits for *key*; whether there may be more to do."""
        with hosted.unit_of_work() as uow:
            waiting = [Envelope(*row) for row in uow.parking.waiting(key, RELEASED_AT_ONCE)]
        started = time.monotonic()
        outcomes, duplicates = self._take(_Work(hosted, draining=key), waiting)
        self._tell(hosted.context.name, waiting, outcomes, duplicates, started)
        _log_released(hosted.context.name, key, waiting, outcomes)
        return bool(waiting) and all(outcome.verdict in _HANDLED for outcome in outcomes.values())

    def _take_all(self, work: _Work, commands: Sequence[Envelope]) -> tuple[dict[str, Outcome], int]:
        """As `_take`; what was held up before is tried apart, so that its neighbours do not wait for it once more."""
        held_up = self._held_up.setdefault(work.hosted.context.name, set())
        if held_up.isdisjoint(command.key for command in commands):
            return self._take(work, commands)
        usual, apart = _parted(commands, held_up)
        outcomes, duplicates = self._take(work, usual)
        held_up.difference_update(command.key for command in apart)
        more, more_duplicates = self._leave_out(work, apart, self._locked(work, apart))
        return outcomes | more, duplicates + more_duplicates

    def _leave_out(
        self, work: _Work, commands: Sequence[Envelope], locked: Collection[str]
    ) -> tuple[dict[str, Outcome], int]:
        """Take the others of *commands*; those of *locked* keys are answered LOCKED."""
        self._held_up.setdefault(work.hosted.context.name, set()).update(locked)
        others, left_out = _parted(commands, locked)
        outcomes, duplicates = self._take(work, others)
        return outcomes | {command.message_id: LOCKED for command in left_out}, duplicates

    def _without_locked(self, work: _Work, commands: Sequence[Envelope]) -> tuple[dict[str, Outcome], int]:
        """Find out which keys of a turn others have locked, and take the rest.

        A lock that the store cannot name (of a row that comes to be just now, say) is found by halving the turn.
        """
        keys = list(dict.fromkeys(command.key for command in commands))
        locked = self._locked(work, commands)
        if locked or len(keys) == 1:
            return self._leave_out(work, commands, locked or keys)
        second_half, first_half = _parted(commands, frozenset(keys[: len(keys) // 2]))
        first, known_first = self._take(work, first_half)
        second, known_second = self._take(work, second_half)
        return first | second, known_first + known_second

    def _locked(self, work: _Work, commands: Sequence[Envelope]) -> frozenset[str]:
        with work.hosted.unit_of_work() as uow:
            return uow.repository.locked(sorted({command.key for command in commands}))

    def _take(self, work: _Work, commands: Sequence[Envelope]) -> tuple[dict[str, Outcome], int]:
        """The outcomes of *commands*, committed, and how many of them the inbox knew."""
        known = self._known(work.hosted, commands) if work.draining else {}
        blocked = self._blocked(work, [command.key for command in commands], is_certain=False)
        for _ in range(self._max_attempts):
            pending = [command for command in commands if command.message_id not in known]
            turn = self._decide(work, pending, blocked)
            if suspects := _suspects(turn, work):
                known |= self._known(work.hosted, suspects)
                blocked |= self._blocked(work, [command.key for command in suspects])
                pending = [command for command in pending if command.message_id not in known]
                turn = self._decide(work, pending, blocked)
            try:
                self._commit(work, turn, known)
                return known | turn.outcomes, len(known)
            except DuplicateMessageError as error:
                self._retried(work.hosted, "duplicate_message", error)
                known |= self._known(work.hosted, pending)
            except StaleVersionError as error:
                self._retried(work.hosted, "stale_version", error)
                blocked = self._blocked(work, blocked)
            except KeyParkedError as error:
                self._retried(work.hosted, "key_parked", error)
                if work.draining:  # an operator has stopped it: everything stays as it was
                    return known | {command.message_id: PARKED for command in pending}, len(known)
                blocked = self._blocked(work, [command.key for command in pending])
            except RowLockedError as error:
                if work.draining:  # it waits durably already, and is asked for again
                    raise
                self._retried(work.hosted, "row_locked", error)
                outcomes, duplicates = self._without_locked(work, pending)
                return known | outcomes, len(known) + duplicates
            except StorageUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - a row that the store refuses, or a bug in writing it: find whose
                self._retried(work.hosted, "constraint", error)
                outcomes, duplicates = self._isolate(work, pending, error)
                return known | outcomes, len(known) + duplicates
        raise StorageUnavailableError(f"turn of {len(commands)} commands gave up after {self._max_attempts} attempts")

    def _blocked(self, work: _Work, keys: Iterable[str], *, is_certain: bool = True) -> frozenset[str]:
        """Those of *keys* that must wait. Unless *is_certain*, only keys that were met before are asked about."""
        met = self._met.setdefault(work.hosted.context.name, set())
        asked = set(keys) if is_certain else met.intersection(keys)
        if not asked or work.draining:
            return frozenset()
        with work.hosted.unit_of_work() as uow:
            blocked = uow.parking.parked(sorted(asked))
        met -= asked
        if len(met) < MET_KEYS:
            met |= blocked
        return blocked

    def _decide(self, work: _Work, commands: Sequence[Envelope], blocked: Collection[str]) -> Turn:
        keys = dict.fromkeys(command.key for command in commands if command.key not in blocked)
        loaded = self._activate(work.hosted, keys)
        rules = TurnRules(work.hosted.context, self._registry)
        return decide_turn(rules, commands, loaded, self._clock(), work.refused_by, blocked)

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

    def _commit(self, work: _Work, turn: Turn, known: Collection[str]) -> None:
        """Commit the turn; whatever goes wrong, the instances it touched are loaded anew next time."""
        name = work.hosted.context.name
        try:
            if work.draining or not turn.is_empty:
                with work.hosted.unit_of_work() as uow:
                    uow.repository.save(turn.changes, turn.records, turn.unchanged)
                    uow.inbox.mark([mark._replace(key="") for mark in turn.marks] if work.draining else turn.marks)
                    uow.outbox.add(turn.outgoing)
                    self._park(work, turn, known, uow.parking)
                    self._pass(CrashPoint.TURN_BEFORE_COMMIT, name)
                    uow.commit()
                    self._pass(CrashPoint.TURN_AFTER_COMMIT, name)
        except Exception:
            self._residents.forget(name, turn.loaded)
            raise
        self._residents.keep(name, turn.current)
        self._passivate()
        self._tell_parked(name, turn)

    def _park(self, work: _Work, turn: Turn, known: Collection[str], parking: Parking) -> None:
        """What fails, what must wait, and what waits no longer, with the unit of work's commit."""
        now = self._clock()
        if work.draining:
            parking.take_out(work.draining, [*known, *(mark.message_id for mark in turn.marks)])
        parking.bury([Failure(stored(failed.command), failed.reason, now) for failed in turn.failures])
        if not work.draining:
            parking.add([stored(command) for command in turn.parked])

    def _tell_parked(self, name: str, turn: Turn) -> None:
        if turn.failures:
            self._met.setdefault(name, set()).update(failed.command.key for failed in turn.failures)
            self._telemetry(MessagesBuried(name, len(turn.failures)))
        for failed in turn.failures:
            _log_failure(failed)

    def _known(self, hosted: HostedContext, commands: Sequence[Envelope]) -> dict[str, Outcome]:
        with hosted.unit_of_work() as uow:
            return dict(uow.inbox.outcomes([command.message_id for command in commands]))

    def _isolate(self, work: _Work, commands: Sequence[Envelope], error: Exception) -> tuple[dict[str, Outcome], int]:
        """Halve the batch until the command that the store refuses is alone, then let the domain answer it."""
        if len(commands) > 1:
            middle = len(commands) // 2
            first, known_first = self._take(work, commands[:middle])
            second, known_second = self._take(work, commands[middle:])
            return first | second, known_first + known_second
        if done := self._known(work.hosted, commands):
            return done, len(done)  # it went wrong after the commit
        constraint = error.constraint if isinstance(error, ConstraintError) else ""
        if work.refused_by or constraint not in work.hosted.context.refusals:
            return self._give_up(work, commands, error, constraint), 0
        return self._take(replace(work, refused_by=constraint), commands)

    def _give_up(
        self, work: _Work, commands: Sequence[Envelope], error: Exception, constraint: str
    ) -> dict[str, Outcome]:
        """The store refuses this one command, and the domain has no answer to that: it is a failure."""
        turn = Turn({})
        for command in commands:
            turn.fail(command, f"store_refused_{constraint}", error)
        try:
            self._commit(work, turn, ())
        except StorageUnavailableError:
            raise
        except Exception as other:
            raise StorageUnavailableError(f"a command that failed cannot be parked: {other}") from other
        return turn.outcomes

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


def _parted(commands: Sequence[Envelope], keys: Collection[str]) -> tuple[list[Envelope], list[Envelope]]:
    """Those of other keys, and those of *keys*; both in order."""
    mine = [command for command in commands if command.key in keys]
    return [command for command in commands if command.key not in keys], mine


def _suspects(turn: Turn, work: _Work) -> list[Envelope]:
    """Commands that may have been handled before, or whose key may wait already: that is looked up before they park."""
    return [] if work.draining else [*(failed.command for failed in turn.failures), *turn.parked]


def _log_failure(failed: CommandFailed) -> None:
    command = failed.command
    log.error(
        "key_parked",
        context=command.context,
        key=command.key,
        reason=failed.reason,
        message=command.name,
        message_id=command.message_id,
        correlation_id=command.correlation_id,
        exc_info=failed.error,
    )


def _log_released(context: str, key: str, commands: Sequence[Envelope], outcomes: Mapping[str, Outcome]) -> None:
    for command in commands:
        log.info(
            "parked_command_taken_up",
            context=context,
            key=key,
            verdict=outcomes[command.message_id].verdict.value,
            message_id=command.message_id,
            correlation_id=command.correlation_id,
        )
