"""The AggregateActor: hosts aggregate instances and takes turns, each one transaction (group commit).

Instances activate when a command for them comes and passivate when room is needed. What is resident is only a
cache: every write carries the version it was decided on (optimistic concurrency, the fencing of a stale writer), and
if the store refuses it the actor reloads. Commands come at least once; the inbox, written in the same transaction,
makes their effect idempotent.

The story of a turn is `_take`: load, decide, save with inbox and outbox, commit. What happens when the store refuses
it, or anything else goes wrong, is the retry policy in `attempts.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from spark_actors.actors import tuning
from spark_actors.actors.attempts import (
    Attempt,
    Ended,
    Next,
    after_refusal,
    distinct,
    failure_reason,
    isolation,
    keys_of,
    parted,
)
from spark_actors.actors.lookups import HostedContext, Lookups
from spark_actors.actors.residents import Residents
from spark_actors.actors.turn import MOVED, Turn, TurnRules, decide_turn
from spark_actors.actors.turn_reports import TurnReports
from spark_actors.kernel.decisions import PARKED, Outcome, Verdict
from spark_actors.kernel.errors import ConstraintError, StorageError, StorageUnavailableError
from spark_actors.kernel.ids import is_key
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.deaths import KILLED_ITS_PROCESS
from spark_actors.messaging.envelope import Envelope, Reply, pack, unpack_envelopes
from spark_actors.messaging.ports import Clock, Telemetry
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.telemetry import InstancesMoved, TurnStale
from spark_actors.messaging.unit_of_work import Failure, Unreadable

_HANDLED = (Verdict.DONE, Verdict.REJECTED)


class _Placed(NamedTuple):
    """A placement, and which of those that there have been it is."""

    placement: Placement
    version: int


class AggregateActor:
    """Handles the commands of its instances one at a time, in the order in which they are handed over.

    It is not safe for threads: one turn at a time. It calls nobody and waits for nothing but its store.
    """

    def __init__(
        self,
        contexts: Sequence[HostedContext],
        registry: MessageRegistry,
        *,
        slot: Slot,
        max_bytes: int = 64 * 2**20,
        max_attempts: int,
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._lookups = {hosted.context.name: Lookups(hosted) for hosted in contexts}
        self._registry = registry
        self._slot = slot
        self._placed: _Placed | None = None
        """What it goes by; None: it takes whatever it is handed."""
        self._told: _Placed | None = None
        """What it goes by from the next turn on."""
        self._residents = Residents(slot.capacity, max_bytes)
        self._max_attempts = max_attempts
        self._clock = clock
        self._telemetry = telemetry
        self._reports = TurnReports(telemetry)
        self._pass = pass_point

    def place(self, placement: Placement, version: int) -> None:
        """Go by *placement* from the next turn on: instances of other slots passivate. An older one changes nothing.

        The one call that another thread may make.
        """
        if self._told is None or version > self._told.version:
            self._told = _Placed(placement, version)

    def take_turn(self, context: str, payload: bytes, version: int) -> bytes:
        """Handle packed envelopes and give packed replies, in the same order, once they are committed.

        They were sent by this *version* of the placement. If the actor knows a newer one by which another slot has an
        instance, it does nothing for it and answers MOVED: hand these over by a newer one than *version*, before any
        others of the key. An actor that knows no newer one handles whatever comes; the store accepts one of two.
        A command whose handling raises is answered FAILED; it waits as a dead letter, and its key is parked. Those of a
        parked key are answered PARKED: they wait durably and are handled, in order, by `release`. Those of a key on
        which somebody else holds a lock are answered LOCKED: hand them over again later, before any others of the key.
        A command under an id that was used for something else is rejected as `id_reused`, and nothing is kept of it.
        Raises StorageUnavailableError if the store is away: nothing is known then, so hand the same batch over again.
        """
        return self._unless_moved(context, payload, version, self._handle)

    def bury(self, context: str, payload: bytes, version: int) -> bytes:
        """Have packed envelopes fail that kill their host, without looking into them; gives packed replies.

        Each waits as a dead letter and its key is parked, unless it was handled after all. Like `take_turn` otherwise.
        """
        return self._unless_moved(context, payload, version, self._bury)

    def _unless_moved(
        self,
        context: str,
        payload: bytes,
        version: int,
        handle: Callable[[str, Sequence[Envelope]], Iterable[Outcome]],
    ) -> bytes:
        """Packed replies: *handle* says how the commands end whose instances belong here, as far as is known."""
        commands, moved = unpack_envelopes(payload), frozenset[str]()
        self._let_go()
        if self._placed and version < self._placed.version:
            moved = frozenset(key for key in keys_of(commands) if not self._is_own(context, key))
        here, elsewhere = parted(commands, moved)
        if elsewhere:
            self._telemetry(TurnStale(context))
        coming = iter(handle(context, here) if here else ())
        outcomes = [MOVED if command.key in moved else next(coming) for command in commands]
        return pack([Reply.of(each.message_id, outcome) for each, outcome in zip(commands, outcomes, strict=True)])

    def _let_go(self) -> None:
        """Passivate what is no longer this slot's, if there is another placement since the last turn."""
        if self._placed is (told := self._told):
            return
        self._placed = told
        for context in self._lookups:
            lost = [key for key in self._residents.keys(context) if not self._is_own(context, key)]
            self._residents.forget(context, lost)
            if lost:
                self._telemetry(InstancesMoved(context, 0, len(lost), self._residents.count(context)))

    def _is_own(self, context: str, key: str) -> bool:
        """Whether the instance belongs to this slot by the placement that the actor knows."""
        return self._placed is None or self._placed.placement.slot_of(context, key).name == self._slot.name

    def _handle(self, context: str, commands: Sequence[Envelope]) -> Iterable[Outcome]:
        lookups, started = self._lookups[context], time.monotonic()
        first, others = distinct(commands)
        ended = self._take_all(lookups, first)
        answered = lookups.answers(others)
        outcomes = [answered.get(place) or ended.outcomes[each.message_id] for place, each in enumerate(commands)]
        self._reports.taken(context, first, ended, outcomes, started)
        return outcomes

    def _bury(self, context: str, commands: Sequence[Envelope]) -> Iterable[Outcome]:
        lookups, started = self._lookups[context], time.monotonic()
        known = lookups.known(commands)
        pending = [command for command in commands if command.message_id not in known]
        parked = set(lookups.parked(command.key for command in pending))
        turn = Turn({})
        for command in pending:
            if command.key in parked:
                turn.park(command)
            else:
                turn.fail(command, KILLED_ITS_PROCESS, None)
                parked.add(command.key)
        self._store_failures(lookups, turn)
        ended = Ended(known | turn.outcomes, set(known))
        self._reports.taken(context, commands, ended, list(ended.outcomes.values()), started)
        return [ended.outcomes[command.message_id] for command in commands]

    def release(self, context: str, keys: Sequence[str], at_once: int = tuning.RELEASED_AT_ONCE) -> list[str]:
        """Handle the first of what waits for these released keys, in order; gives those for which more waits.

        Of each key *at_once* are handled in one turn. If one fails again, its key is parked again. A key that is not
        released (any more) is left alone. Raises StorageUnavailableError: ask again.
        """
        return [key for key in keys if self._release_some(self._lookups[context].of_released(key), key, at_once)]

    def _release_some(self, lookups: Lookups, key: str, at_once: int) -> bool:
        """Handle the first of what waits for *key*; whether there may be more to do."""
        with lookups.hosted.unit_of_work() as uow:
            waiting = uow.parking.waiting(key, at_once)
        started, ended = time.monotonic(), Ended()
        self._take(lookups, waiting, ended)
        self._reports.taken(lookups.name, waiting, ended, list(ended.outcomes.values()), started)
        self._reports.released(lookups.name, waiting, ended.outcomes)
        return bool(waiting) and all(outcome.verdict in _HANDLED for outcome in ended.outcomes.values())

    def _take_all(self, lookups: Lookups, commands: Sequence[Envelope]) -> Ended:
        """As `_take`; what was held up before is tried apart, so that its neighbours do not wait for it once more."""
        ended = Ended()
        usual, apart = parted(commands, lookups.held_up)
        self._take(lookups, usual, ended)
        if apart:
            lookups.held_up.difference_update(keys_of(apart))
            self._hold_up(lookups, lookups.locked(apart), ended)
            self._take(lookups, apart, ended)
        return ended

    def _take(self, lookups: Lookups, commands: Sequence[Envelope], ended: Ended) -> None:
        """Commit *commands*, of which no two have the same id. What goes wrong with some of them is theirs alone.

        Raises StorageUnavailableError; what has *ended* by then is committed, and known when it comes again.
        """
        plan = [Attempt(commands)]
        while plan:
            attempt = ended.without_locked(plan.pop())
            try:
                decided, turn = self._decided(lookups, attempt)
                try:
                    self._commit(lookups, turn, decided.known)
                except StorageError as error:
                    plan += reversed(self._after_refusal(lookups, decided, turn, error, ended))
                else:
                    ended.add({**decided.known, **turn.outcomes}, decided.known)
            except Exception as error:  # noqa: BLE001 - what cannot be read or stored, a bug: find whose it is
                plan += reversed(self._isolated(lookups, attempt, error, ended))

    def _decided(self, lookups: Lookups, attempt: Attempt) -> tuple[Attempt, Turn]:
        """What is to be committed, and the attempt with what was looked up for it.

        What fails, and what must wait, may have been handled before: that is looked up, and it is decided anew.
        """
        if attempt.number == 0:
            known = lookups.known(attempt.commands) if lookups.released is not None else {}
            attempt = attempt._replace(known=known, parked=lookups.still_parked(attempt.commands))
        turn = self._decide(lookups, attempt)
        suspects = [*(failed.command for failed in turn.failures), *turn.parked]
        if suspects and lookups.released is None:
            known = {**attempt.known, **lookups.known(suspects)}
            attempt = attempt._replace(known=known, parked=attempt.parked | lookups.parked(keys_of(suspects)))
            turn = self._decide(lookups, attempt)
        return attempt, turn

    def _decide(self, lookups: Lookups, attempt: Attempt) -> Turn:
        """Load the instances that are not active, and have the domain decide what is pending."""
        name, commands = lookups.name, attempt.pending
        keys = [key for key in keys_of(commands) if key not in attempt.parked]
        held = self._residents.find(name, keys)
        missing = [key for key in keys if key not in held and is_key(key)]
        if missing:
            with lookups.hosted.unit_of_work() as uow:
                loaded = dict(uow.repository.load(missing))
            self._residents.keep(name, {key: it for key, it in loaded.items() if not isinstance(it.state, Unreadable)})
            self._telemetry(InstancesMoved(name, len(missing), 0, self._residents.count(name)))
            held |= loaded
        rules = TurnRules(lookups.hosted.context, self._registry)
        return decide_turn(rules, commands, held, self._clock(), attempt.refused, attempt.parked)

    def _commit(self, lookups: Lookups, turn: Turn, known: Collection[str]) -> None:
        """Commit the turn; if that goes wrong, the instances it touched are loaded anew next time.

        But not for a rule that was broken: then they are in the store as they were here.
        """
        name, released = lookups.name, lookups.released
        try:
            if released is not None or not turn.is_empty:
                now = self._clock()
                with lookups.hosted.unit_of_work() as uow:
                    uow.repository.save(turn.changes, turn.records, turn.unchanged, turn.senders)
                    uow.inbox.mark(turn.marks if released is None else turn.marks_of_waiting)
                    uow.outbox.add(turn.outgoing)
                    if released is not None:
                        uow.parking.take_out(released, [*known, *(mark.message_id for mark in turn.marks)])
                    uow.parking.bury([Failure(failed.command, failed.reason, now) for failed in turn.failures])
                    if released is None:
                        uow.parking.add(turn.parked)
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
        for context, count in self._residents.passivate().items():
            self._telemetry(InstancesMoved(context, 0, count, self._residents.count(context)))
        lookups.met.update(failed.command.key for failed in turn.failures)
        self._reports.failed(name, turn.failures)

    def _after_refusal(
        self, lookups: Lookups, attempt: Attempt, turn: Turn, error: StorageError, ended: Ended
    ) -> Sequence[Attempt]:
        """Do what the retry policy says of a commit that was refused, and give the attempts that follow, in order.

        Raises *error* for what is to be handed back, or isolated; StorageUnavailableError after the last attempt.
        """
        offenders = lookups.offenders(turn, attempt.refused) if isinstance(error, ConstraintError) else {}
        step = after_refusal(error, attempt, offenders, self._max_attempts, is_released=lookups.released is not None)
        if step in (Next.HAND_BACK, Next.ISOLATE):
            raise error
        self._reports.retried(lookups.name, error)
        pending = attempt.pending
        match step:
            case Next.ASK_INBOX:
                return [attempt.again(known=lookups.known(pending))]
            case Next.ASK_PARKING:
                return [attempt.again(parked=lookups.parked(attempt.parked))]
            case Next.ASK_BOTH:
                return [attempt.again(parked=lookups.parked(keys_of(pending)), known=lookups.known(pending))]
            case Next.REFUSE:
                return [attempt.again(refused=offenders)]
            case Next.STAY_PARKED:
                ended.add({**attempt.known, **{command.message_id: PARKED for command in pending}}, attempt.known)
                return []
            case Next.LEAVE_OUT:
                ended.add(attempt.known, attempt.known)
                return self._without_locked(lookups, Attempt(pending), ended)
            case _:  # out of attempts
                detail = f"turn of {len(attempt.commands)} commands gave up after {self._max_attempts} attempts"
                raise StorageUnavailableError(detail) from error

    def _without_locked(self, lookups: Lookups, attempt: Attempt, ended: Ended) -> Sequence[Attempt]:
        """Find out which keys of a turn others have locked, and take the rest.

        A lock that the store cannot name (of a row that comes to be just now, say) is found by halving the turn.
        """
        keys, locked = keys_of(attempt.commands), lookups.locked(attempt.commands)
        if not locked and len(keys) > 1:
            return attempt.halves_of_keys()
        self._hold_up(lookups, locked or keys, ended)
        return [attempt]

    def _hold_up(self, lookups: Lookups, locked: Iterable[str], ended: Ended) -> None:
        """These keys are left out of what is left of this turn, and tried apart in the next one."""
        ended.locked.update(locked)
        lookups.held_up.update(locked)

    def _isolated(self, lookups: Lookups, attempt: Attempt, error: Exception, ended: Ended) -> Sequence[Attempt]:
        """The attempts by which the command is found that something is wrong with; found, it ends. Raises *error*."""
        step = isolation(error, attempt, lookups.hosted.context.refusals)
        if step is Next.HAND_BACK:
            raise error
        self._reports.retried(lookups.name, error)
        if step is Next.HALVE:
            return attempt.halves()
        if done := lookups.done(attempt.commands):
            ended.add(done, done)  # it went wrong after the commit
        elif step is Next.REFUSE_ALONE and isinstance(error, ConstraintError):
            return [attempt.alone(error.constraint)]
        else:
            turn = Turn({})
            for command in attempt.commands:
                turn.fail(command, failure_reason(error), error)
            self._store_failures(lookups, turn)
            ended.add(turn.outcomes)
        return []

    def _store_failures(self, lookups: Lookups, turn: Turn) -> None:
        """Raises StorageUnavailableError, whatever the store has against it."""
        try:
            self._commit(lookups, turn, ())
        except StorageUnavailableError:
            raise
        except Exception as error:
            raise StorageUnavailableError(f"a command that failed cannot be parked: {error}") from error
