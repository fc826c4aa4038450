"""The Ingress: pulls commands, refuses what is not understood or allowed, routes the rest, acknowledges after commit.

What cannot be understood becomes a dead letter if a service or an operator sent it. The rest is answered, counted
and logged at a bounded rate, but not kept: nobody could do anything with it, and strangers must not fill the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from spark_actors.actors.dispatcher import Answered, Dispatcher
from spark_actors.actors.loop import Loop, time_to_grow
from spark_actors.actors.watch import Watch
from spark_actors.ingress.port import Arrival, Broker, BrokerUnavailableError
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.ids import derived_id
from spark_actors.messaging.answers import AnswerBody, Cut, error_body, outcome_answer, view_answer
from spark_actors.messaging.bursts import BurstLog
from spark_actors.messaging.cloudevents import whole_event
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.door import Admitted, Door, RefusedError, outcome_body, refusal_body
from spark_actors.messaging.envelope import Envelope, Reply
from spark_actors.messaging.identity import FORBIDDEN, WHY_REQUIRED, Guard, Principal
from spark_actors.messaging.ports import KEPT_IN_PART, Answers, Clock, DeadLetter, DeadLetters, Telemetry
from spark_actors.messaging.scrubbing import Scrubber, is_secret_name
from spark_actors.messaging.telemetry import (
    AnswerCut,
    ClocksCompared,
    CommandsRefused,
    IngressMeasured,
    MessagesBuried,
)

log = structlog.get_logger(__name__)

PULL_WAIT = timedelta(seconds=1)
GROWTH_SECONDS = 0.025
"""How long the next batch may take to gather under load."""
MEASURE_SECONDS = 2.0

LEAST_SKEW_SECONDS = 1.0
"""Of two clocks that is worth a line in the log."""
LONGEST_PAUSE_SECONDS = 0.5
"""Before each batch while the relays are far behind: commands wait in the broker then, not as events in Postgres."""
INTERNAL = "internal"
"""Why a message was refused that met a bug."""
REFUSED = "ingress"
"""Who could not take what was refused at the door."""
KEPT_BYTES = 16_384
"""Of the body of a refused message so much is kept: a flood of big ones must not fill the disk."""
REASON_CHARACTERS = 1_000
LOGGED_CHARACTERS = 200
LOGGED_REFUSALS = 3
"""Of each batch: who sends rubbish must not push everything else out of the log."""


@dataclass(frozen=True)
class IngressLimits:
    """How much an ingress takes in hand."""

    in_flight: int
    """Commands pulled and not acknowledged yet."""
    batch: int
    """Commands pulled at once."""
    relay_backlog: int
    """Events that may wait in an outbox before the ingress slows down (see `pause_for_relays`)."""
    leeway_seconds: float
    """By how much the clocks of those who make and check tokens may differ: half of it is worth a line in the log."""


class _Taken(NamedTuple):
    """A command on its way: its envelope has an id of its own for each sender, the answer the sender's."""

    arrival: Arrival
    message_id: str
    envelope: Envelope


class _Refused(NamedTuple):
    arrival: Arrival
    error: RefusedError
    is_kept: bool


