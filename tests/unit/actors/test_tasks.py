"""Durable tasks: listed with the event, done at least once and not before their time, never given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from spark_actors.actors.tasks import TaskListing, TaskWorkers
from spark_actors.actors.tuning import TASK_LONGEST_SECONDS, TASKS_A_ROUND
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command, Event, MessageRegistry, command, event, task
from spark_actors.kernel.tasks import NotYet, Task, Workers
from spark_actors.messaging.envelope import Envelope, Reply, encode_data
from spark_actors.messaging.ports import FARTHEST, ListedTask, Received
from spark_actors.messaging.telemetry import TasksTried, TelemetryEvent
from spark_actors.persistence.memory_tasks import MemoryDurableTasks
from tests.fixtures.tasks import SINCE, listed

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@command("parcels.note-delivery", key="parcel_id")
@dataclass(frozen=True)
class NoteDelivery(Command):
    parcel_id: str


@command("parcels.note-loss", key="parcel_id")
@dataclass(frozen=True)
class NoteLoss(Command):
    parcel_id: str


@task("parcels.trace", key="parcel_id")
@dataclass(frozen=True)
class Trace(Task):
    parcel_id: str
    at: datetime | None = None

    @property
    def not_before(self) -> datetime | None:
        return self.at


@event("parcels.sent", key="parcel_id")
@dataclass(frozen=True)
class Sent(Event):
    parcel_id: str
    due_at: datetime | None = None


@task("parcels.deliver", key="parcel_id")
@dataclass(frozen=True)
class Deliver(Task):
    parcel_id: str
    at: datetime | None = None

    @property
    def not_before(self) -> datetime | None:
        return self.at


def deliver_twice(sent: Sent) -> Sequence[Deliver]:
    return [Deliver(sent.parcel_id), Deliver(sent.parcel_id, sent.due_at)]


CONTEXT = BoundedContext("parcels", (Sent, NoteDelivery, NoteLoss, Deliver, Trace), tasks={Sent: deliver_twice})
REGISTRY = MessageRegistry(CONTEXT.messages)
Answer = Sequence[Command | Task] | NotYet
Does = Callable[[Any], Awaitable[Answer]]


async def delivers(parcel: Deliver | Trace) -> Answer:
    return [NoteDelivery(parcel.parcel_id)]


def answering(*answers: Answer | Exception) -> Does:
    """A worker with these answers, one after the other."""
    left = list(answers)

    async def does(parcel: Deliver) -> Answer:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return does


class Scene:
    """A worker with its surroundings. Commands are answered with *verdict*."""

    def __init__(self, does: Does, *tasks: ListedTask, traces: Does = delivers, at_once: int = 16) -> None:
        self.now = SINCE
        self.tasks = MemoryDurableTasks(lambda: self.now)
        self.tasks.tasks = {each.envelope.message_id: each for each in tasks}
        self.verdict = Verdict.DONE
        self.sent: list[Envelope] = []
        self.listed_when_sent: list[int] = []
        self.told: list[TelemetryEvent] = []
        self.workers = TaskWorkers(
            self.tasks,
            Workers({Deliver: does, Trace: traces}, at_once={Deliver: at_once}),
            REGISTRY,
            self,
            clock=lambda: self.now,
            telemetry=self.told.append,
        )

    async def send(self, commands: Sequence[Envelope]) -> Sequence[Reply]:
        self.sent += commands
        self.listed_when_sent.append(len(self.rows))
        return [Reply(each.message_id, self.verdict) for each in commands]

    @property
    def rows(self) -> list[ListedTask]:
        return list(self.tasks.tasks.values())

    async def round(self) -> float:
        return await self.workers.by_name["parcels.deliver"].step()

    def step(self) -> float:
        """A round over the parcels to deliver."""
        return asyncio.run(self.round())

    def pass_the_pause(self) -> None:
        self.now = max(row.due_at for row in self.rows)


def a_task(task_id: str = "one", *, due_at: datetime = SINCE) -> ListedTask:
    return listed(Deliver(f"parcel {task_id}"), task_id, due_at=due_at)


def heard(sent: Sent, message_id: str = "event-1") -> Received:
    envelope = Envelope(message_id, "parcels.sent", 1, sent.parcel_id, encode_data(sent), "story", "cause", SINCE)
    return Received(envelope, sent)


def test_tasks_are_listed_with_the_story_and_the_time_of_their_event_and_the_worker_is_woken() -> None:
    tasks, woken = MemoryDurableTasks(lambda: NOON), list[str]()
    listing = TaskListing(CONTEXT, tasks, lambda: NOON, woken.append)
    in_a_year = NOON + timedelta(days=365)
    for _ in range(2):  # an event may come twice
        assert asyncio.run(listing.take([heard(Sent("p", in_a_year))])) == {}
    now, later = tasks.tasks.values()
    assert (now.due_at, now.is_scheduled, later.due_at, later.is_scheduled) == (NOON, False, in_a_year, True)
    for number, each in enumerate((now, later)):
        told = each.envelope
        assert (told.message_id, told.correlation_id, told.causation_id) == (f"event-1/{number}", "story", "event-1")
        assert (told.name, told.version, told.key) == ("parcels.deliver", 1, "p")
    assert woken == ["parcels.deliver"] * 2


def test_a_task_that_is_done_is_forgotten_only_after_what_follows_is_durable() -> None:
    scene = Scene(delivers, a_task())
    scene.step()
    assert scene.listed_when_sent == [1]
    assert not scene.rows
    [sent] = scene.sent
    assert (sent.name, sent.key, sent.correlation_id, sent.causation_id) == (
        "parcels.note-delivery",
        "parcel one",
        "story",
        "event-1",
    )


def test_a_task_may_be_done_without_a_word_or_with_several() -> None:
    both = [NoteDelivery("p"), NoteLoss("p")]
    scene = Scene(answering([], both), a_task("silent"), a_task("told", due_at=SINCE + timedelta(seconds=1)))
    scene.step()
    assert [row.envelope.message_id for row in scene.rows] == ["told"]
    scene.pass_the_pause()
    scene.step()
    assert [sent.name for sent in scene.sent] == ["parcels.note-delivery", "parcels.note-loss"]
    assert len({sent.message_id for sent in scene.sent}) == 2
    assert not scene.rows


def test_a_task_is_not_done_before_the_time_that_it_names() -> None:
    scene = Scene(delivers, listed(Deliver("p", NOON)))
    scene.now = NOON - timedelta(seconds=1)
    scene.step()
    assert not scene.sent
    scene.now = NOON
    scene.step()
    assert len(scene.sent) == 1


def test_without_a_final_answer_a_task_is_tried_again_ever_more_slowly_and_never_given_up() -> None:
    scene = Scene(answering(*[NotYet()] * 200, [NoteDelivery("p")]), a_task())
    pauses = []
    for _ in range(200):
        before = scene.now
        scene.step()
        scene.pass_the_pause()
        pauses.append(scene.now - before)
    assert pauses[0] == Workers({}).interval
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(seconds=TASK_LONGEST_SECONDS)
    assert scene.rows[0].attempts == 200
    scene.step()
    assert not scene.rows


def test_nothing_is_put_off_for_as_long_as_only_a_wrong_clock_would() -> None:
    assert timedelta(seconds=TASK_LONGEST_SECONDS) < FARTHEST


def test_what_was_wrong_stands_with_the_task_until_it_is_tried_again() -> None:
    scene = Scene(answering(NotYet("nobody at home"), ValueError("a bug"), NotYet()), a_task())
    problems = []
    for _ in range(3):
        scene.step()
        problems.append(scene.rows[0].problem)
        scene.pass_the_pause()
    assert problems == ["nobody at home", "raised ValueError", ""]
    assert [(each.result, each.count) for each in scene.told if isinstance(each, TasksTried)] == [
        ("not_yet", 1),
        ("failed", 1),
        ("not_yet", 1),
    ]


def test_what_nobody_can_read_is_told_and_stays() -> None:
    told = a_task("two").envelope
    unread = replace(a_task("two"), envelope=Envelope("x", told.name, 1, "k", b"{}", "", "", SINCE))
    scene = Scene(delivers, unread, a_task())
    with capture_logs() as logs:
        scene.step()
    assert [row.problem for row in scene.rows] == ["raised ValidationError"]
    assert [line["event"] for line in logs] == ["task_failed"]
    assert len(scene.sent) == 1


def test_what_nobody_here_does_is_told_and_stays() -> None:
    unknown = replace(a_task("x"), envelope=Envelope("x", "parcels.x", 1, "k", b"{}", "", "", SINCE))
    scene = Scene(delivers, unknown, a_task())
    with capture_logs() as logs:
        asyncio.run(scene.workers.tell_unknown())
    assert [(line["event"], line["task"], line["waiting"]) for line in logs] == [("task_unknown", "parcels.x", 1)]
    assert len(scene.rows) == 2


def test_a_task_may_be_followed_by_others_that_are_listed_before_it_is_forgotten() -> None:
    scene = Scene(answering([NoteLoss("p"), Trace("p", NOON)], NotYet()), a_task())
    listed_at_remove: list[int] = []
    remove = scene.tasks.remove

    async def watched(task_ids: Sequence[str]) -> None:
        listed_at_remove.append(len(scene.rows))
        await remove(task_ids)

    scene.tasks.remove = watched  # type: ignore[method-assign]
    scene.step()
    [trace] = scene.rows
    assert listed_at_remove == [2]
    assert (trace.envelope.name, trace.due_at, trace.is_scheduled) == ("parcels.trace", NOON, True)
    assert (trace.envelope.correlation_id, trace.envelope.causation_id) == ("story", "event-1")


def test_what_is_told_by_a_task_and_again_by_one_that_follows_from_it_is_told_under_one_id() -> None:
    scene = Scene(answering([NoteLoss("p"), Trace("p")]), a_task(), traces=answering([Trace("p")], [NoteLoss("p")]))
    scene.step()
    trace = scene.workers.by_name["parcels.trace"]
    for _ in range(2):
        asyncio.run(trace.step())
    assert [sent.name for sent in scene.sent] == ["parcels.note-loss"] * 2
    assert len({sent.message_id for sent in scene.sent}) == 1
    assert not scene.rows


def test_what_follows_is_listed_once_if_the_same_answer_comes_again() -> None:
    again = Scene(answering([Trace("p")], [Trace("p")]), a_task())
    again.step()
    asyncio.run(again.tasks.add([a_task()]))  # as if it had not been removed
    again.step()
    assert len(again.rows) == 1


def test_a_task_whose_worker_raises_leaves_its_neighbours_untouched() -> None:
    scene = Scene(answering(ValueError("a bug"), [NoteDelivery("p")]), a_task("a"), a_task("b"))
    scene.step()
    assert [row.envelope.message_id for row in scene.rows] == ["a"]
    assert len(scene.sent) == 1


def test_what_could_not_be_handled_is_sent_again_under_the_same_id() -> None:
    for verdict in (Verdict.FAILED, Verdict.LOCKED):
        scene = Scene(delivers, a_task())
        scene.verdict = verdict
        scene.step()
        assert [row.problem for row in scene.rows] == [f"parcels.note-delivery was {verdict}"]
        scene.pass_the_pause()
        scene.verdict = Verdict.DONE
        scene.step()
        assert len({sent.message_id for sent in scene.sent}) == 1
        assert not scene.rows


def test_what_the_aggregate_refuses_is_told_in_the_log_and_ends_the_task() -> None:
    scene = Scene(delivers, a_task())
    scene.verdict = Verdict.REJECTED
    with capture_logs() as logs:
        scene.step()
    assert [(line["event"], line["answer"]) for line in logs] == [("task_answer_refused", "parcels.note-delivery")]
    assert not scene.rows


def test_no_more_tasks_are_done_at_once_than_allowed() -> None:
    running, most = 0, 0

    async def counted(parcel: Deliver) -> Sequence[Command] | NotYet:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return []

    scene = Scene(counted, *(a_task(f"{number}") for number in range(20)), at_once=3)
    scene.step()
    assert most == 3
    assert not scene.rows


def test_a_full_round_is_followed_at_once_and_a_short_one_after_the_interval() -> None:
    scene = Scene(delivers, *(a_task(f"{number}") for number in range(TASKS_A_ROUND + 1)))
    assert scene.step() == 0
    assert scene.step() == Workers({}).interval.total_seconds()
    assert not scene.rows


def test_one_that_takes_long_holds_up_none_of_its_kind_and_is_settled_when_it_ends() -> None:
    async def played() -> None:
        end = asyncio.Event()

        async def does(parcel: Deliver) -> Answer:
            if parcel.parcel_id == "parcel slow":
                await end.wait()
            return [NoteDelivery(parcel.parcel_id)]

        scene = Scene(does, a_task("slow"), a_task("quick"))
        deliver = scene.workers.by_name["parcels.deliver"]
        deliver.loop.start()
        await until(lambda: [sent.key for sent in scene.sent] == ["parcel quick"])
        await scene.tasks.add([a_task("later")])
        scene.workers.wake("parcels.deliver")
        await until(lambda: [sent.key for sent in scene.sent] == ["parcel quick", "parcel later"])
        assert [row.envelope.message_id for row in scene.rows] == ["slow"]
        end.set()
        await until(lambda: not scene.rows)
        assert [sent.key for sent in scene.sent] == ["parcel quick", "parcel later", "parcel slow"]
        await deliver.loop.stop()

    asyncio.run(played())


def test_what_is_in_hand_is_not_begun_again() -> None:
    async def played() -> None:
        begun: list[str] = []

        async def does(parcel: Deliver) -> Answer:
            begun.append(parcel.parcel_id)
            await asyncio.Event().wait()
            return []

        scene = Scene(does, a_task())
        for _ in range(3):
            await scene.round()
        assert begun == ["parcel one"]

    asyncio.run(played())


def test_tasks_of_one_kind_are_not_held_up_by_those_of_another() -> None:
    async def played() -> None:
        async def never(parcel: Deliver) -> Answer:
            await asyncio.Event().wait()
            return []

        many = [a_task(f"{number}") for number in range(TASKS_A_ROUND + 50)]
        trace = listed(Trace("p"), "trace", due_at=SINCE)
        scene = Scene(never, *many, trace, at_once=2)
        for loop in scene.workers.loops:
            loop.start()
        await until(lambda: [sent.key for sent in scene.sent] == ["p"])
        assert len(scene.rows) == TASKS_A_ROUND + 50
        for loop in scene.workers.loops:
            await loop.cancel()

    asyncio.run(played())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)
