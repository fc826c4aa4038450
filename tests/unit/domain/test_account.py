"""The rules of accounts, deposits and withdrawals."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.accounting.account import LIGHTNING, ROUTING, Account, AccountStatus, Movement, MovementKind
from domain.accounting.context import context
from domain.accounting.messages import (
    AccountFoundOpen,
    AccountOpened,
    Deposited,
    DepositRejected,
    FeeReserveReturned,
    OpenAccount,
    Purpose,
    Reason,
    RefundWithdrawal,
    ReturnFeeReserve,
    Withdraw,
    WithdrawalAccepted,
    WithdrawalRefunded,
    WithdrawalRefundRejected,
    WithdrawalRejected,
)
from domain.shared.money import SUPPLY_SAT, Satoshis
from spark_actors.kernel.decisions import Decision, Verdict
from spark_actors.kernel.messages import Event
from tests.unit.domain.builders import deposit, funded, withdraw
from tests.unit.domain.world import NOON, World

OPEN = OpenAccount(account_id="ann")


def refund(**fields: Any) -> RefundWithdrawal:
    values = {"account_id": "ann", "withdrawal_id": "w1", "amount_sat": 100, "reason": "no_route"}
    return RefundWithdrawal(**{**values, **fields})


def returned(**fields: Any) -> ReturnFeeReserve:
    return ReturnFeeReserve(
        **{"account_id": "ann", "withdrawal_id": "w1", "fee_reserve_sat": 5, "fee_sat": 2, **fields}
    )


def test_an_account_is_opened_empty() -> None:
    world = World().run(OPEN)
    assert world.account("ann") == Account("ann", 0, AccountStatus.OPEN)
    assert world.events == [AccountOpened(account_id="ann", balance_sat=0)]


def test_an_account_is_opened_once() -> None:
    world = World().run(OPEN)
    assert world.send(OPEN).reason == Reason.ALREADY_OPEN
    assert world.events[1:] == [AccountFoundOpen(account_id="ann")]


@pytest.mark.parametrize("account_id", ["@lightning", "@in-transit", "a b"])
def test_the_systems_own_accounts_are_nobodys(account_id: str) -> None:
    world = World()
    assert world.send(OpenAccount(account_id=account_id)).reason == Reason.INVALID_ACCOUNT_ID
    assert world.send(deposit(account_id=account_id)).reason == Reason.INVALID_ACCOUNT_ID
    assert not world.states
    assert not world.ledger


def test_a_deposit_is_a_movement_from_the_lightning_network() -> None:
    world = World().run(OPEN, deposit(amount_sat=100))
    assert world.account("ann").balance_sat == 100
    assert world.ledger["deposit/d1"] == Movement(
        "deposit/d1", LIGHTNING, "ann", Satoshis(100), MovementKind.MANUAL_DEPOSIT, NOON
    )
    assert world.said(Deposited) == [Deposited(account_id="ann", deposit_id="d1", amount_sat=100, balance_sat=100)]


def test_a_deposit_that_comes_before_the_account_is_kept_and_can_be_spent_once_it_is_opened() -> None:
    world = World().run(deposit(amount_sat=100))
    assert world.send(withdraw(amount_sat=60)).reason == Reason.UNKNOWN_ACCOUNT
    world.run(OPEN, withdraw(withdrawal_id="w2", amount_sat=60))
    assert world.account("ann").balance_sat == 40
    assert world.said(AccountOpened)[0].balance_sat == 100


@pytest.mark.parametrize("message_id", ["first", "another"])
def test_a_deposit_is_credited_once_under_whatever_message_it_comes(message_id: str) -> None:
    world = World()
    world.send(deposit(), "first")
    world.send(deposit(account_id="bob"), message_id)
    assert world.account("ann").balance_sat == 100
    assert ("accounting", "bob") not in world.states


def test_a_deposit_under_a_used_id_is_refused() -> None:
    world = World().run(deposit())
    assert world.send(deposit(amount_sat=7, purpose="x")).reason == Reason.DUPLICATE_DEPOSIT
    assert world.said(DepositRejected) == [
        DepositRejected(account_id="ann", deposit_id="d1", amount_sat=7, purpose="x", reason=Reason.DUPLICATE_DEPOSIT)
    ]


@pytest.mark.parametrize("amount_sat", [0, -1, SUPPLY_SAT + 1, 2**63, -(2**63) - 1])
def test_an_amount_must_be_positive_and_exist(amount_sat: int) -> None:
    world = World().run(*funded("ann", SUPPLY_SAT))
    for command in (deposit(amount_sat=amount_sat), withdraw(amount_sat=amount_sat), refund(amount_sat=amount_sat)):
        outcome = world.send(command)
        assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, Reason.INVALID_AMOUNT)
    assert world.account("ann").balance_sat == SUPPLY_SAT


def test_nobody_can_own_more_than_there_will_ever_be() -> None:
    world = World().run(deposit(amount_sat=SUPPLY_SAT - 5))
    assert world.send(deposit(deposit_id="d2", amount_sat=6)).reason == Reason.BALANCE_LIMIT
    assert world.send(deposit(deposit_id="d3", amount_sat=5)).verdict is Verdict.DONE


def test_a_withdrawal_debits_the_account() -> None:
    world = World().run(*funded("ann", 100), withdraw(amount_sat=100))
    assert world.account("ann").balance_sat == 0
    assert world.said(WithdrawalAccepted) == [
        WithdrawalAccepted(account_id="ann", withdrawal_id="w1", amount_sat=100, balance_sat=0)
    ]


def test_a_withdrawal_of_more_than_the_balance_is_refused() -> None:
    world = World().run(*funded("ann", 99))
    assert world.send(withdraw(amount_sat=100)).reason == Reason.INSUFFICIENT_FUNDS
    assert world.account("ann").balance_sat == 99
    assert world.said(WithdrawalRejected) == [
        WithdrawalRejected(account_id="ann", withdrawal_id="w1", amount_sat=100, reason=Reason.INSUFFICIENT_FUNDS)
    ]


def test_a_withdrawal_from_an_account_that_nobody_opened_is_refused() -> None:
    assert World().send(withdraw()).reason == Reason.UNKNOWN_ACCOUNT


def test_a_withdrawal_under_a_used_id_is_refused() -> None:
    world = World().run(*funded("ann", 100), withdraw(amount_sat=10))
    assert world.send(withdraw(amount_sat=10)).reason == Reason.DUPLICATE_WITHDRAWAL
    assert world.account("ann").balance_sat == 90


def test_a_failed_withdrawal_is_refunded_once() -> None:
    world = World().run(*funded("ann", 100), withdraw(), refund())
    assert world.account("ann").balance_sat == 100
    assert world.said(WithdrawalRefunded)[0].balance_sat == 100
    assert world.send(refund()).reason == Reason.ALREADY_REFUNDED
    assert world.account("ann").balance_sat == 100


@pytest.mark.parametrize("other", [{"amount_sat": 1_000}, {"amount_sat": 99}, {"account_id": "bob"}])
def test_a_refund_is_of_what_was_debited_and_to_whom(other: dict[str, Any]) -> None:
    world = World().run(*funded("ann", 100), *funded("bob", 5), withdraw())
    assert world.send(refund(**other)).reason == Reason.NOT_THIS_WITHDRAWAL
    assert (world.account("ann").balance_sat, world.account("bob").balance_sat) == (0, 5)
    assert world.send(refund()).verdict is Verdict.DONE


def test_what_was_never_debited_is_not_refunded() -> None:
    world = World().run(*funded("ann", 100))
    assert world.send(refund()).reason == Reason.UNKNOWN_WITHDRAWAL
    assert world.send(refund(account_id="bob")).reason == Reason.UNKNOWN_ACCOUNT
    assert [event.reason for event in world.said(WithdrawalRefundRejected)] == [
        Reason.UNKNOWN_WITHDRAWAL,
        Reason.UNKNOWN_ACCOUNT,
    ]


def test_a_withdrawal_sets_a_reserve_for_the_fee_aside() -> None:
    world = World().run(*funded("ann", 105), withdraw(fee_reserve_sat=5))
    assert world.account("ann").balance_sat == 0
    assert world.ledger["withdrawal/w1/reserve"] == Movement(
        "withdrawal/w1/reserve", "ann", ROUTING, Satoshis(5), MovementKind.FEE_RESERVE, NOON
    )
    assert world.said(WithdrawalAccepted) == [
        WithdrawalAccepted(account_id="ann", withdrawal_id="w1", amount_sat=100, fee_reserve_sat=5, balance_sat=0)
    ]


def test_a_withdrawal_whose_reserve_the_balance_does_not_cover_is_refused_as_a_whole() -> None:
    world = World().run(*funded("ann", 104))
    assert world.send(withdraw(fee_reserve_sat=5)).reason == Reason.INSUFFICIENT_FUNDS
    assert world.account("ann").balance_sat == 104
    assert world.said(WithdrawalRejected)[0].fee_reserve_sat == 5


def test_what_a_route_leaves_of_the_reserve_comes_back_once() -> None:
    world = World().run(*funded("ann", 105), withdraw(fee_reserve_sat=5), returned(purpose="p"))
    assert (world.account("ann").balance_sat, world.ledger_balances()[ROUTING]) == (3, 2)
    assert world.ledger["withdrawal/w1/change"] == Movement(
        *("withdrawal/w1/change", ROUTING, "ann", Satoshis(3), MovementKind.FEE_CHANGE, NOON, "withdrawal/w1/reserve"),
        fee_sat=2,
    )
    assert world.said(FeeReserveReturned) == [
        FeeReserveReturned(account_id="ann", withdrawal_id="w1", fee_sat=2, returned_sat=3, balance_sat=3, purpose="p")
    ]
    assert world.send(returned()).reason == Reason.ALREADY_RETURNED
    assert world.send(refund(fee_reserve_sat=5)).reason == Reason.ALREADY_REFUNDED
    assert world.account("ann").balance_sat == 3


@pytest.mark.parametrize("other", [{"fee_reserve_sat": 6}, {"fee_reserve_sat": 4}, {"account_id": "bob"}])
def test_what_comes_back_of_a_reserve_is_of_the_one_that_was_set_aside_and_to_whom(other: dict[str, Any]) -> None:
    world = World().run(*funded("ann", 105), *funded("bob", 5), withdraw(fee_reserve_sat=5))
    assert world.send(returned(**other)).reason == Reason.NOT_THIS_WITHDRAWAL
    assert world.ledger_balances()[ROUTING] == 5


@pytest.mark.parametrize(
    "other", [{"fee_sat": 5}, {"fee_sat": 6}, {"fee_sat": -1}, {"fee_reserve_sat": SUPPLY_SAT + 1}]
)
def test_at_least_a_satoshi_and_at_most_the_reserve_comes_back(other: dict[str, Any]) -> None:
    world = World().run(*funded("ann", 105), withdraw(fee_reserve_sat=5))
    assert world.send(returned(**other)).reason == Reason.INVALID_AMOUNT
    assert world.ledger_balances()[ROUTING] == 5


def test_of_what_set_no_reserve_aside_nothing_comes_back() -> None:
    world = World().run(*funded("ann", 100), withdraw())
    assert world.send(returned()).reason == Reason.UNKNOWN_WITHDRAWAL
    assert world.send(refund(fee_reserve_sat=5)).reason == Reason.UNKNOWN_WITHDRAWAL
    assert world.send(returned(account_id="bob")).reason == Reason.UNKNOWN_ACCOUNT
    assert world.account("ann").balance_sat == 0


def test_a_failed_withdrawal_is_refunded_with_its_reserve() -> None:
    world = World().run(*funded("ann", 105), withdraw(fee_reserve_sat=5), refund(fee_reserve_sat=5))
    assert (world.account("ann").balance_sat, world.ledger_balances()[ROUTING]) == (105, 0)
    assert world.said(WithdrawalRefunded)[0].balance_sat == 105
    assert world.send(returned()).reason == Reason.ALREADY_RETURNED


@pytest.mark.parametrize("fee_reserve_sat", [-1, SUPPLY_SAT + 1])
def test_a_reserve_must_exist(fee_reserve_sat: int) -> None:
    world = World().run(*funded("ann", 105))
    for command in (withdraw(fee_reserve_sat=fee_reserve_sat), refund(fee_reserve_sat=fee_reserve_sat)):
        assert world.send(command).reason == Reason.INVALID_AMOUNT


def decided(account: Account, at: datetime, most_a_day_sat: int = 100, **fields: Any) -> Decision[Account]:
    decide = context(most_a_day_sat).commands[Withdraw].existing
    return decide(account, withdraw(**{"purpose": Purpose.INVOICE, **fields}), at)


def test_an_account_withdraws_so_much_a_day_and_no_more() -> None:
    account = Account("ann", 1_000, AccountStatus.OPEN)
    first = decided(account, NOON, amount_sat=60, fee_reserve_sat=5).state
    assert first is not None
    assert decided(first, NOON, amount_sat=41).outcome.reason == Reason.DAY_LIMIT
    assert decided(first, NOON, amount_sat=41).state is None
    second = decided(first, NOON, amount_sat=40).state
    assert second is not None
    assert decided(second, NOON, amount_sat=1).outcome.reason == Reason.DAY_LIMIT
    assert decided(second, NOON + timedelta(hours=12), amount_sat=100).outcome.verdict is Verdict.DONE


def test_what_is_withdrawn_by_hand_is_not_limited_and_does_not_count() -> None:
    account = Account("ann", 1_000, AccountStatus.OPEN)
    after = decided(account, NOON, amount_sat=500, purpose="").state
    assert after == Account("ann", 500, AccountStatus.OPEN)


def test_what_has_failed_counts_towards_the_day() -> None:
    world = World().run(*funded("ann", 100), withdraw(purpose=Purpose.INVOICE), refund(purpose=Purpose.INVOICE))
    assert (world.account("ann").drawn_on, world.account("ann").drawn_sat) == (NOON.date(), 100)


@pytest.mark.parametrize("bad", ["", " ", "a b", "a\0", "x" * 201])
def test_a_movement_needs_an_id_that_the_ledger_can_keep(bad: str) -> None:
    world = World().run(*funded("ann", 100))
    for command in (deposit(deposit_id=bad), withdraw(withdrawal_id=bad)):
        assert world.send(command).reason == Reason.INVALID_ID
    refused = world.send(refund(withdrawal_id=bad)).reason
    assert refused == (Reason.UNKNOWN_WITHDRAWAL if " " in bad else Reason.INVALID_ID)  # nothing was debited under it


def test_the_events_repeat_the_purpose_of_the_command() -> None:
    world = World().run(
        OpenAccount(account_id="ann", purpose="p"),
        deposit(purpose="p"),
        withdraw(purpose="p"),
        refund(purpose="p"),
    )
    said: list[Event] = world.events
    assert [vars(event)["purpose"] for event in said] == ["p"] * 4