class CutAnswers:
    """Counts answers that the broker would not take in one piece, and logs them at a bounded rate."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.log = BurstLog("answers_cut", log.warning)

    def seen(self, answer: AnswerBody, subject: str, room: int) -> bytes:
        """The body of *answer*, to what came on *subject*."""
        if answer.cut is not Cut.NOTHING:
            self._telemetry(AnswerCut(answer.cut))
            self.log.note(answer.cut, subject=subject[:LOGGED_CHARACTERS], room_bytes=room)
        return answer.body


class Queries:
    """Answers queries, each by whom the application names for it."""

    def __init__(
        self,
        door: Door,
        guard: Guard,
        answers: Answers,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._door = door
        self._guard = guard
        self._answers = answers
        self.cut_answers = CutAnswers(telemetry)
        self._unavailable = BurstLog("views_unavailable", log.warning)
        self._failed = BurstLog("views_failed", log.error)
        self._clock = clock

    @property
    def logs(self) -> tuple[BurstLog, ...]:
        """Whoever owns this has to settle and close them."""
        return self._unavailable, self._failed, self.cut_answers.log

    async def answer(self, subject: str, body: bytes, authorization: str, room: int) -> bytes:
        """The view as JSON of at most *room* bytes, or `{"error": {"code", "detail"}}`.

        Never raises for what a caller sent.
        """
        try:
            result = await self._result(subject, body, authorization)
            if result is not None:
                return self.cut_answers.seen(view_answer(result, room), subject, room)
        except RefusedError as error:
            return error_body(error)
        except StorageUnavailableError as error:
            self._unavailable.note("away", subject=subject, error=str(error))
            detail = "the read models cannot be reached just now; ask again"
            return error_body(RefusedError("unavailable", detail))
        except Exception as error:  # noqa: BLE001 - a bug in a view must not leave its caller waiting
            self._failed.note(type(error).__name__, subject=subject, exc_info=error)
            return error_body(RefusedError("failed", "the view could not be made; the daemon's log says why"))
        detail = f"{subject}: there is no such thing (yet: views lag behind a little)"
        return error_body(RefusedError("not_found", detail))

    async def _result(self, subject: str, body: bytes, authorization: str) -> object | None:
        """What the sender may know; None if there is no such thing, or it is somebody else's."""
        sender = self._guard.sender(subject, authorization, self._clock().timestamp())
        query = self._door.query(subject, body)
        self._guard.query(sender, query)
        result = await self._answers[type(query)](query)
        return result if result is not None and self._guard.may_see(sender, query, result) else None


