"""The contract of ParkedEvents: what a subscriber cannot take waits durably, in order, until its key is free."""

from __future__ import annotations

from datetime import timedelta

import pytest

from spark_actors.kernel.errors import KeyParkedError, StaleVersionError
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KeyState, ParkedEvents
from tests.fixtures.aggregates import NOW
from tests.fixtures.letters import a_letter
from tests.fixtures.stores import Async, Stores


def an_envelope(message_id: str, key: str = "key") -> Envelope:
    return Envelope(message_id, "auth.account-registered", 1, key, b'{"a": 1}', "story", "cause", NOW, 7)


@pytest.fixture
def parking(stores: Stores) -> ParkedEvents:
    return stores.outbox_reader("auth").parking


def waiting(run: Async, parking: ParkedEvents, key: str = "key") -> list[str]:
    return [envelope.message_id for envelope in run(parking.waiting("dashboard", key, 100))]


def test_what_is_buried_is_the_first_that_waits_for_its_key(stores: Stores, run: Async, parking: ParkedEvents) -> None:
    for _ in range(2):
        run(parking.bury(a_letter("one"), an_envelope("one")))
    run(parking.park("dashboard", [an_envelope("two"), an_envelope("three")]))
    run(parking.park("dashboard", [an_envelope("two"), an_envelope("four")]))
    assert waiting(run, parking) == ["one", "two", "three", "four"]
    assert run(parking.waiting("dashboard", "key", 1)) == [an_envelope("one")]
    assert run(stores.dead_letters("auth").count()) == 1
    assert run(parking.keys()) == [("dashboard", "key", "parked")]


def test_nothing_is_parked_if_one_of_the_keys_is_free(run: Async, parking: ParkedEvents) -> None:
    run(parking.bury(a_letter("one"), an_envelope("one")))
    with pytest.raises(StaleVersionError):
        run(parking.park("dashboard", [an_envelope("two"), an_envelope("x", "free")]))
    with pytest.raises(StaleVersionError):
        run(parking.park("accounting", [an_envelope("two")]))
    assert waiting(run, parking) == ["one"]


def test_a_key_is_free_once_it_is_released_and_nothing_waits(stores: Stores, run: Async, parking: ParkedEvents) -> None:
    run(parking.bury(a_letter("one"), an_envelope("one")))
    with pytest.raises(KeyParkedError):
        run(parking.close("dashboard", "key"))
    stores.operate("auth", "key", KeyState.RELEASED, subscriber="dashboard")
    assert not run(parking.close("dashboard", "key"))
    run(parking.take_out("dashboard", ["one"]))
    assert run(parking.close("dashboard", "key"))
    assert run(parking.keys()) == []


def test_a_key_that_an_operator_has_paused_stays_paused_when_a_message_of_it_fails(
    stores: Stores, run: Async, parking: ParkedEvents
) -> None:
    stores.operate("auth", "key", KeyState.PAUSED, subscriber="dashboard")
    run(parking.bury(a_letter("one"), an_envelope("one")))
    assert [key.state for key in run(parking.keys())] == ["paused"]


def test_a_released_key_whose_first_message_fails_again_is_parked_again(
    stores: Stores, run: Async, parking: ParkedEvents
) -> None:
    run(parking.bury(a_letter("one"), an_envelope("one")))
    run(parking.park("dashboard", [an_envelope("two")]))
    stores.operate("auth", "key", KeyState.RELEASED, subscriber="dashboard")
    run(parking.bury(a_letter("one"), an_envelope("one")))
    assert [key.state for key in run(parking.keys())] == ["parked"]
    assert waiting(run, parking) == ["one", "two"]


def test_what_waits_is_summed_up_by_cause(stores: Stores, run: Async, parking: ParkedEvents) -> None:
    run(parking.bury(a_letter("one"), an_envelope("one")))
    stores.operate("auth", "c", KeyState.PAUSED)
    groups = {(group.subscriber, group.state, group.cause): group.keys for group in run(parking.summary())}
    assert groups == {("dashboard", "parked", "poison"): 1, ("commands", "paused", "a test"): 1}
    assert all(group.oldest_age >= timedelta() for group in run(parking.summary()))


def test_a_revision_changes_with_each_key_that_is_parked_released_or_freed(
    stores: Stores, run: Async, parking: ParkedEvents
) -> None:
    seen = [run(parking.revision()), run(parking.revision())]
    assert seen[0] == seen[1]
    run(parking.bury(a_letter("one"), an_envelope("one")))
    seen.append(run(parking.revision()))
    stores.operate("auth", "other", KeyState.PAUSED, subscriber="dashboard")
    seen.append(run(parking.revision()))
    stores.operate("auth", "key", KeyState.RELEASED, subscriber="dashboard")
    seen.append(run(parking.revision()))
    run(parking.take_out("dashboard", ["one"]))
    run(parking.close("dashboard", "key"))
    seen.append(run(parking.revision()))
    assert len(set(seen)) == 5
    assert seen[-1].keys == 1


def test_keys_of_commands_that_are_released_are_told_apart(stores: Stores, run: Async, parking: ParkedEvents) -> None:
    for number in range(5):
        stores.operate("auth", f"key-{number}", KeyState.RELEASED)
    stores.operate("auth", "paused", KeyState.PAUSED)
    stores.operate("auth", "event", KeyState.RELEASED, subscriber="dashboard")
    assert len(run(parking.released(3))) == 3
    assert sorted(run(parking.released(9))) == [f"key-{number}" for number in range(5)]


def test_however_many_keys_are_parked_all_are_found(
    stores: Stores, run: Async, parking: ParkedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_actors.persistence.tuning.PARKED_KEYS_AT_ONCE", 3)
    for number in range(10):
        stores.operate("auth", f"key-{number}", KeyState.PAUSED, subscriber="ab"[number % 2])
    assert len(set(run(parking.keys()))) == 10
