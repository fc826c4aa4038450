"""What an AggregateActor holds: so many instances, and so many bytes, the longest unused go first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spark_actors.actors.residents import INSTANCE_BYTES, Residents, size_of
from spark_actors.messaging.unit_of_work import Versioned
from tests.fixtures.aggregates import a_campaign, an_account


def held(residents: Residents, *keys: str) -> list[str]:
    return list(residents.find("crowdfunding", keys))


def keep(residents: Residents, key: str, state: Any) -> None:
    residents.keep("crowdfunding", {key: Versioned(state, 1)})


def long(key: str, characters: int, letter: str = "x") -> Any:
    return replace(a_campaign(key), description=letter * characters)


def test_long_texts_make_others_leave() -> None:
    residents = Residents(capacity=1_000, max_bytes=100_000)
    for number in range(200):
        keep(residents, f"c{number}", long(f"c{number}", 10_000))
    passivated = residents.passivate()
    left = residents.count("crowdfunding")
    assert (passivated["crowdfunding"], 5 < left < 10) == (200 - left, True)
    assert held(residents, *[f"c{number}" for number in range(200)]) == [f"c{n}" for n in range(200 - left, 200)]


def test_a_text_that_grows_counts_as_it_is_now_and_one_that_left_no_more() -> None:
    residents = Residents(capacity=10, max_bytes=30_000)
    keep(residents, "a", long("a", 10))
    keep(residents, "b", long("b", 10))
    keep(residents, "b", long("b", 9_000, "\N{SNOWMAN}"))
    residents.passivate()
    assert held(residents, "a", "b") == ["a", "b"]
    keep(residents, "b", long("b", 30_000))
    residents.passivate()
    assert held(residents, "a", "b") == ["b"]
    residents.forget("crowdfunding", ["b"])
    for number in range(5):
        keep(residents, f"c{number}", long(f"c{number}", 10))
    assert residents.passivate() == {}


def test_the_last_one_stays_however_large_it_is() -> None:
    residents = Residents(capacity=10, max_bytes=1_000)
    keep(residents, "a", long("a", 50_000))
    assert residents.passivate() == {}
    assert held(residents, "a") == ["a"]


def test_what_does_not_exist_takes_its_place_too() -> None:
    assert size_of(None) == INSTANCE_BYTES
    assert size_of(an_account("a")) < 2 * INSTANCE_BYTES