class Ingress:
    """Brings commands from the broker to the AggregateActors. Nothing is acknowledged before it is durable.

    Commands are posted in the order in which the broker delivers them; each batch then ends on its own.
    """

    def __init__(
        self,
        broker: Broker,
        door: Door,
        guard: Guard,
        dispatcher: Dispatcher,
        dead_letters: DeadLetters,
        watch: Watch,
        queries: Queries,
        *,
        limits: IngressLimits,
        scrubber: Scrubber,
        relay_backlog: Callable[[], Awaitable[int]],
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._broker = broker
        self._door = door
        self._guard = guard
        self._dispatcher = dispatcher
        self._dead_letters = dead_letters
        self._watch = watch
        self._queries = queries
        self._limits = limits
        self._scrubber = scrubber
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = BurstLog("senders_refused", log.warning)
        self._failures = BurstLog("arrivals_failed", log.error)
        self._clocks_differ = False
        """Whether ours and the broker's are, or lately were, too far apart."""
        self._pass = pass_point
        self._relay_backlog = relay_backlog
        self._pause_seconds = 0.0
        self._is_behind = False
        """Whether the relays have, or lately had, too much before them."""
        self._open = False
        self._in_flight = 0
        self._batches: set[asyncio.Task[None]] = set()
        self._puller = Loop("pull commands", self.pull)
        self._meter = Loop("measure ingress", self.measure)

    async def start(self) -> None:
        self._puller.start()
        self._meter.start()
        self._watch.start()

    async def stop(self) -> None:
        """Pull no more, let the batches in hand be committed and acknowledged, then leave the broker."""
        await self._puller.stop()
        await self._meter.stop()
        await self._watch.stop()
        if self._batches:
            await asyncio.wait(self._batches)
        await self._dispatcher.close()
        await self._broker.close()
        for bursts in self._logs:
            bursts.close()

    @property
    def _logs(self) -> tuple[BurstLog, ...]:
        return self._refusals, self._failures, *self._queries.logs

    def problems(self) -> list[str]:
        """Why it cannot do its work just now."""
        problems = [loop.problem for loop in (self._puller, self._meter, *self._watch.loops) if loop.problem]
        return problems if self._open or problems else ["not connected to the broker yet"]

    async def pull(self) -> float:
        """Take in what the broker has, as far as there is room; a batch that ends makes room and wakes this loop."""
        if self._pause_seconds:
            await asyncio.sleep(self._pause_seconds)
        room = self._limits.in_flight - self._in_flight
        if room <= 0:
            return PULL_WAIT.total_seconds()
        try:
            if not self._open:
                await self._connect()
            limit = min(room, self._limits.batch)
            arrivals = await self._broker.pull(limit, PULL_WAIT)
        except BrokerUnavailableError:
            self._open = False
            raise
        try:
            self._begin(arrivals)
        except Exception:
            self._broker.release(arrivals)
            raise
        if len(arrivals) < limit:
            await asyncio.sleep(time_to_grow(len(arrivals), GROWTH_SECONDS))
        return 0

    async def measure(self) -> float:
        """Tell how far the ingress is behind the broker, and see whether clocks agree and the relays keep up."""
        for bursts in self._logs:
            bursts.settle()
        if self._open:
            try:
                lag = await self._broker.lag()
            except BrokerUnavailableError:
                self._open = False
                raise
            self._telemetry(IngressMeasured(lag.waiting, lag.in_flight))
            self._see_clocks(lag.clock_ahead)
        self._see_relays(await self._relay_backlog())
        return MEASURE_SECONDS

    def _see_relays(self, events: int) -> None:
        allowed = self._limits.relay_backlog
        self._pause_seconds = pause_for_relays(events, allowed)
        was_behind, self._is_behind = self._is_behind, events > (allowed / 2 if self._is_behind else allowed)
        if self._is_behind != was_behind:
            log.warning("relays_behind" if self._is_behind else "relays_caught_up", events=events)

    def _see_clocks(self, broker_ahead: float) -> None:
        """A token is made by our clock and held against the broker's: the log says once that these drift apart."""
        self._telemetry(ClocksCompared(abs(broker_ahead)))
        worth_telling = max(LEAST_SKEW_SECONDS, self._limits.leeway_seconds / 2)
        were_apart, apart = self._clocks_differ, abs(broker_ahead)
        self._clocks_differ = apart > (worth_telling / 2 if were_apart else worth_telling)
        if self._clocks_differ != were_apart:
            log.warning(
                "clocks_differ" if self._clocks_differ else "clocks_agree",
                broker_ahead_seconds=round(broker_ahead, 1),
                leeway_seconds=self._limits.leeway_seconds,
            )

    async def _connect(self) -> None:
        await self._broker.open()
        await self._broker.answer_queries(self._queries.answer)
        self._open = True
        log.info("broker_connected")

    def _begin(self, arrivals: Sequence[Arrival]) -> None:
        """Post what is understood, at once and in order; the rest of the batch's life is a task of its own."""
        if not arrivals:
            return
        good: list[_Taken] = []
        refused: list[_Refused] = []
        now = self._clock()
        for arrival in arrivals:
            self._sort(arrival, now, good, refused)
        answers = self._dispatcher.post([taken.envelope for taken in good])
        left = list(arrivals)
        task = asyncio.create_task(self._finish(good, answers, refused, left))
        self._batches.add(task)
        self._in_flight += len(arrivals)
        task.add_done_callback(lambda _: self._ended(task, left))

    def _sort(self, arrival: Arrival, now: datetime, good: list[_Taken], refused: list[_Refused]) -> None:
        """Into what goes on and what does not. Whatever goes wrong here is of this arrival alone."""
        sender: Principal | None = None
        try:
            sender = self._guard.sender(arrival.subject, arrival.authorization, arrival.stored_at)
            admitted = self._admitted(arrival, now)
            good.append(_Taken(arrival, admitted.envelope.message_id, self._guard.command(sender, admitted)))
        except RefusedError as error:
            is_kept = sender is not None and sender.is_trusted and error.code not in (FORBIDDEN, WHY_REQUIRED)
            refused.append(_Refused(arrival, error, is_kept))
        except Exception as error:  # noqa: BLE001 - a bug; the message is kept whoever sent it, since it may be good
            refused.append(_Refused(arrival, self._internal(error, arrival), True))

    def _internal(self, error: Exception, arrival: Arrival) -> RefusedError:
        """A bug that this arrival has met: the log tells all, its sender only what kind it is."""
        kind = type(error).__name__
        self._failures.note(kind, subject=arrival.subject[:LOGGED_CHARACTERS], exc_info=error)
        return RefusedError(INTERNAL, f"{kind}; the daemon's log says more")

    def _admitted(self, arrival: Arrival, now: datetime) -> Admitted:
        """Raises RefusedError."""
        if arrival.oversize:
            limit = self._door.max_body_bytes
            raise RefusedError("oversized", f"body of {arrival.oversize}: expected at most {limit} bytes")
        return self._door.command(arrival.subject, arrival.body, now, arrival.headers)

    def _ended(self, task: asyncio.Task[None], left: Sequence[Arrival]) -> None:
        self._batches.discard(task)
        self._in_flight -= len(left)
        self._puller.wake()
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._broker.release(left)
        log.warning("batch_not_acknowledged", size=len(left), error=f"{type(error).__name__}: {error}")

    async def _finish(
        self,
        good: Sequence[_Taken],
        answers: asyncio.Future[list[Answered]],
        refused: Sequence[_Refused],
        left: list[Arrival],
    ) -> None:
        """Conclude a batch; what is for locked keys follows, each when it is done. *left* is what is not concluded."""
        done: list[tuple[_Taken, Reply]] = []
        late: list[tuple[_Taken, asyncio.Future[Reply]]] = []
        for taken, answer in zip(good, await answers, strict=True):
            if isinstance(answer, Reply):
                done.append((taken, answer))
            else:
                late.append((taken, answer))
        await self._conclude(done, refused)
        if late:
            self._in_flight -= len(left) - len(late)
            left[:] = [taken.arrival for taken, _ in late]
            self._puller.wake()
            async with asyncio.TaskGroup() as group:
                for taken, reply in late:
                    group.create_task(self._conclude_late(taken, reply, left))

    async def _conclude_late(self, taken: _Taken, reply: asyncio.Future[Reply], left: list[Arrival]) -> None:
        await self._conclude([(taken, await reply)], ())
        left.remove(taken.arrival)
        self._in_flight -= 1
        self._puller.wake()

    async def _conclude(self, done: Sequence[tuple[_Taken, Reply]], refused: Sequence[_Refused]) -> None:
        """Make everything durable, then answer, then acknowledge."""
        answers = [(each.arrival, refusal_body(each.error)) for each in refused if each.arrival.reply_to]
        letters = [self._refused_letter(each.arrival, each.error) for each in refused if each.is_kept]
        for taken, reply in done:
            if taken.arrival.reply_to:
                answers.append((taken.arrival, outcome_body(reply, taken.message_id)))
        await self._bury(letters)
        self._tell(refused)
        self._pass(CrashPoint.INGRESS_BEFORE_REPLY, "")
        await self._broker.reply(self._fitting(answers))
        self._pass(CrashPoint.INGRESS_AFTER_REPLY, "")
        good = [taken for taken, _ in done]
        await self._erase_passwords(good, refused)
        await self._broker.acknowledge([*(each.arrival for each in refused), *(each.arrival for each in good)])

    def _fitting(self, answers: Sequence[tuple[Arrival, bytes]]) -> list[tuple[str, bytes]]:
        """Where answers go, with as much of each as the broker takes."""
        room, cut = self._broker.answer_bytes(), self._queries.cut_answers
        bodies = [cut.seen(outcome_answer(body, room), arrival.subject, room) for arrival, body in answers]
        return [(arrival.reply_to, body) for (arrival, _), body in zip(answers, bodies, strict=True) if body]

    async def _erase_passwords(self, good: Sequence[_Taken], refused: Sequence[_Refused]) -> None:
        """What somebody has sent by mistake shall not stay on the broker's disk either."""
        suspects = [each.arrival for each in refused] + [
            each.arrival for each in good if self._scrubber.is_about_passwords(each.arrival.subject)
        ]
        if found := [each for each in suspects if self._may_hold_password(each)]:
            await self._broker.erase(found)

    def _may_hold_password(self, arrival: Arrival) -> bool:
        """Also when nobody can tell, because of a bug."""
        try:
            if any(map(is_secret_name, arrival.headers)):
                return True
            return self._scrubber.may_hold_password(arrival.subject, whole_event(arrival.body, arrival.headers))
        except Exception as error:  # noqa: BLE001 - its neighbours are to be acknowledged
            self._internal(error, arrival)
            return True

    def _tell(self, refused: Sequence[_Refused]) -> None:
        """Count the refused; those that are kept are logged with their letters."""
        for each in refused:
            self._telemetry(CommandsRefused(each.error.code))
            if not each.is_kept:
                subject = each.arrival.subject[:LOGGED_CHARACTERS]
                self._refusals.note(each.error.code, last=each.error.detail, subject=subject)

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(StorageUnavailableError),
            wait=wait_exponential_jitter(multiplier=0.05, max=2.0),
        )
        await retrying(self._dead_letters.bury, letters)
        self._telemetry(MessagesBuried("ingress", len(letters)))
        for letter in letters[:LOGGED_REFUSALS]:
            log.warning(
                "command_buried",
                message=letter.name[:LOGGED_CHARACTERS],
                message_id=letter.message_id,
                reason=letter.reason,
                correlation_id=letter.correlation_id,
            )
        if len(letters) > LOGGED_REFUSALS:
            log.warning("more_commands_refused", count=len(letters) - LOGGED_REFUSALS)

    def _storable(self, arrival: Arrival) -> bytes:
        """What may be kept of it: nothing if nobody can tell, because of a bug."""
        try:
            return self._scrubber.storable(arrival.subject, whole_event(arrival.body, arrival.headers))
        except Exception as error:  # noqa: BLE001 - its neighbours are to be acknowledged
            self._internal(error, arrival)
            return b""

    def _refused_letter(self, arrival: Arrival, error: RefusedError) -> DeadLetter:
        body = self._storable(arrival)
        digest = sha256(body).hexdigest()
        whole = arrival.oversize or f"{len(arrival.body)} bytes, SHA-256 {digest}"
        is_cut = arrival.oversize or len(body) > KEPT_BYTES
        note = f" [the first {len(body[:KEPT_BYTES])}{KEPT_IN_PART}{whole}]" if is_cut else ""
        identity = (f"{arrival.stored_at}", digest, arrival.oversize)  # the same when it is delivered again
        return DeadLetter(
            message_id=error.message_id or derived_id(arrival.subject, *identity),
            name=arrival.subject,
            key="",
            subscriber=REFUSED,
            reason=str(error)[: REASON_CHARACTERS - len(note)] + note,
            attempts=1,
            body=body[:KEPT_BYTES],
            correlation_id="",
            causation_id="",
            died_at=self._clock(),
        )


def pause_for_relays(events: int, allowed: int) -> float:
    """Seconds to wait before each batch while *events* wait: none up to *allowed*, the longest from twice as many on.

    In between they grow with the square, so that the ingress finds the pace of the relays and does not swing between
    all it can and next to nothing: commands in hand would wait long each time.
    """
    excess = min(1.0, max(0.0, events / allowed - 1.0))
    return LONGEST_PAUSE_SECONDS * excess**2
