"""The pure parts of the peers' benchmark; the peers themselves are an optional extra and are not needed here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.lab.bench.peers import LIBRARIES, available
from tests.lab.bench.peers.common import (
    AMOUNT_SAT,
    Address,
    Sizes,
    address_of,
    donations,
    hot_deposits,
    lost_or_doubled,
    rate,
    received,
    uniform_deposits,
)

SIZES = Sizes(uniform_commands=7, accounts=3, hot_commands=4, hot_history=0, donations=10, donors=4, campaigns=2)


def test_only_peers_whose_library_is_installed_are_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "dbos_transact", "a_library_that_nobody_has")
    monkeypatch.setitem(LIBRARIES, "eventsourcing_app", "json")
    assert available() == ["tests.lab.bench.peers.eventsourcing_app"]


def test_every_module_that_may_be_available_exists() -> None:
    assert all(importlib.util.find_spec(f"tests.lab.bench.peers.{module}") for module in LIBRARIES)


def test_asking_what_is_available_imports_none_of_the_libraries() -> None:
    script = (
        "import sys; from tests.lab.bench import peers; peers.available();"
        "sys.exit(any(library in sys.modules for library in peers.LIBRARIES.values()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_the_commands_have_the_asked_number_and_ids_of_their_own() -> None:
    deposits, hot, given = uniform_deposits(SIZES), hot_deposits(SIZES, "hot"), donations(SIZES)
    assert (len(deposits), len(hot), len(given)) == (7, 4, 10)
    assert len({c.deposit_id for c in [*deposits, *hot]} | {d.donation_id for d in given}) == 21


def test_the_commands_are_spread_over_all_accounts_donors_and_campaigns() -> None:
    assert {c.account for c in uniform_deposits(SIZES)} == {"account-0", "account-1", "account-2"}
    assert {c.account for c in hot_deposits(SIZES, "hot")} == {"hot"}
    assert len({d.donor for d in donations(SIZES)}) == 4
    assert len({d.campaign for d in donations(SIZES)}) == 2


def test_each_account_must_have_received_the_amount_once_for_each_command() -> None:
    assert received(["a", "b", "a"]) == {"a": 2 * AMOUNT_SAT, "b": AMOUNT_SAT}


@pytest.mark.parametrize(
    ("actual", "wrong"),
    [
        ({"a": 2 * AMOUNT_SAT, "b": AMOUNT_SAT}, 0),
        ({"a": AMOUNT_SAT, "b": AMOUNT_SAT}, 1),
        ({"a": 4 * AMOUNT_SAT, "b": AMOUNT_SAT}, 2),
        ({"a": AMOUNT_SAT, "b": 2 * AMOUNT_SAT}, 2),
        ({"a": 2 * AMOUNT_SAT - 1, "b": AMOUNT_SAT}, 1),
        ({"a": 2 * AMOUNT_SAT}, 1),
        ({"a": 2 * AMOUNT_SAT, "b": AMOUNT_SAT, "c": AMOUNT_SAT}, 1),
    ],
)
def test_lost_and_doubled_movements_are_counted_in_both_directions(actual: dict[str, int], wrong: int) -> None:
    assert lost_or_doubled({"a": 2 * AMOUNT_SAT, "b": AMOUNT_SAT}, actual) == wrong


def test_the_rate_runs_from_the_first_begin_to_the_last_end() -> None:
    assert rate(100, [(10.0, 12.0), (11.0, 15.0)]) == pytest.approx(20.0)
    assert rate(100, [(10.0, 10.0)]) == 0.0


@pytest.mark.parametrize(
    ("dsn", "address"),
    [
        (
            "postgresql://spark:p%40ss@/peer%201?host=%2Frun%2Fpg&port=5433",
            Address("/run/pg", "5433", "spark", "p@ss", "peer 1"),
        ),
        ("postgresql://me:secret@db.example:6000/peer", Address("db.example", "6000", "me", "secret", "peer")),
        ("postgresql://me@db.example/peer", Address("db.example", "5432", "me", "", "peer")),
        (
            "user=spark password='p\\'s s' dbname=peer host=/run/pg",
            Address("/run/pg", "5432", "spark", "p's s", "peer"),
        ),
    ],
)
def test_an_address_is_read_from_either_form_of_a_dsn(dsn: str, address: Address) -> None:
    assert address_of(dsn) == address
