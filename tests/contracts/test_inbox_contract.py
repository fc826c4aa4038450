"""The contract of Inbox: what was handled is remembered, with how it ended."""

from __future__ import annotations

from enum import StrEnum

import pytest

from spark_actors.kernel.decisions import DONE, Outcome, Verdict
from spark_actors.kernel.errors import DuplicateMessageError
from spark_actors.messaging.unit_of_work import Handled
from tests.fixtures.aggregates import a_mark, commit
from tests.fixtures.business import with_each_business
from tests.fixtures.stores import Stores

pytestmark = with_each_business


class Reason(StrEnum):
    WORD = "a_word"


def test_a_message_that_was_never_handled_is_unknown(stores: Stores) -> None:
    commit(stores.unit_of_work(stores.business.context), marks=[a_mark("known")])
    with stores.unit_of_work(stores.business.context) as uow:
        assert uow.inbox.handled(["unknown"]) == {}
        assert uow.inbox.handled([]) == {}


def test_a_message_keeps_the_outcome_that_it_had(stores: Stores) -> None:
    outcomes = {
        "done": DONE,
        "told": Outcome(Verdict.DONE, data={"balance_sat": 12, "name": "✓"}),
        "refused": Outcome(Verdict.REJECTED, Reason.WORD),
    }
    commit(
        stores.unit_of_work(stores.business.context),
        marks=[a_mark(name, outcome) for name, outcome in outcomes.items()],
    )
    with stores.unit_of_work(stores.business.context) as uow:
        handled = uow.inbox.handled([*outcomes, "unknown"])
    assert {name: each.outcome for name, each in handled.items()} == outcomes


def test_a_message_is_marked_once(stores: Stores) -> None:
    commit(stores.unit_of_work(stores.business.context), marks=[a_mark("first", Outcome(Verdict.REJECTED, "no"))])
    with pytest.raises(DuplicateMessageError):
        commit(stores.unit_of_work(stores.business.context), marks=[a_mark("second"), a_mark("first")])
    with stores.unit_of_work(stores.business.context) as uow:
        assert uow.inbox.handled(["first", "second"]) == {"first": Handled(Outcome(Verdict.REJECTED, "no"), None)}


def test_a_message_stands_once_in_a_turn(stores: Stores) -> None:
    with pytest.raises(DuplicateMessageError):
        commit(stores.unit_of_work(stores.business.context), marks=[a_mark("twice"), a_mark("twice")])


def test_every_context_remembers_for_itself(stores: Stores) -> None:
    commit(stores.unit_of_work(stores.business.context), marks=[a_mark("message")])
    commit(stores.unit_of_work(stores.business.another_context), marks=[a_mark("message")])
