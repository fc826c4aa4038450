"""The AggregateActor: hosts aggregate instances and takes turns, each one transaction (group commit).

Instances activate when a command for them comes and passivate when room is needed. What is resident is only a
cache: every write carries the version it was decided on, and if the store refuses it the actor reloads.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

import structlog

from spark_actors.actors.turn import LOCKED, CommandFailed, Turn, TurnRules, decide_turn
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import ID_REUSED, PARKED, Outcome, Verdict
from spark_actors.kernel.errors import (
    ConstraintError,
    DuplicateMessageError,
    KeyParkedError,
    RowLockedError,
    StaleVersionError,
    StorageUnavailableError,
)
from spark_actors.kernel.ids import is_key
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.deaths import KILLED_ITS_PROCESS
from spark_actors.messaging.envelope import Envelope, Reply, content_digest, pack, stored, unpack_envelopes
from spark_actors.messaging.ports import Clock, Telemetry
from spark_actors.messaging.telemetry import CommandsRefused, InstancesMoved, MessagesBuried, TurnRetried, TurnTaken
from spark_actors.messaging.unit_of_work import (
    Failure,
    Handled,
    InboxMark,
    Parking,
    UnitOfWorkFactory,
    Unreadable,
    Versioned,
)

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
    refused: Mapping[str, str] = field(default_factory=dict)
    """The rule by which the store has refused a command before, by message id."""
    draining: str | None = None
    """The released key whose waiting commands these are; None for commands that come as usual."""


class _Ended(NamedTuple):
    """How commands ended, by message id, once that is committed."""

    outcomes: Mapping[str, Outcome]
    known: Collection[str]
    """Those that had been handled before, or wait since."""

    def and_then(self, other: _Ended) -> _Ended:
        """How these and others ended."""
        return _Ended({**self.outcomes, **other.outcomes}, {*self.known, *other.known})

    def locked_keys(self, commands: Sequence[Envelope]) -> frozenset[str]:
        """The keys of those of *commands* that somebody else's lock has held up."""
        return frozenset(each.key for each in commands if self.outcomes.get(each.message_id) is LOCKED)


RELEASED_AT_ONCE = 100
"""Commands of a released key that are handled in one turn."""
MET_KEYS = 10_000
"""How many parked keys an actor remembers, to ask about them before it decides; the store knows all."""
REFUSAL_PASSES = 3
"""How often a turn is decided anew because the store has refused some of its commands by its rules: a refusal may
change what later commands of the same instance do. What is refused then still is looked for by halves."""
_HANDLED = (Verdict.DONE, Verdict.REJECTED)


