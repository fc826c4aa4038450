"""The contract of DurableTasks: a task stays until what follows from it is durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from spark_actors.kernel.tasks import Task
from spark_actors.messaging.ports import DurableTasks, ListedTask, TasksSummary
from tests.fixtures.aggregates import NOW
from tests.fixtures.business import Business, with_each_business
from tests.fixtures.stores import Async, Stores
from tests.fixtures.tasks import listed

pytestmark = with_each_business


@pytest.fixture
def kinds(business: Business) -> Sequence[Task]:
    """A task of each kind, by their names."""
    return business.tasks


@pytest.fixture
def tasks(stores: Stores, kinds: Sequence[Task]) -> DurableTasks:
    """Those of the context that has any."""
    return stores.tasks(kinds[0].TYPE.context)


@pytest.fixture
def name(kinds: Sequence[Task]) -> str:
    """Of the kind of task that `a_task` makes."""
    return kinds[0].TYPE.name


class MakeTask(Protocol):
    def __call__(self, task_id: str, *, minutes: float = 0, is_scheduled: bool = False) -> ListedTask: ...


@pytest.fixture
def a_task(kinds: Sequence[Task]) -> MakeTask:
    def make(task_id: str, *, minutes: float = 0, is_scheduled: bool = False) -> ListedTask:
        return replace(listed(kinds[0], task_id, due_at=NOW + timedelta(minutes=minutes)), is_scheduled=is_scheduled)

    return make


def ids(tasks: Sequence[ListedTask]) -> list[str]:
    return [task.envelope.message_id for task in tasks]


def test_a_task_is_due_as_it_was_added_and_stays(tasks: DurableTasks, kinds: Sequence[Task], run: Async) -> None:
    every_kind = [listed(kind, n, due_at=NOW + timedelta(minutes=n)) for n, kind in enumerate(kinds)]
    run(tasks.add(every_kind))
    for _ in range(2):
        for task in every_kind:
            assert run(tasks.due(task.envelope.name, NOW + timedelta(hours=1), 10)) == [task]


def test_tasks_of_one_context_are_not_anothers(
    stores: Stores, tasks: DurableTasks, a_task: MakeTask, name: str, run: Async
) -> None:
    run(tasks.add([a_task("one")]))
    assert run(stores.tasks(stores.business.context).due(name, NOW, 10)) == []


def test_only_tasks_that_are_due_come_and_the_longest_due_first(
    tasks: DurableTasks, a_task: MakeTask, name: str, run: Async
) -> None:
    run(tasks.add([a_task(f"{minutes}", minutes=minutes) for minutes in (1, -3, 0, -7)]))
    assert ids(run(tasks.due(name, NOW, 10))) == ["-7", "-3", "0"]
    assert ids(run(tasks.due(name, NOW, 1))) == ["-7"]


def test_a_task_that_is_there_already_stays_as_it_is(
    tasks: DurableTasks, a_task: MakeTask, name: str, run: Async
) -> None:
    run(tasks.add([a_task("one")]))
    run(tasks.add([a_task("one", minutes=-5), a_task("two")]))
    assert sorted((*ids([task]), task.due_at) for task in run(tasks.due(name, NOW, 10))) == [("one", NOW), ("two", NOW)]


def test_a_task_that_was_put_off_is_due_later_with_its_attempts_and_its_problem(
    tasks: DurableTasks, a_task: MakeTask, name: str, run: Async
) -> None:
    run(tasks.add([a_task("one"), a_task("two")]))
    later = replace(a_task("one"), due_at=NOW + timedelta(minutes=1), attempts=3, problem="no answer")
    run(tasks.put_off([later, a_task("unknown")]))
    assert run(tasks.due(name, NOW, 10)) == [a_task("two")]
    assert later in run(tasks.due(name, NOW + timedelta(minutes=1), 10))


def test_a_removed_task_is_gone_and_removing_twice_is_harmless(
    tasks: DurableTasks, a_task: MakeTask, name: str, run: Async
) -> None:
    run(tasks.add([a_task("one"), a_task("two")]))
    for _ in range(2):
        run(tasks.remove(["one"]))
    assert run(tasks.due(name, NOW, 10)) == [a_task("two")]


def test_a_task_put_off_by_a_clock_that_has_been_set_back_is_due(
    tasks: DurableTasks, a_task: MakeTask, name: str, run: Async
) -> None:
    run(tasks.add([a_task("one", minutes=1), a_task("two", minutes=59), a_task("three")]))
    assert ids(run(tasks.due(name, NOW, 10))) == ["three", "two"]


def test_a_task_that_names_its_time_waits_for_it_however_far_it_is(
    tasks: DurableTasks, a_task: MakeTask, name: str, run: Async
) -> None:
    minutes = timedelta(days=100) / timedelta(minutes=1)
    run(tasks.add([a_task("one", minutes=minutes, is_scheduled=True)]))
    assert run(tasks.due(name, NOW + timedelta(days=99), 10)) == []
    [task] = run(tasks.due(name, NOW + timedelta(days=100), 10))
    # It was tried by a clock that was ahead, and the clock has been set back: it is tried again, and not a year later.
    run(tasks.put_off([replace(task, due_at=NOW + timedelta(days=465), attempts=1)]))
    assert ids(run(tasks.due(name, NOW + timedelta(days=101), 10))) == ["one"]


def test_thousands_of_one_kind_are_not_in_the_way_of_another(
    tasks: DurableTasks, kinds: Sequence[Task], run: Async
) -> None:
    run(tasks.add([listed(kinds[0], n, due_at=NOW - timedelta(minutes=n)) for n in range(2_000)]))
    other = listed(kinds[-1], "other", due_at=NOW)
    run(tasks.add([other]))
    assert run(tasks.due(kinds[-1].TYPE.name, NOW, 10)) == [other]


def test_what_is_to_be_done_is_told_by_kind_and_state(tasks: DurableTasks, kinds: Sequence[Task], run: Async) -> None:
    now = datetime.now(UTC)
    first, last = kinds[0], kinds[-1]
    due = [listed(last, n, due_at=now - timedelta(minutes=n)) for n in (1, 2, 3)]
    later = replace(listed(first, "later", due_at=now + timedelta(days=1)), is_scheduled=True)
    run(tasks.add([*due, later]))
    run(tasks.put_off([replace(due[0], due_at=now, attempts=1, problem="no answer")]))
    scheduled, waiting = run(tasks.summary())
    assert scheduled == TasksSummary(first.TYPE.name, waiting=0, scheduled=1, failing=0, oldest_age=timedelta())
    assert (waiting.name, waiting.waiting, waiting.scheduled, waiting.failing) == (last.TYPE.name, 3, 0, 1)
    assert timedelta(minutes=3) <= waiting.oldest_age < timedelta(minutes=4)
