"""Durable tasks in a ContextActor: lists what is to be done because of events, and has it done.

At least once: a task is listed before its event counts as taken, and forgotten only after the commands and tasks that
follow are durable. In between it is tried again, with a back-off, for as long as there is no final answer; it is never
given up, because *unknown* is not *failed*. Each kind of task has a pace of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.context import Refusals
from spark_actors.actors.loop import Loop
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.kernel.tasks import AT_ONCE, NotYet, Task, Worker, Workers
from spark_actors.messaging.crash_points import CrashPoint, PassPoint, pass_unharmed
from spark_actors.messaging.envelope import Envelope, decode_data, encode_data
from spark_actors.messaging.ports import Clock, CommandSender, DurableTasks, ListedTask, Received, Telemetry
from spark_actors.messaging.telemetry import TasksTried

_UNDONE = (Verdict.FAILED, Verdict.LOCKED)
"""What came of the task is told again then."""

Wake = Callable[[str], None]
"""Tells who does the tasks of this name that some are listed."""

log = structlog.get_logger(__name__)


class TaskListing:
    """Lists what is to be done because of events, durably, and wakes those who do it."""

    def __init__(self, context: BoundedContext, tasks: DurableTasks, clock: Clock, wake: Wake) -> None:
        self._context, self._tasks, self._clock, self._wake = context, tasks, clock, wake

    async def take(self, received: Sequence[Received]) -> Refusals:
        listed = [
            _listed(task, f"{cause.message_id}/{index}", cause.correlation_id, cause.message_id, self._clock())
            for item in received
            for cause in [item.envelope]
            if (to_do := self._context.tasks.get(type(item.event)))
            for index, task in enumerate(to_do(item.event))
        ]
        if listed:
            await self._tasks.add(listed)
            for name in {each.envelope.name for each in listed}:
                self._wake(name)
        return {}


def _listed(task: Task, task_id: str, correlation_id: str, causation_id: str, now: datetime) -> ListedTask:
    """*task* as it is listed under this id, at once or for the time that it names."""
    since = task.not_before or now
    envelope = Envelope(
        message_id=task_id,
        name=task.TYPE.name,
        version=task.TYPE.version,
        key=task.key,
        data=encode_data(task),
        correlation_id=correlation_id,
        causation_id=causation_id,
        occurred_at=since,
    )
    return ListedTask(envelope, since, is_scheduled=task.not_before is not None)


@dataclass(frozen=True)
class _Tried:
    """What came of one attempt."""

    task: ListedTask
    follows: Sequence[Command | Task] | None
    """None: there is no final answer."""
    problem: str = ""


class TaskWorkers:
    """Those who do the tasks of one context, each kind in rounds of its own."""

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
        self._tasks, self._telemetry = tasks, telemetry
        self.by_name: Mapping[str, TaskWorker] = {
            kind.TYPE.name: TaskWorker(
                kind,
                workers,
                tasks,
                registry,
                sender,
                clock=clock,
                telemetry=telemetry,
                pass_point=pass_point,
                wake=self.wake,
            )
            for kind in workers.by_task
        }
        self.loops = [*(each.loop for each in self.by_name.values()), Loop("tasks of unknown kinds", self.tell_unknown)]

    def wake(self, name: str) -> None:
        if known := self.by_name.get(name):
            known.loop.wake()

    async def tell_unknown(self) -> float:
        """Tell of tasks that nobody here does: another release has listed them. Raises StorageUnavailableError."""
        for each in await self._tasks.summary():
            if each.waiting and each.name not in self.by_name:
                log.error("task_unknown", task=each.name, waiting=each.waiting)
                self._telemetry(TasksTried(each.name, "failed", each.waiting))
        return tuning.TASKS_UNKNOWN_SECONDS


class TaskWorker:
    """Has the tasks of one kind done that are due. Every step may be done twice, also by two workers at once."""

    def __init__(
        self,
        kind: type[Task],
        workers: Workers,
        tasks: DurableTasks,
        registry: MessageRegistry,
        sender: CommandSender,
        *,
        clock: Clock,
        telemetry: Telemetry,
        pass_point: PassPoint,
        wake: Wake,
    ) -> None:
        self._name = kind.TYPE.name
        self._does: Worker = workers.by_task[kind]
        self._interval = workers.interval.total_seconds()
        self._gate = asyncio.Semaphore(workers.at_once.get(kind, AT_ONCE))
        self._tasks = tasks
        self._registry = registry
        self._sender = sender
        self._clock = clock
        self._telemetry = telemetry
        self._pass = pass_point
        self._wake = wake
        self._back_off = BackOff(self._interval, tuning.TASK_LONGEST_SECONDS, factor=tuning.TASK_BACK_OFF_FACTOR)
        self._in_hand: dict[str, asyncio.Task[_Tried]] = {}
        self.loop = Loop(f"tasks {self._name}", self.step)

    async def step(self) -> float:
        """One round: takes up what is due, settles what has come to an end; gives the seconds to wait before the next.

        What takes longer than others stays in hand, and wakes the loop when it ends. Raises StorageUnavailableError.
        """
        taken, is_more = await self._take_up()
        if taken:
            _, slow = await asyncio.wait(taken, timeout=tuning.TASKS_GATHER_SECONDS)
            for each in slow:
                each.add_done_callback(lambda _: self.loop.wake())
        tried = self._ended()
        await self._put_off([each for each in tried if each.follows is None])
        await self._send([each for each in tried if each.follows is not None])
        return 0.0 if is_more and tried else self._interval

    async def _take_up(self) -> tuple[list[asyncio.Task[_Tried]], bool]:
        """Begin what is due and not in hand, as far as there is room; and whether there may be more."""
        room = tuning.TASKS_A_ROUND - len(self._in_hand)
        if room <= 0:
            return [], True
        due = await self._tasks.due(self._name, self._clock(), tuning.TASKS_A_ROUND)
        new = [each for each in due if each.envelope.message_id not in self._in_hand][:room]
        begun = {each.envelope.message_id: asyncio.ensure_future(self._try(each)) for each in new}
        self._in_hand |= begun
        return list(begun.values()), len(due) == tuning.TASKS_A_ROUND

    def _ended(self) -> list[_Tried]:
        """What has come to an end, in the order in which it was begun; it is in hand no more."""
        ended = [task_id for task_id, running in self._in_hand.items() if running.done()]
        return [self._in_hand.pop(task_id).result() for task_id in ended]

    async def _try(self, task: ListedTask) -> _Tried:
        name = task.envelope.name
        async with self._gate:
            self._pass(CrashPoint.TASK_BEFORE_ASK, name)
            try:
                answer = await self._does(decode_data(self._registry, task.envelope))
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
            for index, command in enumerate(each.follows or ())
            if isinstance(command, Command)
        ]
        replies = await self._sender.send([envelope for _, envelope in sent]) if sent else []
        self._pass(CrashPoint.TASK_AFTER_RECORD, self._name)
        undone: dict[str, str] = {}
        for (task, command), reply in zip(sent, replies, strict=True):
            if reply.verdict in _UNDONE:
                undone[task.envelope.message_id] = f"{command.name} was {reply.verdict}"
            elif reply.verdict is Verdict.REJECTED:  # what was found outside and the books disagree: nobody asks again
                log.warning("task_answer_refused", answer=command.name, reason=reply.reason, **_story(task))
        settled = [each for each in done if each.task.envelope.message_id not in undone]
        if settled:
            await self._list_next(settled)
            await self._tasks.remove([each.task.envelope.message_id for each in settled])
            self._telemetry(TasksTried(self._name, "done", len(settled)))
        await self._put_off(
            [
                replace(each, problem=undone[each.task.envelope.message_id])
                for each in done
                if each.task.envelope.message_id in undone
            ]
        )

    async def _list_next(self, settled: Sequence[_Tried]) -> None:
        """List the tasks that follow, under ids that repeat when the same answer comes again."""
        following = [
            self._next(each.task, task, index)
            for each in settled
            for index, task in enumerate(each.follows or ())
            if isinstance(task, Task)
        ]
        if following:
            await self._tasks.add(following)
            for name in {each.envelope.name for each in following}:
                self._wake(name)

    def _next(self, done: ListedTask, task: Task, index: int) -> ListedTask:
        before = done.envelope
        task_id = f"{_first_id(done)} {derived_id(before.message_id, task.TYPE.name, index)}"
        return _listed(task, task_id, before.correlation_id, before.causation_id, self._clock())

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
        """*command* under an id that repeats when the same answer comes again, so that the inbox drops it.

        Also when it comes from another of the tasks that have followed from one.
        """
        return Envelope(
            message_id=derived_id(_first_id(task), command.TYPE.name, index),
            name=command.TYPE.name,
            version=command.TYPE.version,
            key=command.key,
            data=encode_data(command),
            correlation_id=task.envelope.correlation_id,
            causation_id=task.envelope.causation_id,
            occurred_at=self._clock(),
        )


def _first_id(task: ListedTask) -> str:
    """Of the task that stands at the beginning of those of which each has followed from the one before."""
    return task.envelope.message_id.partition(" ")[0]  # no id of a message has a space in it


def _story(task: ListedTask) -> dict[str, str]:
    return {"correlation_id": task.envelope.correlation_id}
