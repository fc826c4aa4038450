"""A key on which somebody else holds a lock waits, and nobody else does."""

from __future__ import annotations

import psycopg
import pytest

from spark_actors.kernel.errors import RowLockedError
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.telemetry import TurnRetried, TurnTaken
from tests.contracts.test_turns import Host, balance, sent
from tests.fixtures.business import Business, with_each_business
from tests.fixtures.stores import PostgresStores, Stores
from tests.unit.domain.builders import ARGON2, register

LOCKED = ("locked", "row_locked")
DONE = ("done", "")


@with_each_business
def test_commands_of_a_locked_key_are_not_done_and_its_neighbours_are(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), *business.opened("bob", 100), *business.opened("cid", 100))
    batch = [
        business.more(account, f"{account}-{number}", 100) for number in (1, 2) for account in ("ann", "bob", "cid")
    ]
    with stores.locked(business.context, "bob"):
        assert host.verdicts(*batch) == [DONE, LOCKED, DONE] * 2
    assert host.verdicts(*batch) == [DONE] * 6
    assert balance(stores, "bob") == balance(stores, "ann") > 100


@with_each_business
def test_what_was_not_done_does_not_count_as_taken(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    with stores.locked(business.context, "ann"):
        host.take(business.more("ann", "more", 100))
    counted = [event for event in host.told if isinstance(event, TurnTaken)]
    assert sum(counted[-1].outcomes.values()) == 0


@with_each_business
def test_a_released_key_that_is_locked_stays_as_it_was(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    assert host.verdicts(waiting := sent(business.more("ann", "waiting", 100)))[0][0] == "parked"
    stores.operate(business.context, "ann", KeyState.RELEASED)
    with stores.locked(business.context, "ann"), pytest.raises(RowLockedError):
        host.actor.release(business.context, ["ann"])
    before = balance(stores, "ann")
    host.actor.release(business.context, ["ann"])
    assert host.verdicts(waiting) == [DONE]
    assert balance(stores, "ann") > before


@with_each_business
def test_neighbours_do_not_wait_once_more_for_what_was_met_locked(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), *business.opened("bob", 100))
    with stores.locked(business.context, "bob"):
        host.take(business.more("bob", "first", 100))
        for number in range(5):
            mixed = [business.more(account, f"{account}-{number}", 100) for account in ("ann", "bob")]
            assert host.verdicts(*mixed) == [DONE, LOCKED]
    waits = [event for event in host.told if isinstance(event, TurnRetried) and event.reason == "row_locked"]
    assert len(waits) == 1


def test_a_lock_that_no_row_shows_holds_up_its_own_key_alone(
    postgres_stores: PostgresStores, emptied_database: str
) -> None:
    """Somebody is about to make the very row that a command would make."""
    host = Host(postgres_stores)
    batch = [register(account_id=f"user-{number}", username=f"user_{number}") for number in range(5)]
    with psycopg.connect(emptied_database) as outsider:
        outsider.execute("INSERT INTO auth.users VALUES ('user-3', 1, 'other', %s, now())", (ARGON2,))
        expected = [LOCKED if command.account_id == "user-3" else DONE for command in batch]
        assert host.verdicts(*batch) == expected
        assert host.verdicts(*batch) == expected
        outsider.rollback()
    assert host.verdicts(*batch) == [DONE] * 5
