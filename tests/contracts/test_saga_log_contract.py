"""The contract of SagaLog: progress merges in any order."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from spark_actors.kernel.sagas import SagaProgress, SagaState
from spark_actors.messaging.ports import SagaRow
from tests.fixtures.aggregates import NOW
from tests.fixtures.business import with_each_business
from tests.fixtures.letters import progress
from tests.fixtures.stores import Async, Stores

pytestmark = with_each_business

STORY = (
    progress("one", 0),
    progress("one", 1, at=NOW + timedelta(seconds=1)),
    progress("one", 3, SagaState.COMPLETED, at=NOW + timedelta(seconds=2)),
)
ENDED = SagaRow(
    "donation",
    "one",
    "step-3",
    SagaState.COMPLETED,
    "context.event-3",
    "story-one",
    NOW,
    NOW + timedelta(minutes=1),
    NOW + timedelta(seconds=2),
    None,
)


def test_a_saga_ends_with_its_last_step(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    assert run(log.merge(STORY[:1])) == []
    assert run(log.merge(STORY[1:2])) == []
    assert run(log.running()) == {("donation", False): 1}
    assert run(log.merge(STORY[2:])) == [ENDED]
    assert run(log.running()) == {}


def test_several_steps_may_come_at_once(stores: Stores, run: Async) -> None:
    assert run(stores.saga_log(stores.business.context).merge(STORY)) == [ENDED]


def test_merging_nothing_is_harmless(stores: Stores, run: Async) -> None:
    assert run(stores.saga_log(stores.business.context).merge([])) == []


@pytest.mark.parametrize(
    "order", list(permutations(STORY)), ids=lambda order: "".join(str(item.rank) for item in order)
)
def test_the_order_in_which_events_come_makes_no_difference(
    stores: Stores, run: Async, order: tuple[SagaProgress, ...]
) -> None:
    log = stores.saga_log(stores.business.context)
    ended = [row for item in order for row in run(log.merge([item]))]
    assert len(ended) == 1
    assert run(log.running()) == {}


def test_a_repeated_or_overtaken_event_changes_nothing(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    run(log.merge(STORY))
    assert run(log.merge(STORY)) == []
    assert run(log.merge([progress("one", 1, at=NOW + timedelta(hours=1))])) == []
    assert run(log.running()) == {}


def test_sagas_of_other_kinds_and_ids_go_their_own_way(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    run(log.merge([progress("one", 0, kind="deposit"), progress("one", 0, kind="withdrawal"), progress("two", 0)]))
    run(log.merge([progress("one", 1, SagaState.FAILED, kind="deposit")]))
    assert run(log.running()) == {("withdrawal", False): 1, ("donation", False): 1}


def test_what_another_story_tells_about_the_same_id_changes_nothing_in_mine(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    run(log.merge([progress("one", 0, story="mine")]))
    [failed] = run(log.merge([progress("one", 1, SagaState.FAILED, story="theirs")]))
    assert (failed.correlation_id, failed.state) == ("theirs", SagaState.FAILED)
    assert run(log.running()) == {("donation", False): 1}
    [late] = run(log.mark_overdue(NOW + timedelta(hours=1), 10))
    assert late.correlation_id == "mine"
    [ended] = run(log.merge([progress("one", 2, SagaState.COMPLETED, story="mine")]))
    assert (ended.correlation_id, ended.state) == ("mine", SagaState.COMPLETED)


def test_stories_of_one_id_may_come_in_one_batch(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    told = [progress("one", 1, SagaState.FAILED, story="theirs"), progress("one", 0, story="mine")]
    assert [row.correlation_id for row in run(log.merge(told))] == ["theirs"]
    assert run(log.running()) == {("donation", False): 1}


def test_a_saga_that_may_go_on_after_its_end_ends_again(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    assert len(run(log.merge([progress("one", 2, SagaState.FAILED)]))) == 1
    assert run(log.merge([progress("one", 3, SagaState.RUNNING)])) == []
    assert run(log.running()) == {("donation", False): 1}
    [ended] = run(log.merge([progress("one", 5, SagaState.COMPLETED)]))
    assert ended.state is SagaState.COMPLETED


def test_only_running_sagas_past_their_deadline_are_marked_overdue_and_once(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    late = [progress(f"late-{minutes}", 0, at=NOW - timedelta(minutes=minutes)) for minutes in (2, 4, 3)]
    run(log.merge([*late, progress("early", 0), progress("ended", 1, SagaState.FAILED, at=NOW - timedelta(hours=1))]))
    first = run(log.mark_overdue(NOW, 2))
    assert {(row.saga_id, row.overdue_since) for row in first} == {("late-4", NOW), ("late-3", NOW)}
    assert [row.saga_id for row in run(log.mark_overdue(NOW, 10))] == ["late-2"]
    assert run(log.mark_overdue(NOW, 10)) == []
    assert run(log.running()) == {("donation", True): 3, ("donation", False): 1}


def test_a_saga_that_was_late_still_ends(stores: Stores, run: Async) -> None:
    log = stores.saga_log(stores.business.context)
    run(log.merge(STORY[:1]))
    run(log.mark_overdue(NOW + timedelta(hours=1), 10))
    [ended] = run(log.merge(STORY[2:]))
    assert ended.overdue_since == NOW + timedelta(hours=1)
