"""What a context has to do outside or later, in memory, for tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from spark_actors.messaging.ports import FARTHEST, Clock, ListedTask, TasksSummary


class MemoryDurableTasks:
    """Port `DurableTasks`. *clock* is the database's."""

    def __init__(self, clock: Clock) -> None:
        self.tasks: dict[str, ListedTask] = {}
        self._clock = clock

    async def add(self, tasks: Sequence[ListedTask]) -> None:
        for task in tasks:
            self.tasks.setdefault(task.envelope.message_id, task)

    async def due(self, name: str, now: datetime, limit: int) -> Sequence[ListedTask]:
        due = [
            task
            for task in self.tasks.values()
            if task.envelope.name == name
            and (task.due_at <= now or (not task.is_scheduled and task.due_at > now + FARTHEST))
        ]
        return sorted(due, key=lambda task: task.due_at)[:limit]

    async def put_off(self, tasks: Sequence[ListedTask]) -> None:
        for task in tasks:
            if known := self.tasks.get(task.envelope.message_id):
                self.tasks[task.envelope.message_id] = replace(
                    known, due_at=task.due_at, attempts=task.attempts, problem=task.problem, is_scheduled=False
                )

    async def remove(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            self.tasks.pop(task_id, None)

    async def summary(self) -> Sequence[TasksSummary]:
        now = self._clock()
        by_name: defaultdict[str, list[ListedTask]] = defaultdict(list)
        for task in self.tasks.values():
            by_name[task.envelope.name].append(task)
        return [_summary(name, by_name[name], now) for name in sorted(by_name)]


def _summary(name: str, tasks: Sequence[ListedTask], now: datetime) -> TasksSummary:
    ages = [now - task.envelope.occurred_at for task in tasks]
    return TasksSummary(
        name,
        waiting=sum(age >= timedelta() for age in ages),
        scheduled=sum(age < timedelta() for age in ages),
        failing=sum(task.problem != "" for task in tasks),
        oldest_age=max(timedelta(), *ages),
    )
