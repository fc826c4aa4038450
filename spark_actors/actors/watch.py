"""Looks after the tables of one schema: how much waits in them, what is overdue, what is past its retention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.loop import Loop
from spark_actors.messaging.ports import (
    Clock,
    DeadLetters,
    DurableTasks,
    Maintenance,
    MissedSummary,
    OutboxReader,
    ParkedSummary,
    SagaLog,
    TasksSummary,
    Telemetry,
)
from spark_actors.messaging.telemetry import (
    DeadLettersMeasured,
    KeysParkedMeasured,
    MissedMeasured,
    OutboxMeasured,
    SagasMeasured,
    TasksMeasured,
)

log = structlog.get_logger(__name__)


def housekeeping_loop(context: str, maintenance: Maintenance, clock: Clock) -> Loop:
    """Makes the partitions that are needed soon and drops what is past its retention, now and then."""

    async def keep_house() -> float:
        await maintenance.run(clock())
        return tuning.HOUSEKEEPING_SECONDS

    return Loop(f"housekeeping {context}", keep_house)


class Watch:
    """Looks at a context's backlog, sagas and dead letters, and keeps its tables in order."""

    def __init__(
        self,
        context: str,
        *,
        outbox: OutboxReader | None,
        saga_log: SagaLog | None,
        tasks: DurableTasks | None = None,
        dead_letters: DeadLetters,
        maintenance: Maintenance,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._context = context
        self._outbox = outbox
        self._saga_log = saga_log
        self._tasks = tasks
        self._dead_letters = dead_letters
        self._clock = clock
        self._telemetry = telemetry
        self.loops = [Loop(f"watch {context}", self.measure), housekeeping_loop(context, maintenance, clock)]

    def start(self) -> None:
        for loop in self.loops:
            loop.start()

    async def stop(self) -> None:
        for loop in self.loops:
            await loop.stop()

    async def measure(self) -> float:
        """Tell how far the relay is behind, and raise the alarm for sagas past their deadline."""
        if self._outbox is not None:
            backlog = await self._outbox.backlog()
            self._telemetry(OutboxMeasured(self._context, backlog.pending, backlog.oldest_age))
            self._telemetry(_missed(self._context, await self._outbox.missed.summary()))
            self._telemetry(_parked(self._context, await self._outbox.parking.summary()))
        if self._saga_log is not None:
            for saga in await self._saga_log.mark_overdue(self._clock(), tuning.OVERDUE_AT_ONCE):
                log.error(
                    "saga_overdue",
                    kind=saga.kind,
                    saga_id=saga.saga_id,
                    step=saga.step,
                    deadline_at=saga.deadline_at.isoformat(),
                    correlation_id=saga.correlation_id,
                )
            self._telemetry(SagasMeasured(await self._saga_log.running()))
        if self._tasks is not None:
            self._telemetry(_tasks(await self._tasks.summary()))
        self._telemetry(DeadLettersMeasured(self._context, await self._dead_letters.count()))
        return tuning.MEASURE_SECONDS


def _tasks(summary: Sequence[TasksSummary]) -> TasksMeasured:
    by_state: dict[tuple[str, str], int] = {}
    for each in summary:
        by_state |= {
            (each.name, "waiting"): each.waiting - each.failing,
            (each.name, "failing"): each.failing,
            (each.name, "scheduled"): each.scheduled,
        }
    return TasksMeasured(by_state, {each.name: each.oldest_age for each in summary})


def _missed(context: str, summary: Mapping[str, MissedSummary]) -> MissedMeasured:
    return MissedMeasured(
        context,
        {subscriber: missed.events for subscriber, missed in summary.items()},
        {subscriber: missed.oldest_age for subscriber, missed in summary.items()},
    )


def _parked(context: str, summary: Sequence[ParkedSummary]) -> KeysParkedMeasured:
    return KeysParkedMeasured(
        context,
        {(group.subscriber, group.state, group.cause): group.keys for group in summary},
        {(group.subscriber, group.state, group.cause): group.oldest_age for group in summary},
    )
