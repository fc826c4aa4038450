"""An AggregateActor whose slot has lost instances to another: it handles none that was sent by an older placement."""

from __future__ import annotations

from typing import Any

import pytest

from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command
from spark_actors.messaging.envelope import Reply, pack, unpack_replies
from spark_actors.messaging.routing import Placement
from spark_actors.messaging.telemetry import InstancesMoved, TurnStale
from tests.contracts.test_turns import Host, sent
from tests.fixtures.business import Business, with_each_business
from tests.fixtures.stores import Stores

TWO = Placement(2, 100)


def a_key(context: str, slot: int) -> str:
    """A key that this slot of two has; of one, the first has all."""
    return next(key for key in (f"k{number}" for number in range(100)) if TWO.slot_of(context, key).number == slot)


def take(host: Host, version: int, *commands: Command) -> list[str]:
    envelopes = [sent(command) for command in commands]
    return _verdicts(host.actor.take_turn(envelopes[0].context, pack(envelopes), version))


def _verdicts(answer: bytes) -> list[str]:
    replies: list[Reply] = unpack_replies(answer)
    return [reply.verdict.value for reply in replies]


@pytest.fixture
def host(stores: Stores) -> Any:
    return Host(stores)


@with_each_business
def test_nothing_is_done_of_what_was_sent_by_an_older_placement_and_is_another_slots_now(
    host: Host, stores: Stores, business: Business
) -> None:
    mine, others = a_key(business.context, 0), a_key(business.context, 1)
    host.take(*business.opened(mine, 10), *business.opened(others, 10))
    host.actor.place(TWO, 3)
    commands = [business.less(others, "w1", 10), business.less(mine, "w2", 10), business.less(others, "w3", 10)]
    assert take(host, 2, *commands) == ["moved", "done", "moved"]
    assert [event for event in host.told if isinstance(event, TurnStale)] == [TurnStale(business.context)]
    assert sum(turn.commands for turn in host.turns) == 2 * len(business.opened(mine, 10)) + 1
    assert take(Host(stores), 3, commands[0], commands[2]) == ["done", "rejected"]


@with_each_business
def test_what_kills_its_host_is_not_buried_by_a_slot_that_has_lost_it(host: Host, business: Business) -> None:
    others = a_key(business.context, 1)
    host.take(*business.opened(others, 10))
    host.actor.place(TWO, 3)
    deadly = pack([sent(business.more(others, "d1", 1))])
    assert _verdicts(host.actor.bury(business.context, deadly, 2)) == ["moved"]
    assert take(host, 3, business.more(others, "d2", 1)) == ["done"], "its key does not wait"


@with_each_business
@pytest.mark.parametrize("version", [3, 4])
def test_an_actor_that_knows_no_newer_placement_handles_whatever_it_is_handed(
    host: Host, business: Business, version: int
) -> None:
    others = a_key(business.context, 1)
    assert set(take(host, 0, *business.opened(others, 10))) == {"done"}
    host.actor.place(TWO, 3)
    host.actor.place(Placement(1, 100), 2)  # what comes late changes nothing
    assert take(host, version, business.less(others, "w1", 10)) == ["done"]
    assert take(host, 2, business.less(others, "w2", 10)) == ["moved"]


@with_each_business
def test_instances_that_a_slot_has_lost_passivate_with_its_next_turn(host: Host, business: Business) -> None:
    mine, others = a_key(business.context, 0), a_key(business.context, 1)
    host.take(*business.opened(mine, 10), *business.opened(others, 10))
    host.actor.place(TWO, 1)
    before = len(host.told)
    assert take(host, 1, business.less(mine, "w1", 10)) == ["done"]
    assert [event for event in host.told[before:] if isinstance(event, InstancesMoved)] == [
        InstancesMoved(business.context, 0, 1, 1)
    ]


@with_each_business
def test_of_two_slots_that_both_handle_an_instance_the_store_accepts_one(stores: Stores, business: Business) -> None:
    behind, owner = Host(stores), Host(stores)
    key = a_key(business.context, 1)
    behind.take(*business.opened(key, 10))
    owner.actor.place(TWO, 1)
    assert take(owner, 1, business.less(key, "w1", 10)) == [Verdict.DONE]
    assert take(behind, 0, business.less(key, "w2", 10)) == [Verdict.REJECTED], "it has seen the other's"
