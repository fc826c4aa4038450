"""Durable tasks in a ContextActor: lists what is to be done because of events, and has it done.

At least once: a task is listed before its event counts as taken, and forgotten only after the commands that follow are
durable. In between it is tried again, with a back-off, for as long as there is no final answer; it is never given up,
because *unknown* is not *failed*.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.context import Refusals
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.kernel.tasks import NotYet, Task, Workers
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import Envelope, decode_data, encode_data
from spark_actors.messaging.ports import Clock, CommandSender, DurableTasks, ListedTask, Received, Telemetry
from spark_actors.messaging.telemetry import TasksTried

_UNDONE = (Verdict.FAILED, Verdict.LOCKED)
"""What came of the task is told again then."""

log = structlog.get_logger(__name__)


class TaskListing:
    """Lists what is to be done because of events, durably, and wakes the one who does it."""

    def __init__(self, context: BoundedContext, tasks: DurableTasks, clock: Clock, wake: Callable[[], None]) -> None:
        self._context, self._tasks, self._clock, self._wake = context, tasks, clock, wake

    async def take(self, received: Sequence[Received]) -> Refusals:
        listed = [
            self._listed(item.envelope, task, index)
            for item in received
            if (to_do := self._context.tasks.get(type(item.event)))
            for index, task in enumerate(to_do(item.event))
        ]
        if listed:
            await self._tasks.add(listed)
            self._wake()
        return {}

    def _listed(self, cause: Envelope, task: Task, index: int) -> ListedTask:
        since = task.not_before or self._clock()
        envelope = Envelope(
            message_id=f"{cause.message_id}/{index}",
            name=task.TYPE.name,
            version=task.TYPE.version,
            key=task.key,
            data=encode_data(task),
            correlation_id=cause.correlation_id,
            causation_id=cause.message_id,
            occurred_at=since,
        )
        return ListedTask(envelope, since, is_scheduled=task.not_before is not None)


@dataclass(frozen=True)
class _Tried:
    """What came of one attempt."""

    task: ListedTask
    commands: Sequence[Command] | None
    """None: there is no final answer."""
    problem: str = ""


class TaskWorker:
    """Has tasks done that are due. Every step may be done twice, also by two workers at once."""

    def __init__(
        self,
        tasks: DurableTasks,
        workers: Workers,
        registry: MessageRegistry,
        sender: CommandSender,
        *,
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint = pass_unharmed,
    ) -> None:
        self._tasks = tasks
        self._workers = workers
        self._registry = registry
        self._sender = sender
        self._clock = clock
        self._telemetry = telemetry
        self._pass = pass_point
        self._back_off = BackOff(
            workers.interval.total_seconds(), tuning.TASK_LONGEST_SECONDS, factor=tuning.TASK_BACK_OFF_FACTOR
        )

    async def step(self) -> float:
        """One round over the tasks that are due; gives the seconds to wait before the next.

        A slow task holds the round up: its worker sets its own time-outs. Raises StorageUnavailableError.
        """
        due = await self._tasks.due(self._clock(), tuning.TASKS_A_ROUND)
        gate = asyncio.Semaphore(self._workers.at_once)
        tried = await asyncio.gather(*(self._try(task, gate) for task in due))
        await self._put_off([each for each in tried if each.commands is None])
        await self._send([each for each in tried if each.commands is not None])
        return 0.0 if len(due) == tuning.TASKS_A_ROUND else self._workers.interval.total_seconds()

    async def _try(self, task: ListedTask, gate: asyncio.Semaphore) -> _Tried:
        name = task.envelope.name
        async with gate:
            self._pass(CrashPoint.TASK_BEFORE_ASK, name)
            try:
                content = decode_data(self._registry, task.envelope)
                answer = await self._workers.by_task[type(content)](content)  # type: ignore[index]  # what was listed
            except Exception as error:  # a bug concerns this task alone; it is tried again, ever more slowly
                log.exception("task_failed", task=name, key=task.envelope.key, **_story(task))
                self._telemetry(TasksTried(name, "failed"))
                return _Tried(task, None, f"raised {type(error).__name__}")
            self._pass(CrashPoint.TASK_AFTER_ASK, name)
        if isinstance(answer, NotYet):
            self._telemetry(TasksTried(name, "not_yet"))
            if answer.why:
                log.info("task_not_done", task=name, key=task.envelope.key, why=answer.why, **_story(task))
            return _Tried(task, None, answer.why)
        return _Tried(task, answer)

    async def _send(self, done: Sequence[_Tried]) -> None:
        """Have what follows made durable; a task leaves the list only after that."""
        if not done:
            return
        sent = [
            (each.task, self._addressed(each.task, command, index))
            for each in done
            for index, command in enumerate(each.commands or ())
        ]
        replies = await self._sender.send([envelope for _, envelope in sent])
        for name in {each.task.envelope.name for each in done}:
            self._pass(CrashPoint.TASK_AFTER_RECORD, name)
        undone: dict[str, str] = {}
        for (task, command), reply in zip(sent, replies, strict=True):
            if reply.verdict in _UNDONE:
                undone[task.envelope.message_id] = f"{command.name} was {reply.verdict}"
            elif reply.verdict is Verdict.REJECTED:  # what was found outside and the books disagree: nobody asks again
                log.warning("task_answer_refused", answer=command.name, reason=reply.reason, **_story(task))
        settled = [each for each in done if each.task.envelope.message_id not in undone]
        if settled:
            await self._tasks.remove([each.task.envelope.message_id for each in settled])
        for name, count in Counter(each.task.envelope.name for each in settled).items():
            self._telemetry(TasksTried(name, "done", count))
        await self._put_off(
            [
                replace(each, problem=undone[each.task.envelope.message_id])
                for each in done
                if each.task.envelope.message_id in undone
            ]
        )

    async def _put_off(self, tried: Sequence[_Tried]) -> None:
        if tried:
            now = self._clock()
            await self._tasks.put_off(
                [
                    replace(
                        each.task,
                        due_at=now + timedelta(seconds=self._back_off.seconds_after(each.task.attempts + 1)),
                        attempts=each.task.attempts + 1,
                        problem=each.problem,
                        is_scheduled=False,
                    )
                    for each in tried
                ]
            )

    def _addressed(self, task: ListedTask, command: Command, index: int) -> Envelope:
        """*command* under an id that repeats when the same answer comes again, so that the inbox drops it."""
        return Envelope(
            message_id=derived_id(task.envelope.message_id, command.TYPE.name, index),
            name=command.TYPE.name,
            version=command.TYPE.version,
            key=command.key,
            data=encode_data(command),
            correlation_id=task.envelope.correlation_id,
            causation_id=task.envelope.causation_id,
            occurred_at=self._clock(),
        )


def _story(task: ListedTask) -> dict[str, str]:
    return {"correlation_id": task.envelope.correlation_id}
