"""The list of what to ask the Lightning node in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain.bitcoin.ports import FARTHEST, LightningTask, LightningTaskKind


class MemoryLightningTasks:
    """Port `LightningTasks`."""

    def __init__(self) -> None:
        self.tasks: dict[tuple[str, LightningTaskKind], LightningTask] = {}

    async def add(self, tasks: Sequence[LightningTask]) -> None:
        for task in tasks:
            self.tasks.setdefault((task.invoice_id, task.kind), task)

    async def due(self, now: datetime, limit: int) -> Sequence[LightningTask]:
        due = [task for task in self.tasks.values() if not now < task.due_at <= now + FARTHEST]
        return sorted(due, key=lambda task: task.due_at)[:limit]

    async def reschedule(self, tasks: Sequence[LightningTask]) -> None:
        for task in tasks:
            name = (task.invoice_id, task.kind)
            if name in self.tasks:
                self.tasks[name] = replace(self.tasks[name], due_at=task.due_at, attempts=task.attempts)

    async def remove(self, tasks: Sequence[LightningTask]) -> None:
        for task in tasks:
            self.tasks.pop((task.invoice_id, task.kind), None)
