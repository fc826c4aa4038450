"""The Ingress: pulls commands, refuses what is not understood, routes the rest, and acknowledges after commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from domain.dashboard.views import Views
from domain.shared.decisions import Verdict
from domain.shared.errors import StorageUnavailableError
from domain.shared.ids import derived_id
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.loop import Loop
from spark_actors.actors.watch import Watch
from spark_actors.ingress.port import Arrival, Broker, BrokerUnavailableError
from spark_actors.messaging.door import Door, RefusedError, outcome_body, refusal_body
from spark_actors.messaging.envelope import Envelope, Reply
from spark_actors.messaging.ports import Clock, DeadLetter, DeadLetters, Telemetry
from spark_actors.messaging.telemetry import CommandsRefused, IngressMeasured, MessagesBuried

log = structlog.get_logger(__name__)

PULL_WAIT = timedelta(seconds=1)
MEASURE_SECONDS = 2.0
PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.01
"""After a batch that was not full the next may take so long to grow, for each command in it: nothing waits at rest."""

BEHIND_PAUSE_SECONDS = 0.5
"""Before each batch while the relays are behind: commands then wait in the broker, and not as events in Postgres."""
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
    """Events that may wait in an outbox before the ingress slows down; it never stops for them."""


class Queries:
    """Answers queries from the read models, never from the write side."""

    def __init__(self, door: Door, views: Views) -> None:
        self._door = door
        self._views = views

    async def answer(self, subject: str, body: bytes) -> bytes:
        """The view as JSON, or `{"error": {"code", "detail"}}`. Never raises for what a caller sent."""
        try:
            result = await self._views.answer(self._door.query(subject, body))
        except RefusedError as error:
            return _error_body(error.code, error.detail)
        except StorageUnavailableError as error:
            log.warning("view_unavailable", subject=subject, error=str(error))
            return _error_body("unavailable", "the read models cannot be reached just now; ask again")
        except Exception:  # a bug in a view must not leave its caller waiting
            log.exception("view_failed", subject=subject)
            return _error_body("failed", "the view could not be made; the daemon's log says why")
        if result is None:
            return _error_body("not_found", f"{subject}: there is no such thing (yet: views lag behind a little)")
        return msgspec.json.encode(result)


class Ingress:
    """Brings commands from the broker to the AggregateActors. Nothing is acknowledged before it is durable.

    Commands are posted in the order in which the broker delivers them; each batch then ends on its own.
    """

    def __init__(
        self,
        broker: Broker,
        door: Door,
        dispatcher: Dispatcher,
        dead_letters: DeadLetters,
        watch: Watch,
        queries: Queries,
        *,
        limits: IngressLimits,
        relay_backlog: Callable[[], Awaitable[int]],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._broker = broker
        self._door = door
        self._dispatcher = dispatcher
        self._dead_letters = dead_letters
        self._watch = watch
        self._queries = queries
        self._limits = limits
        self._clock = clock
        self._telemetry = telemetry
        self._relay_backlog = relay_backlog
        self._is_behind = False
        """Whether the relays have too much before them."""
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

    def problems(self) -> list[str]:
        """Why it cannot do its work just now."""
        problems = [loop.problem for loop in (self._puller, self._meter, *self._watch.loops) if loop.problem]
        return problems if self._open or problems else ["not connected to the broker yet"]

    async def pull(self) -> float:
        """Take in what the broker has, as far as there is room; a batch that ends makes room and wakes this loop."""
        if self._is_behind:
            await asyncio.sleep(BEHIND_PAUSE_SECONDS)
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
            await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, len(arrivals) * PAUSE_SECONDS))
        return 0

    async def measure(self) -> float:
        """Tell how far the ingress is behind the broker, and see whether the relays keep up."""
        if self._open:
            try:
                lag = await self._broker.lag()
            except BrokerUnavailableError:
                self._open = False
                raise
            self._telemetry(IngressMeasured(lag.waiting, lag.in_flight))
        backlog = await self._relay_backlog()
        was_behind, self._is_behind = self._is_behind, backlog > self._limits.relay_backlog
        if self._is_behind != was_behind:
            log.warning("relays_behind" if self._is_behind else "relays_caught_up", events=backlog)
        return MEASURE_SECONDS

    async def _connect(self) -> None:
        await self._broker.open()
        await self._broker.answer_queries(self._queries.answer)
        self._open = True
        log.info("broker_connected")

    def _begin(self, arrivals: Sequence[Arrival]) -> None:
        """Post what is understood, at once and in order; the rest of the batch's life is a task of its own."""
        if not arrivals:
            return
        good: list[tuple[Arrival, Envelope]] = []
        refused: list[tuple[Arrival, RefusedError]] = []
        for arrival in arrivals:
            try:
                good.append((arrival, self._admitted(arrival)))
            except RefusedError as error:
                refused.append((arrival, error))
        replies = self._dispatcher.post([envelope for _, envelope in good])
        task = asyncio.create_task(self._finish(good, replies, refused))
        self._batches.add(task)
        self._in_flight += len(arrivals)
        task.add_done_callback(lambda _: self._ended(task, arrivals))

    def _admitted(self, arrival: Arrival) -> Envelope:
        """Raises RefusedError."""
        if arrival.oversize:
            limit = self._door.max_body_bytes
            raise RefusedError("oversized", f"body of {arrival.oversize}: expected at most {limit} bytes")
        return self._door.command(arrival.subject, arrival.body, self._clock())

    def _ended(self, task: asyncio.Task[None], arrivals: Sequence[Arrival]) -> None:
        self._batches.discard(task)
        self._in_flight -= len(arrivals)
        self._puller.wake()
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._broker.release(arrivals)
        log.warning("batch_not_acknowledged", size=len(arrivals), error=f"{type(error).__name__}: {error}")

    async def _finish(
        self,
        good: Sequence[tuple[Arrival, Envelope]],
        replies: asyncio.Future[list[Reply]],
        refused: Sequence[tuple[Arrival, RefusedError]],
    ) -> None:
        """Make everything durable, then answer, then acknowledge."""
        answers = [(arrival.reply_to, refusal_body(error)) for arrival, error in refused]
        letters = [self._refused_letter(arrival, error) for arrival, error in refused]
        for (arrival, envelope), reply in zip(good, await replies, strict=True):
            answers.append((arrival.reply_to, outcome_body(reply)))
            if reply.verdict is Verdict.FAILED:
                letters.append(self._failed_letter(envelope, reply))
        await self._bury(letters)
        for _, error in refused:
            self._telemetry(CommandsRefused(error.code))
        await self._broker.reply([(subject, body) for subject, body in answers if subject])
        await self._broker.acknowledge([arrival for arrival, _ in [*refused, *good]])

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(StorageUnavailableError),
            wait=wait_exponential_jitter(multiplier=0.05, max=2.0),
        )
        await retrying(self._dead_letters.bury, letters)
        self._telemetry(MessagesBuried("ingress", len(letters)))
        refused = [letter for letter in letters if letter.subscriber == REFUSED]
        for letter in [*(each for each in letters if each.subscriber != REFUSED), *refused[:LOGGED_REFUSALS]]:
            log.warning(
                "command_buried",
                message=letter.name[:LOGGED_CHARACTERS],
                message_id=letter.message_id,
                reason=letter.reason,
                correlation_id=letter.correlation_id,
            )
        if len(refused) > LOGGED_REFUSALS:
            log.warning("more_commands_refused", count=len(refused) - LOGGED_REFUSALS)

    def _refused_letter(self, arrival: Arrival, error: RefusedError) -> DeadLetter:
        digest = sha256(arrival.body).hexdigest()
        whole = arrival.oversize or f"{len(arrival.body)} bytes, SHA-256 {digest}"
        note = f" [the first {KEPT_BYTES} bytes are kept of {whole}]" if len(arrival.body) > KEPT_BYTES else ""
        return DeadLetter(
            message_id=error.message_id or derived_id(arrival.subject, digest, arrival.oversize),
            name=arrival.subject,
            key="",
            subscriber=REFUSED,
            reason=str(error)[: REASON_CHARACTERS - len(note)] + note,
            attempts=1,
            body=arrival.body[:KEPT_BYTES],
            correlation_id="",
            causation_id="",
            died_at=self._clock(),
        )

    def _failed_letter(self, envelope: Envelope, reply: Reply) -> DeadLetter:
        return DeadLetter(
            message_id=envelope.message_id,
            name=envelope.name,
            key=envelope.key,
            subscriber=envelope.context,
            reason=reply.reason,
            attempts=1,
            body=envelope.data,
            correlation_id=envelope.correlation_id,
            causation_id=envelope.causation_id,
            died_at=self._clock(),
        )


def _error_body(code: str, detail: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "detail": detail}})
