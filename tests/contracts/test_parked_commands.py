"""Commands whose key must wait, on both kinds of stores: they wait durably, in order, and hold up nobody else."""

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
from tests.fixtures.stores import Stores
from tests.unit.domain.builders import deposit, funded, withdraw

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def poison(key: str, number: int = 1) -> Envelope:
    """A command that this version does not know."""
    return Envelope(f"poison-{key}-{number}", "accounting.print-money", 1, key, b"{}", f"story-{key}", "", NOW)


def bobs(number: int) -> Command:
    return deposit(account_id="bob", deposit_id=f"bob-{number}", amount_sat=1)


def waiting(stores: Stores, key: str) -> list[str]:
    parking = stores.outbox_reader("accounting").parking
    return [envelope.message_id for envelope in stores.run(parking.waiting(COMMANDS, key, 100))]


def keys(stores: Stores) -> dict[str, str]:
    return {key.key: key.state for key in stores.run(stores.outbox_reader("accounting").parking.keys())}


def letters(stores: Stores) -> list[Any]:
    return stores.run(stores.dead_letters("accounting").newest(10))


def release(stores: Stores, host: Host, key: str) -> None:
    stores.operate("accounting", key, KeyState.RELEASED)
    while host.actor.release("accounting", [key]):
        continue


def test_a_command_that_fails_parks_its_key_and_no_other(stores: Stores) -> None:
    host = Host(stores)
    later = sent(deposit(deposit_id="later"), "later")
    host.take(*funded("ann", 100), *funded("bob", 1), poison("ann"), bobs(2))
    assert host.verdicts(later, bobs(3)) == [("parked", "key_parked"), ("done", "")]
    assert (balance(stores, "ann"), balance(stores, "bob")) == (100, 3)
    assert keys(stores) == {"ann": "parked"}
    assert waiting(stores, "ann") == ["poison-ann-1", "later"]


def test_what_failed_is_a_dead_letter_with_all_that_a_retry_needs(stores: Stores) -> None:
    Host(stores).take(*funded("ann", 100), poison("ann"))
    [letter] = letters(stores)
    assert (letter.message_id, letter.subscriber, letter.reason) == ("poison-ann-1", COMMANDS, "unknown_message")
    assert (letter.version, letter.occurred_at, letter.correlation_id) == (1, NOW, "story-ann")


def test_an_actor_that_never_met_the_key_finds_it_parked_too(stores: Stores) -> None:
    Host(stores).take(*funded("ann", 100), poison("ann"))
    assert Host(stores).verdicts(withdraw(amount_sat=1), bobs(1)) == [("parked", "key_parked"), ("done", "")]


def test_what_was_handled_before_its_key_was_parked_answers_as_it_did(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100), poison("ann"))
    assert host.verdicts(*funded("ann", 100), deposit(deposit_id="new")) == [
        ("done", ""),
        ("done", ""),
        ("parked", "key_parked"),
    ]
    assert waiting(stores, "ann") == ["poison-ann-1", sent(deposit(deposit_id="new")).message_id]


def test_parking_a_message_twice_keeps_it_once(stores: Stores) -> None:
    host = Host(stores)
    for _ in range(2):
        host.take(*funded("ann", 100), poison("ann"), sent(deposit(deposit_id="new"), "new"))
    assert waiting(stores, "ann") == ["poison-ann-1", "new"]
    assert len(letters(stores)) == 1


def test_a_key_that_is_released_but_not_mended_fails_again_and_the_rest_waits(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100), poison("ann"), sent(deposit(deposit_id="new"), "new"))
    release(stores, host, "ann")
    assert keys(stores) == {"ann": "parked"}
    assert waiting(stores, "ann") == ["poison-ann-1", "new"]
    assert balance(stores, "ann") == 100


def test_a_released_key_is_worked_off_in_order_and_then_free(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    host.take(withdraw(amount_sat=100), deposit(deposit_id="d2", amount_sat=5))
    host.take(withdraw(withdrawal_id="w2", amount_sat=5))
    release(stores, host, "ann")
    assert (keys(stores), waiting(stores, "ann"), balance(stores, "ann")) == ({}, [], 0)
    assert host.verdicts(deposit(deposit_id="d3", amount_sat=9)) == [("done", "")]


def test_commands_that_come_while_a_released_key_is_not_worked_off_yet_wait_behind(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    host.take(withdraw(amount_sat=100))
    stores.operate("accounting", "ann", KeyState.RELEASED)
    assert host.verdicts(withdraw(withdrawal_id="w2", amount_sat=1)) == [("parked", "key_parked")]
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 0)


def test_a_key_that_was_never_released_is_left_alone(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    host.take(sent(withdraw(amount_sat=100), "w"))
    host.actor.release("accounting", ["ann", "nobody"])
    assert (keys(stores), waiting(stores, "ann"), balance(stores, "ann")) == ({"ann": "paused"}, ["w"], 100)


def test_a_message_that_waits_though_it_was_handled_is_dropped(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100), sent(deposit(), "d"))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    parking = stores.outbox_reader("accounting").parking
    stores.run(parking.park(COMMANDS, [sent(deposit(), "d"), sent(deposit(deposit_id="e"), "e")]))
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 300)


def test_more_than_one_turn_can_hold_is_worked_off(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 1))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    host.take(*[deposit(deposit_id=f"d{number}", amount_sat=1) for number in range(250)])
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 251)


def test_a_business_rejection_among_what_waits_stops_nothing(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 1))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    first = sent(deposit(deposit_id="d", amount_sat=1), "one")
    host.take(first, sent(deposit(deposit_id="d", amount_sat=1), "two"), deposit(deposit_id="e", amount_sat=1))
    release(stores, host, "ann")
    assert (keys(stores), balance(stores, "ann")) == ({}, 3)


def test_a_stale_writer_parks_nothing_on_what_it_believes(stores: Stores) -> None:
    zombie, successor = Host(stores), Host(stores)
    zombie.take(*funded("ann", 100))
    successor.take(withdraw(amount_sat=30))
    assert zombie.verdicts(poison("ann")) == [("failed", "unknown_message")]
    assert keys(stores) == {"ann": "parked"}
    assert balance(stores, "ann") == 70


def test_a_crash_after_the_commit_of_a_release_doubles_nothing(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    host.take(deposit(deposit_id="d2", amount_sat=5))
    breaks = True

    class Breaking(Wrapped):
        def commit(self) -> None:
            self.inner.commit()
            if breaks:
                raise StorageUnavailableError("the connection broke while the commit was under way")

    stores.operate("accounting", "ann", KeyState.RELEASED)
    unlucky = Host(stores, wrap=Breaking)
    with pytest.raises(StorageUnavailableError):
        unlucky.actor.release("accounting", ["ann"])
    breaks = False
    assert unlucky.actor.release("accounting", ["ann"]) == []
    assert (keys(stores), balance(stores, "ann")) == ({}, 105)


def test_data_that_no_parser_takes_can_wait(stores: Stores) -> None:
    host = Host(stores)
    broken = msgspec.structs.replace(poison("ann"), name="accounting.deposit", data=b'\x00\xff{"')
    assert host.verdicts(broken) == [("failed", "malformed")]
    [waits] = stores.run(stores.outbox_reader("accounting").parking.waiting(COMMANDS, "ann", 1))
    assert waits == broken
