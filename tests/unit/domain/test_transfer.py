"""The rules of transfers: two steps on two accounts, and money in transit between them."""

from __future__ import annotations

from typing import Any

import pytest

from domain.accounting.account import IN_TRANSIT
from domain.accounting.messages import (
    CreditTransfer,
    Reason,
    RefundTransfer,
    TransferCreditRefused,
    TransferDebited,
    TransferRefunded,
    TransferRefundRejected,
    TransferRejected,
    TransferSucceeded,
)
from domain.accounting.sagas import refund_payer
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.decisions import Verdict
from tests.unit.domain.builders import deposit, funded, transfer
from tests.unit.domain.world import World


def credit(**fields: Any) -> CreditTransfer:
    return CreditTransfer(**{**vars(transfer()), **fields})


def refund(**fields: Any) -> RefundTransfer:
    return RefundTransfer(**{**vars(transfer()), "reason": "why", **fields})


GIVEN_BACK = (Reason.UNKNOWN_ACCOUNT, Reason.BALANCE_LIMIT)


def two_accounts() -> World:
    return World().run(*funded("ann", 100), *funded("bob", 10))


def balances(world: World) -> tuple[int, int, int]:
    return world.account("ann").balance_sat, world.account("bob").balance_sat, world.ledger_balances()[IN_TRANSIT]


def test_a_transfer_is_in_transit_before_it_arrives() -> None:
    world = two_accounts()
    assert world.send(transfer(amount_sat=40)).verdict is Verdict.DONE
    assert balances(world) == (60, 10, 40)
    assert balances(world.settle()) == (60, 50, 0)
    assert world.said(TransferSucceeded) == [TransferSucceeded(**vars(transfer()), balance_sat=50)]


def test_a_transfer_to_an_account_that_nobody_opened_is_refunded() -> None:
    world = two_accounts().run(deposit(account_id="eve"), transfer(to_account_id="eve"))
    assert balances(world) == (100, 10, 0)
    assert world.account("eve").balance_sat == 100
    assert [event.reason for event in world.said(TransferRefunded)] == [Reason.UNKNOWN_ACCOUNT]
    assert not world.said(TransferRejected)


def test_a_transfer_that_would_give_somebody_more_than_there_is_goes_back() -> None:
    world = World().run(*funded("ann", 100), *funded("bob", SUPPLY_SAT), transfer())
    assert balances(world) == (100, SUPPLY_SAT, 0)
    assert world.said(TransferRefunded)[0].reason == Reason.BALANCE_LIMIT


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"to_account_id": "ann"}, Reason.OWN_ACCOUNT),
        ({"to_account_id": "@lightning"}, Reason.UNKNOWN_ACCOUNT),
        ({"from_account_id": "nobody"}, Reason.UNKNOWN_ACCOUNT),
        ({"from_account_id": "@in-transit"}, Reason.UNKNOWN_ACCOUNT),
        ({"amount_sat": 101}, Reason.INSUFFICIENT_FUNDS),
        ({"amount_sat": 0}, Reason.INVALID_AMOUNT),
        ({"amount_sat": -5}, Reason.INVALID_AMOUNT),
        ({"amount_sat": SUPPLY_SAT + 1}, Reason.INVALID_AMOUNT),
        ({"transfer_id": ""}, Reason.INVALID_ID),
    ],
)
def test_a_transfer_that_cannot_be_is_refused_at_once(fields: dict[str, Any], reason: Reason) -> None:
    world = two_accounts()
    assert world.send(transfer(**fields)).reason == reason
    assert balances(world.settle()) == (100, 10, 0)
    assert world.said(TransferRejected) == [TransferRejected(**vars(transfer(**fields)), reason=reason)]


def test_a_transfer_under_a_used_id_is_refused() -> None:
    world = two_accounts().run(transfer())
    assert world.send(transfer(amount_sat=1)).reason == Reason.DUPLICATE_TRANSFER
    assert balances(world.settle()) == (60, 50, 0)


def test_a_redelivered_transfer_moves_the_money_once() -> None:
    world = two_accounts()
    first = world.send(transfer(), "one")
    assert world.send(transfer(), "one") == first
    assert balances(world.settle()) == (60, 50, 0)
    assert len(world.said(TransferDebited)) == 1


def test_a_transfer_is_credited_once_and_then_never_refunded() -> None:
    world = two_accounts().run(transfer())
    assert world.send(credit()).reason == Reason.DUPLICATE_TRANSFER
    assert world.send(refund()).reason == Reason.TRANSFER_ENDED
    assert balances(world.settle()) == (60, 50, 0)


def test_a_transfer_is_refunded_once_and_then_never_credited() -> None:
    world = two_accounts()
    world.send(transfer())
    assert world.send(refund()).verdict is Verdict.DONE
    assert world.send(refund()).reason == Reason.ALREADY_REFUNDED
    assert world.send(credit()).reason == Reason.TRANSFER_ENDED
    assert balances(world.settle()) == (100, 10, 0)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (credit(), Reason.UNKNOWN_TRANSFER),
        (refund(), Reason.UNKNOWN_TRANSFER),
        (credit(amount_sat=0), Reason.INVALID_AMOUNT),
        (refund(amount_sat=-1), Reason.INVALID_AMOUNT),
        (credit(transfer_id=""), Reason.INVALID_ID),
        (refund(transfer_id=""), Reason.INVALID_ID),
        (refund(from_account_id="nobody"), Reason.UNKNOWN_ACCOUNT),
    ],
)
def test_a_step_without_money_in_transit_moves_none(command: CreditTransfer | RefundTransfer, reason: Reason) -> None:
    world = two_accounts()
    assert world.send(command).reason == reason
    assert balances(world.settle()) == (100, 10, 0)
    is_refund = isinstance(command, RefundTransfer)
    assert [event.reason for event in world.said(TransferRefundRejected)] == [reason] * is_refund
    assert not world.said(TransferCreditRefused)


@pytest.mark.parametrize(
    "command",
    [
        credit(amount_sat=1_000),
        credit(amount_sat=39),
        credit(to_account_id="eve"),
        refund(amount_sat=41),
        refund(from_account_id="eve"),
        refund(from_account_id="bob"),
    ],
)
def test_a_step_moves_what_was_debited_to_whom_it_is_for_or_from(command: CreditTransfer | RefundTransfer) -> None:
    world = two_accounts().run(*funded("eve", 7))
    world.send(transfer(amount_sat=40))
    assert world.send(command).reason == Reason.NOT_THIS_TRANSFER
    assert balances(world) == (60, 10, 40)
    assert balances(world.settle()) == (60, 50, 0)
    assert world.account("eve").balance_sat == 7


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_ACCOUNT, Reason.BALANCE_LIMIT])
def test_a_credit_that_is_refused_sends_back_what_was_debited(reason: Reason) -> None:
    refused = TransferCreditRefused(**vars(transfer()), reason=reason)
    assert refund_payer(refused) == [refund(reason=reason)]
