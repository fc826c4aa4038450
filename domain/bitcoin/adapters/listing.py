"""Lists what the Lightning node is to be asked because of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from domain.bitcoin.ports import LightningTask, LightningTasks
from spark_actors.actors.context import Refusals
from spark_actors.kernel.messages import Event
from spark_actors.messaging.ports import Clock, Received


class TaskFor(Protocol):
    """Tells what the Lightning node is to be asked because of an event; None if nothing."""

    def __call__(
        self, event: Event, *, message_id: str, correlation_id: str, now: datetime
    ) -> LightningTask | None: ...


class TaskListing:
    """Lists what the Lightning node is to be asked, durably, and wakes the worker that asks it."""

    def __init__(self, task_for: TaskFor, tasks: LightningTasks, clock: Clock, wake: Callable[[], None]) -> None:
        self._task_for = task_for
        self._tasks = tasks
        self._clock = clock
        self._wake = wake

    async def take(self, received: Sequence[Received]) -> Refusals:
        now = self._clock()
        listed = [
            task
            for item in received
            if (
                task := self._task_for(
                    item.event,
                    message_id=item.envelope.message_id,
                    correlation_id=item.envelope.correlation_id,
                    now=now,
                )
            )
        ]
        if listed:
            await self._tasks.add(listed)
            self._wake()
        return {}