class Residents:
    """The active instances, most recently used last; those over the capacity passivate when a turn has ended.

    The capacity is a number of instances, and of bytes: users choose how long some texts are.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity, self._max_bytes = capacity, max_bytes
        self._instances: OrderedDict[tuple[str, str], Versioned[Any]] = OrderedDict()
        self._sizes: dict[tuple[str, str], int] = {}
        self._bytes = 0
        self._by_context: Counter[str] = Counter()

    def find(self, context: str, keys: Iterable[str]) -> dict[str, Versioned[Any]]:
        """Those of *keys* that are active."""
        return {key: held for key in keys if (held := self._instances.get((context, key)))}

    def keep(self, context: str, instances: Mapping[str, Versioned[Any]]) -> None:
        """Hold these as the most recently used."""
        for key, instance in instances.items():
            name = (context, key)
            if name not in self._instances:
                self._by_context[context] += 1
            self._instances[name] = instance
            self._instances.move_to_end(name)
            size = size_of(instance.state)
            if (before := self._sizes.get(name, 0)) != size:
                self._bytes += size - before
                self._sizes[name] = size

    def forget(self, context: str, keys: Iterable[str]) -> None:
        """Let these go; they are loaded again when needed."""
        for key in keys:
            if self._instances.pop((context, key), None) is not None:
                self._by_context[context] -= 1
                self._bytes -= self._sizes.pop((context, key))

    def passivate(self) -> Counter[str]:
        """Let the longest unused go until the capacity is kept, but for the last; how many, by context."""
        passivated: Counter[str] = Counter()
        while len(self._instances) > self._capacity or (self._bytes > self._max_bytes and len(self._instances) > 1):
            name, _ = self._instances.popitem(last=False)
            self._bytes -= self._sizes.pop(name)
            passivated[name[0]] += 1
        self._by_context -= passivated
        return passivated

    def count(self, context: str) -> int:
        return self._by_context[context]


INSTANCE_BYTES = 500
"""What an instance takes besides its texts, roughly: its fields, its ids and its place among the others."""


def size_of(state: Any) -> int:
    """About how many bytes an active instance takes; its texts are what can be large."""
    size = INSTANCE_BYTES
    for name in _texts_of(type(state)):  # type: ignore[arg-type]  # classes can be hashed
        size += sys.getsizeof(getattr(state, name))
    return size


@cache
def _texts_of(cls: Any) -> tuple[str, ...]:
    """The fields of a state that hold texts other than ids, which are short. Many a kind of aggregate has none."""
    known = fields(cls) if is_dataclass(cls) else ()
    return tuple(each.name for each in known if "str" in str(each.type).split(" | ") and not each.name.endswith("_id"))


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
        max_bytes: int = 64 * 2**20,
        max_attempts: int,
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._hosted = {hosted.context.name: hosted for hosted in contexts}
        self._registry = registry
        self._residents = Residents(capacity, max_bytes)
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
        A command under an id that was used for something else is rejected as `id_reused`, and nothing is kept of it.
        Raises StorageUnavailableError if the store is away: nothing is known then, so hand the same batch over again.
        """
        commands = unpack_envelopes(payload)
        started = time.monotonic()
        distinct, others = _distinct(commands)
        ended = self._take_all(_Work(self._hosted[context]), distinct)
        answered = self._others(self._hosted[context], others)
        outcomes = [answered.get(place) or ended.outcomes[each.message_id] for place, each in enumerate(commands)]
        self._tell(context, distinct, ended, outcomes, started)
        return pack([Reply.of(each.message_id, outcome) for each, outcome in zip(commands, outcomes, strict=True)])

    def bury(self, context: str, payload: bytes) -> bytes:
        """Have packed envelopes fail that kill their host, without looking into them; gives packed replies.

        Each waits as a dead letter and its key is parked, unless it was handled after all. Raises like `take_turn`.
        """
        work, commands, started = _Work(self._hosted[context]), unpack_envelopes(payload), time.monotonic()
        known = self._known(work, commands)
        pending = [command for command in commands if command.message_id not in known]
        blocked = set(self._blocked(work, [command.key for command in pending]))
        turn = Turn({})
        for command in pending:
            if command.key in blocked:
                turn.park(command)
            else:
                turn.fail(command, KILLED_ITS_PROCESS, None)
                blocked.add(command.key)
        self._store_failures(work, turn)
        ended = _Ended(known | turn.outcomes, known)
        self._tell(context, commands, ended, list(ended.outcomes.values()), started)
        return pack([Reply.of(command.message_id, ended.outcomes[command.message_id]) for command in commands])

    def release(self, context: str, keys: Sequence[str], at_once: int = RELEASED_AT_ONCE) -> list[str]:
        """Handle the first of what waits for these released keys, in order; gives those for which more waits.

        Of each key *at_once* are handled in one turn. If one fails again, its key is parked again. A key that is not
        released (any more) is left alone. Raises StorageUnavailableError: ask again.
        """
        return [key for key in keys if self._release_some(self._hosted[context], key, at_once)]

    def _release_some(self, hosted: HostedContext, key: str, at_once: int) -> bool:
        """Handle the first of what waits for *key*; whether there may be more to do."""
        with hosted.unit_of_work() as uow:
            waiting = [Envelope(*row) for row in uow.parking.waiting(key, at_once)]
        started = time.monotonic()
        ended = self._take(_Work(hosted, draining=key), waiting)
        self._tell(hosted.context.name, waiting, ended, list(ended.outcomes.values()), started)
        _log_released(hosted.context.name, key, waiting, ended.outcomes)
        return bool(waiting) and all(outcome.verdict in _HANDLED for outcome in ended.outcomes.values())

    def _take_all(self, work: _Work, commands: Sequence[Envelope]) -> _Ended:
        """As `_take`; what was held up before is tried apart, so that its neighbours do not wait for it once more."""
        held_up = self._held_up.setdefault(work.hosted.context.name, set())
        if held_up.isdisjoint(command.key for command in commands):
            return self._take(work, commands)
        usual, apart = _parted(commands, held_up)
        ended = self._take(work, usual)
        held_up.difference_update(command.key for command in apart)
        return ended.and_then(self._leave_out(work, apart, self._locked(work, apart)))

    def _leave_out(self, work: _Work, commands: Sequence[Envelope], locked: Collection[str]) -> _Ended:
        """Take the others of *commands*; those of *locked* keys are answered LOCKED."""
        self._held_up.setdefault(work.hosted.context.name, set()).update(locked)
        others, left_out = _parted(commands, locked)
        return self._take(work, others).and_then(_Ended({command.message_id: LOCKED for command in left_out}, ()))

    def _without_locked(self, work: _Work, commands: Sequence[Envelope]) -> _Ended:
        """Find out which keys of a turn others have locked, and take the rest.

        A lock that the store cannot name (of a row that comes to be just now, say) is found by halving the turn.
        """
        keys = list(dict.fromkeys(command.key for command in commands))
        locked = self._locked(work, commands)
        if locked or len(keys) == 1:
            return self._leave_out(work, commands, locked or keys)
        second_half, first_half = _parted(commands, frozenset(keys[: len(keys) // 2]))
        return self._take(work, first_half).and_then(self._take(work, second_half))

    def _locked(self, work: _Work, commands: Sequence[Envelope]) -> frozenset[str]:
        with work.hosted.unit_of_work() as uow:
            return uow.repository.locked(sorted({command.key for command in commands}))

    def _take(self, work: _Work, commands: Sequence[Envelope]) -> _Ended:
        """Commit *commands*, of which no two have the same id. What goes wrong with some of them is theirs alone."""
        try:
            return self._take_together(work, commands)
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - what the store refuses, what cannot be read, a bug: find whose it is
            self._retried(work.hosted, "constraint", error)
            return self._isolate(work, commands, error)

    def _take_together(self, work: _Work, commands: Sequence[Envelope]) -> _Ended:
        known = self._known(work, commands) if work.draining is not None else {}
        blocked = self._blocked(work, [command.key for command in commands], is_certain=False)
        refused = dict(work.refused)
        for attempt in range(self._max_attempts):
            pending = [command for command in commands if command.message_id not in known]
            turn = self._decide(work, pending, blocked, refused)
            if suspects := _suspects(turn, work):
                known |= self._known(work, suspects)
                blocked |= self._blocked(work, [command.key for command in suspects])
                pending = [command for command in pending if command.message_id not in known]
                turn = self._decide(work, pending, blocked, refused)
            try:
                self._commit(work, turn, known)
                return _Ended(known | turn.outcomes, known)
            except DuplicateMessageError as error:
                self._retried(work.hosted, "duplicate_message", error)
                known |= self._known(work, pending)
            except StaleVersionError as error:
                self._retried(work.hosted, "stale_version", error)
                blocked = self._blocked(work, blocked)
            except KeyParkedError as error:
                self._retried(work.hosted, "key_parked", error)
                if work.draining is not None:  # an operator has stopped it: everything stays as it was
                    return _Ended(known | {command.message_id: PARKED for command in pending}, known)
                blocked = self._blocked(work, [command.key for command in pending])
                known |= self._known(work, pending)
            except RowLockedError as error:
                if work.draining is not None:  # it waits durably already, and is asked for again
                    raise
                self._retried(work.hosted, "row_locked", error)
                return _Ended(known, known).and_then(self._without_locked(work, pending))
            except ConstraintError as error:
                offenders = self._offenders(work, turn, refused)
                if not offenders or attempt >= min(REFUSAL_PASSES, self._max_attempts - 1):
                    raise
                self._retried(work.hosted, "constraint", error)
                refused |= offenders
        raise StorageUnavailableError(f"turn of {len(commands)} commands gave up after {self._max_attempts} attempts")

    def _offenders(self, work: _Work, turn: Turn, refused: Collection[str]) -> dict[str, str]:
        """Which commands of a turn that the store has refused break which of the rules that the domain answers to."""
        with work.hosted.unit_of_work() as uow:
            found = uow.repository.offenders(turn.effects)
        broken = {turn.decided[place][0].message_id: rule for place, rule in found.items()}
        answered = work.hosted.context.refusals
        return {name: rule for name, rule in broken.items() if rule in answered and name not in refused}

    def _others(self, hosted: HostedContext, others: Mapping[int, Envelope]) -> dict[int, Outcome]:
        """What is said, by place, to commands under the id of one of the same batch that asked for something else."""
        if not others:
            return {}
        with hosted.unit_of_work() as uow:
            handled = uow.inbox.handled([command.message_id for command in others.values()])
        return {
            place: _answer(command, handled[command.message_id]) if command.message_id in handled else ID_REUSED
            for place, command in others.items()
        }

    def _blocked(self, work: _Work, keys: Iterable[str], *, is_certain: bool = True) -> frozenset[str]:
        """Those of *keys* that must wait. Unless *is_certain*, only keys that were met before are asked about."""
        met = self._met.setdefault(work.hosted.context.name, set())
        asked = set(keys) if is_certain else met.intersection(keys)
        if not asked or work.draining is not None:
            return frozenset()
        with work.hosted.unit_of_work() as uow:
            blocked = uow.parking.parked(sorted(asked))
        met -= asked
        if len(met) < MET_KEYS:
            met |= blocked
        return blocked

    def _decide(
        self, work: _Work, commands: Sequence[Envelope], blocked: Collection[str], refused: Mapping[str, str]
    ) -> Turn:
        keys = dict.fromkeys(command.key for command in commands if command.key not in blocked)
        loaded = self._activate(work.hosted, keys)
        rules = TurnRules(work.hosted.context, self._registry)
        return decide_turn(rules, commands, loaded, self._clock(), refused, blocked)

    def _activate(self, hosted: HostedContext, keys: Iterable[str]) -> dict[str, Versioned[Any]]:
        name = hosted.context.name
        held = self._residents.find(name, keys)
        missing = [key for key in keys if key not in held and is_key(key)]
        if missing:
            with hosted.unit_of_work() as uow:
                loaded = dict(uow.repository.load(missing))
            self._residents.keep(name, {key: it for key, it in loaded.items() if not isinstance(it.state, Unreadable)})
            self._telemetry(InstancesMoved(name, len(missing), 0, self._residents.count(name)))
            held |= loaded
        return held

    def _commit(self, work: _Work, turn: Turn, known: Collection[str]) -> None:
        """Commit the turn; if that goes wrong, the instances it touched are loaded anew next time.

        But not for a rule that was broken: then they are in the store as they were here.
        """
        name = work.hosted.context.name
        try:
            if work.draining is not None or not turn.is_empty:
                with work.hosted.unit_of_work() as uow:
                    uow.repository.save(turn.changes, turn.records, turn.unchanged, turn.senders)
                    uow.inbox.mark(turn.marks if work.draining is None else _through(turn.marks))
                    uow.outbox.add(turn.outgoing)
                    self._park(work, turn, known, uow.parking)
                    uow.audit(turn.actions)
                    self._pass(CrashPoint.TURN_BEFORE_COMMIT, name)
                    uow.commit()
                    self._pass(CrashPoint.TURN_AFTER_COMMIT, name)
        except ConstraintError:
            raise
        except Exception:
            self._residents.forget(name, turn.loaded)
            raise
        self._residents.keep(name, turn.current)
        self._passivate()
        self._tell_parked(name, turn)

    def _park(self, work: _Work, turn: Turn, known: Collection[str], parking: Parking) -> None:
        """What fails, what must wait, and what waits no longer, with the unit of work's commit."""
        now = self._clock()
        if work.draining is not None:
            parking.take_out(work.draining, [*known, *(mark.message_id for mark in turn.marks)])
        parking.bury([Failure(stored(failed.command), failed.reason, now) for failed in turn.failures])
        if work.draining is None:
            parking.add([stored(command) for command in turn.parked])

    def _tell_parked(self, name: str, turn: Turn) -> None:
        if turn.failures:
            self._met.setdefault(name, set()).update(failed.command.key for failed in turn.failures)
            self._telemetry(MessagesBuried(name, len(turn.failures)))
        for failed in turn.failures:
            _log_failure(failed)

    def _known(self, work: _Work, commands: Sequence[Envelope]) -> dict[str, Outcome]:
        """How those of *commands* ended that came before, under their ids; what is being worked off does not wait."""
        with work.hosted.unit_of_work() as uow:
            handled = uow.inbox.handled([command.message_id for command in commands])
        return {
            command.message_id: _answer(command, before)
            for command in commands
            if (before := handled.get(command.message_id))
            and not (work.draining is not None and before.outcome.verdict is Verdict.PARKED)
        }

    def _isolate(self, work: _Work, commands: Sequence[Envelope], error: Exception) -> _Ended:
        """Halve the batch until the command that something is wrong with is alone, then let the domain answer it."""
        if len(commands) > 1:
            middle = len(commands) // 2
            first = self._take(work, commands[:middle])
            return first.and_then(self._leave_out(work, commands[middle:], first.locked_keys(commands[:middle])))
        if done := self._done(work, commands):
            return _Ended(done, done)  # it went wrong after the commit
        constraint = error.constraint if isinstance(error, ConstraintError) else ""
        if work.refused or constraint not in work.hosted.context.refusals:
            return self._give_up(work, commands, error)
        return self._take(replace(work, refused={each.message_id: constraint for each in commands}), commands)

    def _done(self, work: _Work, commands: Sequence[Envelope]) -> dict[str, Outcome]:
        """As `_known`, for what may be wrong itself."""
        try:
            return self._known(work, commands)
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - what cannot even be asked about was never handled
            log.warning("inbox_not_asked", context=work.hosted.context.name, error=str(error))
            return {}

    def _give_up(self, work: _Work, commands: Sequence[Envelope], error: Exception) -> _Ended:
        """This one command cannot be handled, and the domain has no answer to that: it is a failure."""
        turn, reason = Turn({}), f"turn_raised_{type(error).__name__}"
        if isinstance(error, ConstraintError):
            reason = f"store_refused_{error.constraint}"
        for command in commands:
            turn.fail(command, reason, error)
        self._store_failures(work, turn)
        return _Ended(turn.outcomes, ())

    def _store_failures(self, work: _Work, turn: Turn) -> None:
        """Raises StorageUnavailableError, whatever the store has against it."""
        try:
            self._commit(work, turn, ())
        except StorageUnavailableError:
            raise
        except Exception as error:
            raise StorageUnavailableError(f"a command that failed cannot be parked: {error}") from error

    def _passivate(self) -> None:
        for context, count in self._residents.passivate().items():
            self._telemetry(InstancesMoved(context, 0, count, self._residents.count(context)))

    def _retried(self, hosted: HostedContext, reason: str, error: Exception) -> None:
        self._telemetry(TurnRetried(hosted.context.name, reason))
        log.debug("turn_retried", context=hosted.context.name, reason=reason, detail=str(error))

    def _tell(
        self,
        context: str,
        distinct: Sequence[Envelope],
        ended: _Ended,
        answers: Sequence[Outcome],
        started: float,
    ) -> None:
        """What was handled now, and of all *answers* how many repeated what was known, or refused an id.

        What somebody else's lock has held up comes again, and is told then.
        """
        settled = [answer for answer in answers if answer is not LOCKED]
        new = [
            command
            for command in distinct
            if command.message_id not in ended.known and ended.outcomes[command.message_id] is not LOCKED
        ]
        counts = Counter((command.name, ended.outcomes[command.message_id].verdict) for command in new)
        reused = sum(answer is ID_REUSED for answer in settled)
        lasted = timedelta(seconds=time.monotonic() - started)
        self._telemetry(TurnTaken(context, counts, len(settled) - len(new) - reused, lasted))
        if reused:
            self._telemetry(CommandsRefused(ID_REUSED.reason, reused))


def _distinct(commands: Sequence[Envelope]) -> tuple[list[Envelope], dict[int, Envelope]]:
    """The first of each message id, in order; and by place those that ask for something else under an id of these.

    What stands twice in a batch is handled once.
    """
    first: dict[str, Envelope] = {}
    others: dict[int, Envelope] = {}
    for place, command in enumerate(commands):
        known = first.setdefault(command.message_id, command)
        if known is not command and content_digest(known) != content_digest(command):
            others[place] = command
    return list(first.values()), others


def _answer(command: Envelope, before: Handled) -> Outcome:
    """What is said to a command whose id came before."""
    digest = content_digest(command)
    is_same = before.digest is None or digest is None or before.digest == digest
    return before.outcome if is_same else ID_REUSED


def _through(marks: Sequence[InboxMark]) -> list[InboxMark]:
    """Marks of commands that have waited for their key."""
    return [mark._replace(key=None) for mark in marks]


def _parted(commands: Sequence[Envelope], keys: Collection[str]) -> tuple[list[Envelope], list[Envelope]]:
    """Those of other keys, and those of *keys*; both in order."""
    mine = [command for command in commands if command.key in keys]
    return [command for command in commands if command.key not in keys], mine


def _suspects(turn: Turn, work: _Work) -> list[Envelope]:
    """Commands that may have been handled before, or whose key may wait already: that is looked up before they park."""
    if work.draining is not None:
        return []
    return [*(failed.command for failed in turn.failures), *turn.parked]


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
