"""Commands whose key must wait, on both kinds of stores and with either application: they wait durably, in order, and
hold up nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import Command
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.unit_of_work import COMMANDS
from tests.contracts.test_turns import Host, Wrapped, balance, sent
from tests.fixtures.business import Business, with_each_business
from tests.fixtures.stores import Stores

pytestmark = with_each_business

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def poison(business: Business, key: str, number: int = 1) -> Envelope:
    """A command that this version does not know."""
    return Envelope(f"poison-{key}-{number}", f"{business.context}.print-money", 1, key, b"{}", f"story-{key}", "", NOW)


def bobs(business: Business, number: int) -> Command:
    return business.more("bob", f"bob-{number}", 1)


def waiting(stores: Stores, key: str) -> list[str]:
    parking = stores.outbox_reader(stores.business.context).parking
    return [envelope.message_id for envelope in stores.run(parking.waiting(COMMANDS, key, 100))]


def keys(stores: Stores) -> dict[str, str]:
    return {key.key: key.state for key in stores.run(stores.outbox_reader(stores.business.context).parking.keys())}


def letters(stores: Stores) -> list[Any]:
    return stores.run(stores.dead_letters(stores.business.context).newest(10))


def release(stores: Stores, host: Host, key: str) -> None:
    context = stores.business.context
    stores.operate(context, key, KeyState.RELEASED)
    while host.actor.release(context, [key]):
        continue


def test_a_command_that_fails_parks_its_key_and_no_other(stores: Stores, business: Business) -> None:
    host = Host(stores)
    later = sent(business.more("ann", "later", 100), "later")
    host.take(*business.opened("ann", 100), *business.opened("bob", 1), poison(business, "ann"), bobs(business, 2))
    assert host.verdicts(later, bobs(business, 3)) == [("parked", "key_parked"), ("done", "")]
    assert (balance(stores, "ann"), balance(stores, "bob")) == (100, 3)
    assert keys(stores) == {"ann": "parked"}
    assert waiting(stores, "ann") == ["poison-ann-1", "later"]


def test_what_failed_is_a_dead_letter_with_all_that_a_retry_needs(stores: Stores, business: Business) -> None:
    Host(stores).take(*business.opened("ann", 100), poison(business, "ann"))
    [letter] = letters(stores)
    assert (letter.message_id, letter.subscriber, letter.reason) == ("poison-ann-1", COMMANDS, "unknown_message")
    assert (letter.version, letter.occurred_at, letter.correlation_id) == (1, NOW, "story-ann")


def test_an_actor_that_never_met_the_key_finds_it_parked_too(stores: Stores, business: Business) -> None:
    Host(stores).take(*business.opened("ann", 100), *business.opened("bob", 1), poison(business, "ann"))
    assert Host(stores).verdicts(business.less("ann", "w1", 1), bobs(business, 1)) == [
        ("parked", "key_parked"),
        ("done", ""),
    ]


def test_what_was_handled_before_its_key_was_parked_answers_as_it_did(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), poison(business, "ann"))
    assert host.verdicts(*business.opened("ann", 100), business.more("ann", "new", 100)) == [
        ("done", ""),
        ("done", ""),
        ("parked", "key_parked"),
    ]
    assert waiting(stores, "ann") == ["poison-ann-1", sent(business.more("ann", "new", 100)).message_id]


def test_parking_a_message_twice_keeps_it_once(stores: Stores, business: Business) -> None:
    host = Host(stores)
    for _ in range(2):
        host.take(*business.opened("ann", 100), poison(business, "ann"), sent(business.more("ann", "new", 100), "new"))
    assert waiting(stores, "ann") == ["poison-ann-1", "new"]
    assert len(letters(stores)) == 1


def test_a_key_that_is_released_but_not_mended_fails_again_and_the_rest_waits(
    stores: Stores, business: Business
) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), poison(business, "ann"), sent(business.more("ann", "new", 100), "new"))
    release(stores, host, "ann")
    assert keys(stores) == {"ann": "parked"}
    assert waiting(stores, "ann") == ["poison-ann-1", "new"]
    assert balance(stores, "ann") == 100


def test_a_released_key_is_worked_off_in_order_and_then_free(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    host.take(business.less("ann", "w1", 100), business.more("ann", "d2", 5))
    host.take(business.less("ann", "w2", 5))
    release(stores, host, "ann")
    assert (keys(stores), waiting(stores, "ann"), balance(stores, "ann")) == ({}, [], 0)
    assert host.verdicts(business.more("ann", "d3", 9)) == [("done", "")]


def test_commands_that_come_while_a_released_key_is_not_worked_off_yet_wait_behind(
    stores: Stores, business: Business
) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    host.take(business.less("ann", "w1", 100))
    stores.operate(business.context, "ann", KeyState.RELEASED)
    assert host.verdicts(business.less("ann", "w2", 1)) == [("parked", "key_parked")]
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 0)


def test_a_key_that_was_never_released_is_left_alone(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    host.take(sent(business.less("ann", "w1", 100), "w"))
    host.actor.release(business.context, ["ann", "nobody"])
    assert (keys(stores), waiting(stores, "ann"), balance(stores, "ann")) == ({"ann": "paused"}, ["w"], 100)


def test_a_message_that_waits_though_it_was_handled_is_dropped(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), sent(business.more("ann", "d1", 100), "d"))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    parking = stores.outbox_reader(business.context).parking
    stores.run(
        parking.park(COMMANDS, [sent(business.more("ann", "d1", 100), "d"), sent(business.more("ann", "e", 100), "e")])
    )
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 300)


def test_more_than_one_turn_can_hold_is_worked_off(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 1))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    host.take(*[business.more("ann", f"d{number}", 1) for number in range(250)])
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 251)


def test_a_business_rejection_among_what_waits_stops_nothing(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 1))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    host.take(business.more("ann", "d", 1), business.less("ann", "w", 500), business.more("ann", "e", 1))
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 3)


def test_a_stale_writer_parks_nothing_on_what_it_believes(stores: Stores, business: Business) -> None:
    zombie, successor = Host(stores), Host(stores)
    zombie.take(*business.opened("ann", 100))
    successor.take(business.less("ann", "w1", 30))
    assert zombie.verdicts(poison(business, "ann")) == [("failed", "unknown_message")]
    assert keys(stores) == {"ann": "parked"}
    assert balance(stores, "ann") == 70


def test_a_crash_after_the_commit_of_a_release_doubles_nothing(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    host.take(business.more("ann", "d2", 5))
    breaks = True

    class Breaking(Wrapped):
        def commit(self) -> None:
            self.inner.commit()
            if breaks:
                raise StorageUnavailableError("the connection broke while the commit was under way")

    stores.operate(business.context, "ann", KeyState.RELEASED)
    unlucky = Host(stores, wrap=Breaking)
    with pytest.raises(StorageUnavailableError):
        unlucky.actor.release(business.context, ["ann"])
    breaks = False
    assert unlucky.actor.release(business.context, ["ann"]) == []
    assert (keys(stores), balance(stores, "ann")) == ({}, 105)


def test_data_that_no_parser_takes_can_wait(stores: Stores, business: Business) -> None:
    host = Host(stores)
    broken = msgspec.structs.replace(poison(business, "ann"), name=business.more_name, data=b'\x00\xff{"')
    assert host.verdicts(broken) == [("failed", "malformed")]
    [waits] = stores.run(stores.outbox_reader(business.context).parking.waiting(COMMANDS, "ann", 1))
    assert waits == broken
