"""The contract of MissedEvents: what a subscriber misses waits for it alone, in order, however long it is away."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import pytest

from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import MissedEvents, OutboxReader, PendingMessage
from tests.fixtures.aggregates import NOW
from tests.fixtures.stores import Async, Stores


@pytest.fixture
def outbox(stores: Stores) -> OutboxReader:
    """An outbox with four events."""
    with stores.unit_of_work("auth") as uow:
        uow.outbox.add([an_event(f"m{number}") for number in range(4)])
        uow.commit()
    return stores.outbox_reader("auth")


@pytest.fixture
def rows(run: Async, outbox: OutboxReader) -> Sequence[PendingMessage]:
    return run(outbox.pending(skip=(), limit=10))


@pytest.fixture
def missed(outbox: OutboxReader) -> MissedEvents:
    return outbox.missed


def an_event(message_id: str) -> Envelope:
    return Envelope(message_id, "auth.account-registered", 1, "ada", b'{"a": 1}', "story", "cause", NOW, 7)


def found(
    run: Async, missed: MissedEvents, *, floor: int = 0, skip: Collection[int] = (), limit: int = 10
) -> list[PendingMessage]:
    return list(run(missed.next("dashboard", floor=floor, skip=skip, limit=limit)))


def kept_for(run: Async, outbox: OutboxReader) -> list[str]:
    """As the next read says it."""
    run(outbox.pending(skip=(), limit=10))
    return sorted(outbox.kept_for)


def test_what_is_kept_is_the_same_as_in_the_outbox_and_outlives_it(
    run: Async, outbox: OutboxReader, missed: MissedEvents, rows: Sequence[PendingMessage]
) -> None:
    positions = [row.position for row in rows]
    run(missed.keep("dashboard", positions))
    run(outbox.settle(positions))
    assert found(run, missed) == [row._replace(is_missed=True) for row in rows]
    assert run(missed.next("accounting", floor=0, skip=(), limit=10)) == []
    assert kept_for(run, outbox) == ["dashboard"]


def test_keeping_twice_is_harmless_and_what_has_left_the_outbox_is_passed_over(
    run: Async, outbox: OutboxReader, missed: MissedEvents, rows: Sequence[PendingMessage]
) -> None:
    positions = [row.position for row in rows]
    run(missed.keep("dashboard", positions[2:]))
    run(outbox.settle(positions[:1]))
    run(missed.keep("dashboard", positions))
    assert [row.position for row in found(run, missed)] == positions[1:]


def test_they_are_read_by_position_without_what_is_in_hand(
    run: Async, missed: MissedEvents, rows: Sequence[PendingMessage]
) -> None:
    first, second, third, fourth = (row.position for row in rows)
    run(missed.keep("dashboard", [fourth, second]))
    run(missed.keep("dashboard", [first, third]))
    assert [row.position for row in found(run, missed, limit=2)] == [first, second]
    assert [row.position for row in found(run, missed, floor=second, skip=[third])] == [second, fourth]


def test_what_is_forgotten_is_gone_for_this_subscriber_alone(
    run: Async, outbox: OutboxReader, missed: MissedEvents, rows: Sequence[PendingMessage]
) -> None:
    positions = [row.position for row in rows]
    for subscriber in ("accounting", "dashboard"):
        run(missed.keep(subscriber, positions))
    for _ in range(2):
        run(missed.forget("dashboard", positions))
    assert found(run, missed) == []
    assert kept_for(run, outbox) == ["accounting"]


def test_it_is_told_how_much_a_subscriber_has_missed_and_since_when(
    run: Async, missed: MissedEvents, rows: Sequence[PendingMessage]
) -> None:
    assert run(missed.summary()) == {}
    run(missed.keep("dashboard", [row.position for row in rows]))
    summary = run(missed.summary())
    assert list(summary) == ["dashboard"]
    assert summary["dashboard"].events == len(rows)
    assert summary["dashboard"].oldest_age > timedelta()
