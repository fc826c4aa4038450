"""Whatever is wrong with one command or one instance, its neighbours go on, on both kinds of stores and with either
application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from spark_actors.kernel.decisions import Verdict
from spark_actors.messaging.envelope import pack, unpack_replies
from spark_actors.messaging.telemetry import CommandsRefused, TurnTaken
from spark_actors.messaging.unit_of_work import Unreadable, Versioned
from tests.contracts.test_parked_commands import bobs, keys, letters, poison, release, waiting
from tests.contracts.test_turns import Host, Wrapped, balance, sent
from tests.fixtures.business import Business, with_each_business
from tests.fixtures.stores import Stores

pytestmark = with_each_business


class Repository:
    """Gives one instance as one that cannot be read, as long as it is spoilt."""

    def __init__(self, inner: Any, spoilt: set[str]) -> None:
        self._inner, self._spoilt = inner, spoilt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def load(self, keys: Sequence[str]) -> Mapping[str, Versioned[Any]]:
        loaded: dict[str, Versioned[Any]] = dict(self._inner.load(keys))
        for key in self._spoilt.intersection(loaded):
            loaded[key] = Versioned(Unreadable(ValueError("no status 'gone'")), loaded[key].version)
        return loaded


def with_spoilt(spoilt: set[str]) -> Any:
    class Spoilt(Wrapped):
        @property
        def repository(self) -> Repository:
            return Repository(self.inner.repository, spoilt)

    return Spoilt


def test_an_instance_that_cannot_be_read_parks_its_key_and_no_other(stores: Stores, business: Business) -> None:
    Host(stores).take(*business.opened("ann", 100), *business.opened("bob", 1))
    spoilt = {"ann"}
    host = Host(stores, wrap=with_spoilt(spoilt))
    verdicts = host.verdicts(
        bobs(business, 2),
        sent(business.less("ann", "w1", 1), "w"),
        sent(business.more("ann", "d", 100), "d"),
        bobs(business, 3),
    )
    assert verdicts == [
        ("done", ""),
        ("failed", "state_unreadable_ValueError"),
        ("parked", "key_parked"),
        ("done", ""),
    ]
    assert (balance(stores, "bob"), keys(stores), waiting(stores, "ann")) == (3, {"ann": "parked"}, ["w", "d"])
    assert [letter.reason for letter in letters(stores)] == ["state_unreadable_ValueError"]
    spoilt.clear()
    release(stores, host, "ann")
    assert (balance(stores, "ann"), keys(stores)) == (199, {})


def test_what_raises_in_the_store_for_one_key_is_found_by_halves(stores: Stores, business: Business) -> None:
    class Broken(Repository):
        def load(self, keys: Sequence[str]) -> Mapping[str, Versioned[Any]]:
            if "ann" in keys:
                raise RuntimeError("a bug in reading")
            loaded: Mapping[str, Versioned[Any]] = self._inner.load(keys)
            return loaded

    class Spoilt(Wrapped):
        @property
        def repository(self) -> Repository:
            return Broken(self.inner.repository, set())

    Host(stores).take(*business.opened("ann", 100), *business.opened("bob", 1))
    host = Host(stores, wrap=Spoilt)
    verdicts = host.verdicts(
        bobs(business, 2), sent(business.less("ann", "w1", 1), "w"), bobs(business, 3), bobs(business, 4)
    )
    assert verdicts == [("done", ""), ("failed", "turn_raised_RuntimeError"), ("done", ""), ("done", "")]
    assert (balance(stores, "bob"), waiting(stores, "ann")) == (4, ["w"])


@pytest.mark.parametrize("key", ["k" * 201, "k" * 3_000, "nul\0", ""])
def test_a_key_that_no_instance_can_have_is_refused_and_holds_up_nobody(
    stores: Stores, business: Business, key: str
) -> None:
    odd = msgspec.structs.replace(sent(business.more("x", "d1", 100), "odd"), key=key)
    host = Host(stores)
    for _ in range(2):
        assert host.verdicts(*business.opened("bob", 1), odd) == [
            ("done", ""),
            ("done", ""),
            ("rejected", "invalid_key"),
        ]
    assert (keys(stores), letters(stores)) == ({}, [])


def test_what_kills_its_host_is_buried_unread_and_its_key_waits(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), *business.opened("bob", 1))
    deadly = sent(business.more("ann", "deadly", 100), "deadly")
    [reply] = unpack_replies(host.actor.bury(business.context, pack([deadly]), 0))
    assert (reply.verdict, reply.reason) == (Verdict.FAILED, "killed_its_process")
    assert host.verdicts(sent(business.more("ann", "later", 100), "later"), bobs(business, 2)) == [
        ("parked", "key_parked"),
        ("done", ""),
    ]
    assert (keys(stores), waiting(stores, "ann")) == ({"ann": "parked"}, ["deadly", "later"])
    assert [letter.reason for letter in letters(stores)] == ["killed_its_process"]


def test_what_is_to_be_buried_and_was_handled_after_all_answers_as_it_ended(stores: Stores, business: Business) -> None:
    host = Host(stores)
    done = sent(business.more("ann", "d", 100), "d")
    host.take(*business.opened("ann", 100), done)
    [reply] = unpack_replies(host.actor.bury(business.context, pack([done]), 0))
    assert (reply.verdict, keys(stores), balance(stores, "ann")) == (Verdict.DONE, {}, 200)


def test_what_is_to_be_buried_behind_a_key_that_waits_keeps_its_place(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), poison(business, "ann"))
    [reply] = unpack_replies(host.actor.bury(business.context, pack([sent(business.more("ann", "d", 100), "d")]), 0))
    assert (reply.verdict, waiting(stores, "ann")) == (Verdict.PARKED, ["poison-ann-1", "d"])


def test_an_id_that_was_used_for_something_else_is_counted_as_refused(stores: Stores, business: Business) -> None:
    host = Host(stores)
    first, other = (
        msgspec.structs.replace(sent(business.more("ann", name, 100), "m"), sender="user ann")
        for name in ("one", "two")
    )
    host.take(*business.opened("ann", 100), first, other)
    host.take(other, first)
    assert [event.reason for event in host.told if isinstance(event, CommandsRefused)] == ["id_reused"] * 2
    taken = [event for event in host.told if isinstance(event, TurnTaken)]
    assert [(event.commands, event.duplicates) for event in taken] == [(3, 0), (0, 1)]


def test_what_comes_again_is_counted_as_that_and_not_as_handled(stores: Stores, business: Business) -> None:
    host = Host(stores)
    commands = [*business.opened("ann", 100), business.less("ann", "w1", 500)]
    host.take(*commands)
    host.take(*commands, business.more("ann", "new", 100), business.more("ann", "new", 100))
    first, second = (event for event in host.told if isinstance(event, TurnTaken))
    assert (sum(first.outcomes.values()), first.duplicates) == (3, 0)
    assert (second.outcomes, second.duplicates) == ({(business.more_name, Verdict.DONE): 1}, 4)
    assert second.commands == 1
