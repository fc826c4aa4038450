"""The contract of Outbox and OutboxReader: a row waits until it is settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import OutboxBacklog
from tests.fixtures.aggregates import NOW, an_event, commit
from tests.fixtures.business import with_each_business
from tests.fixtures.letters import a_letter
from tests.fixtures.stores import Async, Stores

pytestmark = with_each_business


def test_an_event_is_read_as_it_was_added(stores: Stores, run: Async) -> None:
    event = an_event("event", key="key", sequence=7)
    commit(stores.unit_of_work(stores.business.context), events=[event])
    [waiting] = run(stores.outbox_reader(stores.business.context).pending(skip=(), limit=10))
    assert waiting.envelope == Envelope(
        "event", "auth.account-registered", 1, "key", event.data, "story", "cause", NOW, 7
    )


def test_events_come_in_the_order_in_which_they_were_added(stores: Stores, run: Async) -> None:
    commit(stores.unit_of_work(stores.business.context), events=[an_event(f"event-{number}") for number in range(50)])
    commit(
        stores.unit_of_work(stores.business.context), events=[an_event(f"event-{number}") for number in range(50, 60)]
    )
    waiting = run(stores.outbox_reader(stores.business.context).pending(skip=(), limit=100))
    assert [one.envelope.message_id for one in waiting] == [f"event-{number}" for number in range(60)]
    assert [one.position for one in waiting] == sorted({one.position for one in waiting})


def test_no_more_come_than_are_asked_for(stores: Stores, run: Async) -> None:
    commit(stores.unit_of_work(stores.business.context), events=[an_event(f"event-{number}") for number in range(5)])
    assert len(run(stores.outbox_reader(stores.business.context).pending(skip=(), limit=3))) == 3


def test_a_row_comes_again_and_again_until_it_is_settled(stores: Stores, run: Async) -> None:
    reader = stores.outbox_reader(stores.business.context)
    commit(stores.unit_of_work(stores.business.context), events=[an_event("one"), an_event("two")])
    first = run(reader.pending(skip=(), limit=10))
    assert run(reader.pending(skip=(), limit=10)) == first
    run(reader.settle([first[0].position]))
    assert run(reader.pending(skip=(), limit=10)) == first[1:]
    assert run(stores.outbox_reader(stores.business.context).pending(skip=(), limit=10)) == first[1:]


def test_rows_in_hand_are_skipped(stores: Stores, run: Async) -> None:
    reader = stores.outbox_reader(stores.business.context)
    commit(stores.unit_of_work(stores.business.context), events=[an_event(f"event-{number}") for number in range(40)])
    in_hand = {one.position for one in run(reader.pending(skip=(), limit=30))}
    rest = run(reader.pending(skip=in_hand, limit=100))
    assert [one.envelope.message_id for one in rest] == [f"event-{number}" for number in range(30, 40)]


def test_a_row_that_is_no_longer_in_hand_comes_again(stores: Stores, run: Async) -> None:
    reader = stores.outbox_reader(stores.business.context)
    commit(stores.unit_of_work(stores.business.context), events=[an_event(f"event-{number}") for number in range(3)])
    waiting = run(reader.pending(skip=(), limit=10))
    run(reader.settle([waiting[2].position]))
    run(reader.pending(skip=[waiting[0].position, waiting[1].position], limit=10))
    assert run(reader.pending(skip=(), limit=10)) == waiting[:2]


def test_settling_twice_is_harmless(stores: Stores, run: Async) -> None:
    reader = stores.outbox_reader(stores.business.context)
    commit(stores.unit_of_work(stores.business.context), events=[an_event("one")])
    [waiting] = run(reader.pending(skip=(), limit=10))
    for _ in range(2):
        run(reader.settle([waiting.position]))
    assert run(reader.pending(skip=(), limit=10)) == []


def test_a_buried_row_leaves_a_letter_and_waits_for_being_settled(stores: Stores, run: Async) -> None:
    reader = stores.outbox_reader(stores.business.context)
    commit(stores.unit_of_work(stores.business.context), events=[an_event("one")])
    [waiting] = run(reader.pending(skip=(), limit=10))
    for _ in range(2):
        run(reader.parking.bury(a_letter("one"), waiting.envelope))
    assert run(stores.dead_letters(stores.business.context).count()) == 1
    assert run(reader.pending(skip=(), limit=10)) == [waiting]


def test_an_empty_outbox_has_no_backlog(stores: Stores, run: Async) -> None:
    assert run(stores.outbox_reader(stores.business.context).backlog()) == OutboxBacklog(0, timedelta())


def test_the_backlog_is_as_old_as_its_first_row(stores: Stores, run: Async) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    commit(
        stores.unit_of_work(stores.business.context),
        events=[an_event("one", occurred_at=an_hour_ago), an_event("two", occurred_at=datetime.now(UTC))],
    )
    backlog = run(stores.outbox_reader(stores.business.context).backlog())
    assert backlog.pending == 2
    assert timedelta(minutes=59) < backlog.oldest_age < timedelta(minutes=62)


def test_contexts_do_not_see_the_events_of_each_other(stores: Stores, run: Async) -> None:
    commit(stores.unit_of_work(stores.business.context), events=[an_event("one")])
    assert run(stores.outbox_reader(stores.business.another_context).pending(skip=(), limit=10)) == []
