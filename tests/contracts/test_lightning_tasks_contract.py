"""The contract of LightningTasks: a task stays until its answer is durable."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from domain.bitcoin.ports import LightningTask, LightningTaskKind
from tests.fixtures.aggregates import NOW
from tests.fixtures.stores import Async, Stores


def a_task(invoice_id: str, kind: LightningTaskKind = LightningTaskKind.PAY, *, minutes: int = 0) -> LightningTask:
    is_issue = kind is LightningTaskKind.ISSUE
    return LightningTask(
        invoice_id,
        kind,
        700,
        "" if is_issue else "hash",
        "" if is_issue else "lnbc1",
        NOW + timedelta(minutes=minutes),
        "story",
        "cause",
    )


def test_a_task_is_due_as_it_was_added_and_stays(stores: Stores, run: Async) -> None:
    tasks = stores.lightning_tasks()
    every_kind = [a_task("one", kind, minutes=number) for number, kind in enumerate(LightningTaskKind)]
    run(tasks.add(every_kind))
    for _ in range(2):
        assert run(tasks.due(NOW + timedelta(hours=1), 10)) == every_kind


def test_only_tasks_that_are_due_come_and_the_longest_due_first(stores: Stores, run: Async) -> None:
    tasks = stores.lightning_tasks()
    run(tasks.add([a_task(f"{minutes}", minutes=minutes) for minutes in (1, -3, 0, -7)]))
    assert [task.invoice_id for task in run(tasks.due(NOW, 10))] == ["-7", "-3", "0"]
    assert [task.invoice_id for task in run(tasks.due(NOW, 1))] == ["-7"]


def test_a_task_that_is_there_already_stays_as_it_is(stores: Stores, run: Async) -> None:
    tasks = stores.lightning_tasks()
    run(tasks.add([a_task("one")]))
    run(tasks.add([a_task("one", minutes=-5), a_task("two")]))
    assert sorted((task.invoice_id, task.due_at) for task in run(tasks.due(NOW, 10))) == [("one", NOW), ("two", NOW)]


def test_a_rescheduled_task_is_due_later_with_its_attempts(stores: Stores, run: Async) -> None:
    tasks = stores.lightning_tasks()
    run(tasks.add([a_task("one"), a_task("two")]))
    later = replace(a_task("one"), due_at=NOW + timedelta(minutes=1), attempts=3)
    run(tasks.reschedule([later, a_task("unknown")]))
    assert run(tasks.due(NOW, 10)) == [a_task("two")]
    assert later in run(tasks.due(NOW + timedelta(minutes=1), 10))


def test_a_removed_task_is_gone_and_removing_twice_is_harmless(stores: Stores, run: Async) -> None:
    tasks = stores.lightning_tasks()
    run(tasks.add([a_task("one"), a_task("one", LightningTaskKind.WATCH)]))
    for _ in range(2):
        run(tasks.remove([a_task("one")]))
    assert run(tasks.due(NOW, 10)) == [a_task("one", LightningTaskKind.WATCH)]


def test_a_task_put_off_by_a_clock_that_has_been_set_back_is_due(stores: Stores, run: Async) -> None:
    tasks = stores.lightning_tasks()
    run(tasks.add([a_task("one", minutes=1), a_task("two", minutes=59), a_task("three")]))
    assert [task.invoice_id for task in run(tasks.due(NOW, 10))] == ["three", "two"]
