"""Money that somebody moves is in the books with their name, and by hand with the reason, on both kinds of stores."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import psycopg
import pytest

from domain.accounting.messages import OpenAccount
from spark_actors.kernel.messages import Command
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.unit_of_work import OperatorAction
from spark_actors.persistence.operator_desk import OperatorDesk
from tests.contracts.test_parked_commands import release
from tests.contracts.test_turns import Host, balance, sent
from tests.fixtures.stores import MemoryStores, PostgresStores, Stores
from tests.unit.domain.builders import deposit, funded, withdraw

ROOT = "operator root"


def by_hand(command: Command, why: str = "an audit") -> Envelope:
    return msgspec.structs.replace(sent(command), sender=ROOT, why=why)


def books(stores: Stores) -> dict[str, str]:
    """Who sent what, by the movements' keys."""
    if isinstance(stores, MemoryStores):
        store: Any = stores._stores["accounting"]
        return {record.idempotency_key: who for record, who in zip(store.records, store.senders, strict=True)}
    assert isinstance(stores, PostgresStores)
    with psycopg.connect(stores._dsn) as connection:
        return dict(connection.execute("SELECT idempotency_key, sent_by FROM accounting.ledger").fetchall())


def actions(stores: Stores) -> list[tuple[Any, ...]]:
    """What was done by hand."""
    if isinstance(stores, MemoryStores):
        return [tuple(action) for action in stores._stores["accounting"].actions]
    assert isinstance(stores, PostgresStores)
    told = OperatorDesk({"accounting": stores._dsn}).actions("accounting", limit=100)
    return [tuple(action[name] for name in OperatorAction._fields) for action in reversed(told)]


def test_the_ledger_says_who_sent_a_movement_and_nothing_of_what_the_sagas_do(stores: Stores) -> None:
    Host(stores).take(*funded("ann", 100), by_hand(deposit(deposit_id="minted", amount_sat=5)))
    senders = {key: who for key, who in books(stores).items() if who}
    assert (len(books(stores)), list(senders.values())) == (2, [ROOT])
    assert "minted" in next(iter(senders))


def test_who_moves_money_by_hand_is_remembered_with_the_reason_and_what_came_of_it(stores: Stores) -> None:
    minted, missed = by_hand(deposit(deposit_id="m", amount_sat=5)), by_hand(withdraw(amount_sat=500), "a refund")
    Host(stores).verdicts(*funded("ann", 100), minted, missed)
    assert actions(stores) == [
        (ROOT, "an audit", "accounting.deposit", "ann", minted.message_id, f"done - {minted.data.decode()}"),
        (
            *(ROOT, "a refund", "accounting.withdraw", "ann", missed.message_id),
            f"rejected insufficient_funds {missed.data.decode()}",
        ),
    ]


def test_what_was_done_by_hand_is_told_command_by_command_the_newest_first(postgres_stores: PostgresStores) -> None:
    host, desk = Host(postgres_stores), OperatorDesk({"accounting": postgres_stores._dsn})
    host.take(*funded("ann", 100), *(by_hand(deposit(deposit_id=each, amount_sat=5)) for each in ("a", "b", "c")))
    host.take(by_hand(deposit(deposit_id='é"\\', amount_sat=5), 'a "word"'))
    told = desk.actions("accounting", limit=3)
    assert [(each["why"], each["subscriber"], each["key"]) for each in told] == [
        ('a "word"', "commands", "ann"),
        ("an audit", "commands", "ann"),
        ("an audit", "commands", "ann"),
    ]
    assert [json.loads(each["detail"].removeprefix("done - "))["deposit_id"] for each in told] == ['é"\\', "c", "b"]


def test_what_is_not_stored_leaves_no_trace_of_a_hand(stores: Stores) -> None:
    host = Host(stores)
    minted = by_hand(deposit(deposit_id="m", amount_sat=5))
    host.take(*funded("ann", 100), minted, minted)
    Host(stores).take(minted)
    assert (len(actions(stores)), balance(stores, "ann")) == (1, 105)


def test_a_reason_for_what_needs_none_is_no_action(stores: Stores) -> None:
    Host(stores).take(by_hand(OpenAccount(account_id="ann")))
    assert actions(stores) == []


def test_what_waited_is_still_by_whom_it_was_sent(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    host.take(by_hand(deposit(deposit_id="m", amount_sat=5)))
    assert actions(stores) == []
    release(stores, host, "ann")
    assert [(who, why) for who, why, *_ in actions(stores)] == [(ROOT, "an audit")]
    assert sorted(books(stores).values()) == ["", ROOT]


@pytest.mark.parametrize("sender", ["user ann", "lightning watcher"])
def test_a_movement_says_who_it_was_whatever_their_role(stores: Stores, sender: str) -> None:
    Host(stores).take(*funded("ann", 100), msgspec.structs.replace(sent(withdraw(amount_sat=1)), sender=sender))
    assert sender in books(stores).values()
