"""The contract of DeadLetters: what nobody could take is kept, once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fixtures.aggregates import NOW
from tests.fixtures.letters import a_letter
from tests.fixtures.stores import Async, Stores


@pytest.mark.parametrize("schema", ["auth", "accounting", "crowdfunding", "bitcoin", "ingress"])
def test_a_letter_is_kept_as_it_is(stores: Stores, run: Async, schema: str) -> None:
    letters = stores.dead_letters(schema)
    run(letters.bury([a_letter("one")]))
    assert run(letters.newest(10)) == [a_letter("one")]
    assert run(letters.count()) == 1


def test_burying_nothing_is_harmless(stores: Stores, run: Async) -> None:
    run(stores.dead_letters("ingress").bury([]))
    assert run(stores.dead_letters("ingress").count()) == 0


def test_burying_twice_keeps_one_letter(stores: Stores, run: Async) -> None:
    letters = stores.dead_letters("ingress")
    run(letters.bury([a_letter("one"), a_letter("one")]))
    run(letters.bury([a_letter("one", died_at=NOW + timedelta(hours=1))]))
    assert run(letters.count()) == 1


def test_every_subscriber_has_a_letter_of_its_own(stores: Stores, run: Async) -> None:
    letters = stores.dead_letters("auth")
    run(letters.bury([a_letter("one", subscriber="dashboard"), a_letter("one", subscriber="accounting")]))
    assert run(letters.count()) == 2


def test_messages_without_an_id_are_told_apart_by_their_content(stores: Stores, run: Async) -> None:
    letters = stores.dead_letters("ingress")
    run(letters.bury([a_letter("", body=b"one"), a_letter("", body=b"two"), a_letter("", body=b"one")]))
    assert run(letters.count()) == 2


def test_the_newest_come_first(stores: Stores, run: Async) -> None:
    letters = stores.dead_letters("ingress")
    run(letters.bury([a_letter(f"{hours}", died_at=NOW + timedelta(hours=hours)) for hours in range(5)]))
    assert [letter.message_id for letter in run(letters.newest(2))] == ["4", "3"]
