"""The Ingress: pulls commands, has them checked, routes them, answers and acknowledges (ack) after commit.

What is not acknowledged is delivered again, after the broker's time-out: commands come at least once.

What is refused goes another way (`refused.py`), as do queries (`queries.py`); how fast it goes says `pace.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.admission import Admission, Taken
from spark_actors.actors.dispatcher import Answered, Dispatcher
from spark_actors.actors.loop import Loop, time_to_grow
from spark_actors.actors.pace import Pace
from spark_actors.actors.queries import Queries
from spark_actors.actors.refused import Refused
from spark_actors.actors.watch import Watch
from spark_actors.ingress.port import Arrival, Broker, BrokerUnavailableError
from spark_actors.messaging.answers import outcome_answer
from spark_actors.messaging.bursts import BurstLog
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.door import outcome_body, refusal_body
from spark_actors.messaging.envelope import Reply

log = structlog.get_logger(__name__)


class Ingress:
    """Brings commands from the broker to the AggregateActors. Nothing is acknowledged before it is durable.

    Commands are posted in the order in which the broker delivers them; each batch then ends on its own.
    """

    def __init__(
        self,
        broker: Broker,
        admission: Admission,
        dispatcher: Dispatcher,
        queries: Queries,
        pace: Pace,
        watch: Watch,
        *,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._broker = broker
        self._admission = admission
        self._refused = admission.refused
        self._dispatcher = dispatcher
        self._queries = queries
        self._pace = pace
        self._watch = watch
        self._pass = pass_point
        self._open = False
        self._in_flight = 0
        self._batches: set[asyncio.Task[None]] = set()
        self._puller = Loop("pull commands", self.pull)
        self._meter = Loop("measure ingress", self.measure)

    async def start(self) -> None:
        self._broker.answer_queries(self._queries.answer)
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
        return *self._refused.logs, *self._queries.logs

    def problems(self) -> list[str]:
        """Why it cannot do its work just now."""
        problems = [loop.problem for loop in (self._puller, self._meter, *self._watch.loops) if loop.problem]
        return problems if self._open or problems else ["not connected to the broker yet"]

    async def pull(self) -> float:
        """Take in what the broker has, as far as there is room; a batch that ends makes room and wakes this loop."""
        if self._pace.pause_seconds:
            await asyncio.sleep(self._pace.pause_seconds)
        limit = self._pace.room(self._in_flight)
        if limit <= 0:
            return tuning.PULL_WAIT_SECONDS
        try:
            if not self._open:
                await self._connect()
            arrivals = await self._broker.pull(limit, timedelta(seconds=tuning.PULL_WAIT_SECONDS))
        except BrokerUnavailableError:
            self._open = False
            raise
        try:
            self._begin(arrivals)
        except Exception:
            self._broker.release(arrivals)
            raise
        if len(arrivals) < limit:
            await asyncio.sleep(time_to_grow(len(arrivals), tuning.INGRESS_GROWTH_SECONDS))
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
            self._pace.see_broker(lag)
        await self._pace.see_relays()
        return tuning.MEASURE_SECONDS

    async def _connect(self) -> None:
        await self._broker.open()
        self._open = True
        log.info("broker_connected")

    def _begin(self, arrivals: Sequence[Arrival]) -> None:
        """Post what is understood, at once and in order; the rest of the batch's life is a task of its own."""
        if not arrivals:
            return
        good, refused = self._admission.sort(arrivals)
        answers = self._dispatcher.post([taken.envelope for taken in good])
        left = list(arrivals)
        task = asyncio.create_task(self._finish(good, answers, refused, left))
        self._batches.add(task)
        self._in_flight += len(arrivals)
        task.add_done_callback(lambda _: self._ended(task, left))

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
        good: Sequence[Taken],
        answers: asyncio.Future[list[Answered]],
        refused: Sequence[Refused],
        left: list[Arrival],
    ) -> None:
        """Conclude a batch; what is for locked keys follows, each when it is done. *left* is what is not concluded."""
        done: list[tuple[Taken, Reply]] = []
        late: list[tuple[Taken, asyncio.Future[Reply]]] = []
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

    async def _conclude_late(self, taken: Taken, reply: asyncio.Future[Reply], left: list[Arrival]) -> None:
        await self._conclude([(taken, await reply)], ())
        left.remove(taken.arrival)
        self._in_flight -= 1
        self._puller.wake()

    async def _conclude(self, done: Sequence[tuple[Taken, Reply]], refused: Sequence[Refused]) -> None:
        """Make everything durable, then answer, then acknowledge."""
        answers = [(each.arrival, refusal_body(each.error)) for each in refused if each.arrival.reply_to]
        for taken, reply in done:
            if taken.arrival.reply_to:
                answers.append((taken.arrival, outcome_body(reply, taken.message_id)))
        await self._refused.keep(refused)
        self._pass(CrashPoint.INGRESS_BEFORE_REPLY, "")
        await self._broker.reply(self._fitting(answers))
        self._pass(CrashPoint.INGRESS_AFTER_REPLY, "")
        good = [taken.arrival for taken, _ in done]
        if to_erase := self._refused.to_erase(refused, good):
            await self._broker.erase(to_erase)
        await self._broker.acknowledge([*(each.arrival for each in refused), *good])

    def _fitting(self, answers: Sequence[tuple[Arrival, bytes]]) -> list[tuple[str, bytes]]:
        """Where answers go, with as much of each as the broker takes."""
        room, cut = self._broker.answer_bytes(), self._queries.cut_answers
        bodies = [cut.seen(outcome_answer(body, room), arrival.subject, room) for arrival, body in answers]
        return [(arrival.reply_to, body) for (arrival, _), body in zip(answers, bodies, strict=True) if body]
