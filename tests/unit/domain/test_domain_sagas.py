"""The sagas end to end: every path ends, and every satoshi is where it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from random import Random

import pytest

from domain.accounting.account import LIGHTNING, ROUTING
from domain.accounting.messages import (
    AccountOpened,
    AccountOpeningRejectedV1,
    Deposited,
    FeeReserveReturned,
    OpenAccount,
    Purpose,
    RefundWithdrawal,
    WithdrawalAccepted,
    WithdrawalRefunded,
    WithdrawalRejected,
)
from domain.accounting.messages import Reason as AccountingReason
from domain.auth.sagas import SIGN_UP
from domain.bitcoin.invoice import InvoiceState
from domain.bitcoin.messages import (
    DepositPaid,
    DepositRequested,
    FailDeposit,
    InvoiceChangeRejected,
    InvoiceIssued,
    RejectWithdrawal,
)
from domain.bitcoin.messages import Reason as BitcoinReason
from domain.bitcoin.sagas import DEPOSIT, authorize, reject
from domain.bitcoin.tasks import TASKS, MakeInvoice, PayInvoice, WatchInvoice
from domain.crowdfunding.messages import DonationRejectedV1
from domain.crowdfunding.sagas import DONATION
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.messages import Event
from spark_actors.kernel.sagas import SagaProgress, SagaState, progress_of
from spark_actors.kernel.tasks import Task
from tests.unit.domain.builders import (
    create_campaign,
    deposit,
    donate,
    funded,
    register,
    request_deposit,
    request_withdrawal,
    withdraw,
)
from tests.unit.domain.world import NOON, World


def a_rejection(reason: str) -> DonationRejectedV1:
    return DonationRejectedV1(campaign_id="roof", donation_id="gift", account_id="ann", amount_sat=40, reason=reason)


def unpaid(invoice_id: str) -> bool:
    return False


def test_a_paid_deposit_is_credited_to_its_account() -> None:
    world = World().run(register(), request_deposit(amount_sat=70))
    assert world.account("ann").balance_sat == 70
    assert world.said(Deposited)[0].purpose == Purpose.INVOICE
    assert world.saga("deposit", "in") == ("credited", SagaState.COMPLETED)


def test_an_unpaid_deposit_expires() -> None:
    world = World(pays=unpaid).run(register(), request_deposit())
    assert world.account("ann").balance_sat == 0
    assert world.saga("deposit", "in") == ("expired", SagaState.FAILED)


def test_a_withdrawal_is_debited_and_paid() -> None:
    world = World().run(*funded("ann", 100), request_withdrawal())
    assert world.account("ann").balance_sat == 30
    assert world.invoice("out").state == InvoiceState.PAID
    assert world.saga("withdrawal", "out") == ("paid", SagaState.COMPLETED)


@pytest.mark.parametrize(("fee_sat", "balance_sat"), [(0, 30), (1, 29), (2, 28), (3, 28)])
def test_a_paid_withdrawal_has_cost_its_fee_and_the_rest_of_the_reserve_is_back(fee_sat: int, balance_sat: int) -> None:
    world = World(fee_of=lambda invoice_id: fee_sat).run(*funded("ann", 100), request_withdrawal())
    assert world.account("ann").balance_sat == balance_sat
    assert world.ledger_balances()[ROUTING] == 30 - balance_sat
    assert world.saga("withdrawal", "out") == ("paid", SagaState.COMPLETED)


def test_the_story_of_a_paid_withdrawal_runs_until_the_change_is_back() -> None:
    world = World().run(*funded("ann", 100))
    world.send(request_withdrawal())
    while not world.said(FeeReserveReturned):
        assert world.step()
        if ("withdrawal", "out") in world.sagas:
            assert world.sagas["withdrawal", "out"].state is SagaState.RUNNING
    assert world.settle().saga("withdrawal", "out") == ("paid", SagaState.COMPLETED)


def test_what_arrives_for_a_deposit_is_credited_whatever_was_asked_for() -> None:
    world = World(received_of=lambda invoice_id: 75).run(register(), request_deposit(amount_sat=70))
    assert world.account("ann").balance_sat == 75
    assert world.saga("deposit", "in") == ("credited", SagaState.COMPLETED)


def test_a_withdrawal_beyond_the_balance_is_rejected() -> None:
    world = World().run(*funded("ann", 71), request_withdrawal())
    assert world.account("ann").balance_sat == 71
    assert world.invoice("out").state == InvoiceState.REJECTED
    assert world.saga("withdrawal", "out") == ("rejected", SagaState.FAILED)


def test_a_withdrawal_whose_payment_fails_for_good_is_refunded() -> None:
    world = World(pays=unpaid).run(*funded("ann", 100), request_withdrawal())
    assert world.account("ann").balance_sat == 100
    assert world.ledger_balances()[ROUTING] == 0
    assert world.said(WithdrawalRefunded)[0].reason == "no_route"
    assert world.saga("withdrawal", "out") == ("refunded", SagaState.FAILED)


def test_a_rejected_withdrawal_that_is_debited_by_a_late_repeat_is_refunded_and_never_paid() -> None:
    world = World(remembers=False).run(request_withdrawal(), *funded("ann", 100))
    world.run(withdraw(withdrawal_id="out", amount_sat=70, fee_reserve_sat=2, purpose=Purpose.INVOICE))
    assert world.account("ann").balance_sat == 100
    assert world.saga("withdrawal", "out") == ("refunded", SagaState.FAILED)


def test_movements_that_a_producer_asks_for_itself_belong_to_no_saga() -> None:
    world = World().run(*funded("ann", 100), withdraw(withdrawal_id="w", amount_sat=40))
    world.run(RefundWithdrawal(account_id="ann", withdrawal_id="w", amount_sat=40, reason="oops"))
    assert world.said(Deposited)
    assert world.said(WithdrawalAccepted)
    assert world.said(WithdrawalRefunded)
    assert not world.sagas
    assert not world.said(InvoiceChangeRejected)


def test_a_debit_for_another_reason_never_authorizes_a_withdrawal() -> None:
    world = World().run(*funded("ann", 100), *funded("eve", 5))
    world.send(withdraw(account_id="eve", withdrawal_id="out", amount_sat=5, purpose=Purpose.INVOICE))
    world.run(request_withdrawal())
    assert world.account("ann").balance_sat == 100
    assert world.invoice("out").state == InvoiceState.REJECTED
    assert {event.reason for event in world.said(InvoiceChangeRejected)} <= {
        BitcoinReason.UNKNOWN_INVOICE,
        BitcoinReason.NOT_THIS_WITHDRAWAL,
    }


def test_only_debits_for_invoices_reach_the_bitcoin_context() -> None:
    accepted = WithdrawalAccepted(account_id="ann", withdrawal_id="w", amount_sat=1, balance_sat=0)
    refused = WithdrawalRejected(account_id="ann", withdrawal_id="w", amount_sat=1, reason="insufficient_funds")
    assert [*authorize(accepted), *reject(refused)] == []


def test_a_paid_deposit_that_cannot_be_credited_does_not_end_quietly() -> None:
    world = World().run(*funded("ann", SUPPLY_SAT), request_deposit())
    assert world.saga("deposit", "in") == ("credit_refused", SagaState.RUNNING)


@pytest.mark.parametrize("account_id", ["ann", "eve"])
def test_a_deposit_by_hand_never_stands_in_the_way_of_one_that_an_invoice_brings_in(account_id: str) -> None:
    by_hand = deposit(deposit_id="in", account_id=account_id, amount_sat=5)
    for commands in ((by_hand, request_deposit(amount_sat=70)), (request_deposit(amount_sat=70), by_hand)):
        world = World(random=Random(3)).run(*commands)
        assert [(it.account_id, it.amount_sat) for it in world.said(Deposited)].count(("ann", 70)) == 1
        assert -world.ledger_balances()[LIGHTNING] == 75
        assert world.saga("deposit", "in") == ("credited", SagaState.COMPLETED)
        assert world.send(by_hand).reason == AccountingReason.DUPLICATE_DEPOSIT
        again = deposit(deposit_id="in", account_id="ann", amount_sat=70, purpose=Purpose.INVOICE)
        assert world.send(again).reason == AccountingReason.DUPLICATE_DEPOSIT
        assert -world.ledger_balances()[LIGHTNING] == 75


def test_a_deposit_that_the_node_will_not_make_an_invoice_for_has_failed() -> None:
    world = World()
    world.send(request_deposit())
    world.send(FailDeposit(invoice_id="in", reason="amount_too_large"))
    world.settle()
    assert world.saga("deposit", "in") == ("failed", SagaState.FAILED)
    assert world.invoice("in").state == InvoiceState.FAILED
    assert not world.ledger


def test_an_invoice_that_could_not_be_paid_once_is_paid_under_another_id() -> None:
    world = World().run(*funded("bob", 100), request_withdrawal(account_id="nobody"))
    assert world.invoice("out").state == InvoiceState.REJECTED
    world.run(request_withdrawal(invoice_id="out2", account_id="bob"))
    assert world.invoice("out2").state == InvoiceState.PAID
    assert world.account("bob").balance_sat == 30
    third = world.send(request_withdrawal(invoice_id="out3", account_id="bob"))
    assert third.reason == BitcoinReason.DUPLICATE_PAYMENT_HASH


def test_a_debit_that_comes_too_late_is_given_back_though_the_invoice_is_under_way_again() -> None:
    world = World().run(*funded("ann", 100), *funded("bob", 100))
    world.send(request_withdrawal())
    world.send(
        RejectWithdrawal(
            invoice_id="out", account_id="ann", amount_sat=70, fee_reserve_sat=2, reason="insufficient_funds"
        )
    )
    world.send(request_withdrawal(invoice_id="out2", account_id="bob"))
    world.settle()
    assert (world.account("ann").balance_sat, world.account("bob").balance_sat) == (100, 30)
    assert world.invoice("out").state == InvoiceState.FAILED
    assert world.invoice("out2").state == InvoiceState.PAID


def test_what_has_failed_is_tried_again_under_another_id_and_stays_as_it_is() -> None:
    world = World(pays=lambda invoice_id: invoice_id == "out2").run(*funded("ann", 100), request_withdrawal())
    assert world.saga("withdrawal", "out") == ("refunded", SagaState.FAILED)
    world.run(request_withdrawal(invoice_id="out2"))
    assert world.invoice("out").state == InvoiceState.FAILED
    assert world.invoice("out2").state == InvoiceState.PAID
    assert world.account("ann").balance_sat == 30


def test_a_sign_up_to_an_account_that_is_open_already_is_complete() -> None:
    world = World().run(OpenAccount(account_id="ann"), register())
    assert world.said(AccountOpened)
    assert world.saga("sign-up", "ann") == ("was_open", SagaState.COMPLETED)


def test_an_account_that_a_producer_opens_is_no_sign_up() -> None:
    assert not World().run(OpenAccount(account_id="ann")).sagas


DEPOSIT_EVENTS = (
    DepositRequested(invoice_id="in", account_id="ann", amount_sat=70),
    DepositPaid(invoice_id="in", account_id="ann", amount_sat=70),
    Deposited(account_id="ann", deposit_id="in", amount_sat=70, balance_sat=70, purpose=Purpose.INVOICE),
)


@pytest.mark.parametrize("arrival", list(permutations(DEPOSIT_EVENTS)))
def test_progress_is_the_same_in_whatever_order_events_arrive(arrival: tuple[Event, ...]) -> None:
    told = [step for event in arrival for step in progress_of([DEPOSIT], event, correlation_id="c", at=NOON)]
    assert [(step.kind, step.saga_id) for step in told] == [("deposit", "in")] * 3
    last: SagaProgress = max(told, key=lambda step: step.rank)
    assert (last.step, last.state) == ("credited", SagaState.COMPLETED)


def to_do(events: Sequence[Event]) -> list[Task]:
    return [task for event in events if type(event) in TASKS for task in TASKS[type(event)](event)]


def test_the_node_is_asked_to_make_the_invoice_then_to_watch_it() -> None:
    world = World()
    world.send(request_deposit())
    assert to_do(world.events) == [MakeInvoice(invoice_id="in", amount_sat=70)]
    issued = world.settle().said(InvoiceIssued)[0]
    assert to_do([issued]) == [WatchInvoice(invoice_id="in", payment_hash=issued.payment_hash)]


def test_the_node_is_asked_to_pay_only_what_was_debited() -> None:
    world = World().run(*funded("ann", 100), request_withdrawal())
    assert [type(task) for task in to_do(world.events)] == [PayInvoice]
    assert -world.ledger_balances()[LIGHTNING] == 30


def test_a_reason_of_accounting_reaches_the_one_who_asked_for_the_withdrawal() -> None:
    world = World().run(request_withdrawal(account_id="nobody"))
    assert vars(world.events[-1])["reason"] == AccountingReason.UNKNOWN_ACCOUNT


def in_transit(world: World, kind: str, saga_id: str) -> bool:
    """Whether something was debited for the saga that has neither arrived nor come back."""
    key = f"transfer/{saga_id}/debit" if kind == "donation" else f"withdrawal/{saga_id}/debit"
    return key in world.ledger and not any(movement.follows == key for movement in world.ledger.values())


@pytest.mark.parametrize("seed", range(25))
def test_a_saga_that_says_it_has_failed_has_nothing_in_transit_whatever_else_uses_its_id(seed: int) -> None:
    world = World(random=Random(seed), pays=lambda invoice_id: invoice_id == "paid")
    for command in (
        *funded("ann", 100),
        *funded("eve", 100),
        create_campaign(account_id="bob"),  # who has no account: what is given comes back
        donate(),
        donate(),
        donate(account_id="eve"),
        donate(account_id="eve", donation_id="much", amount_sat=1_000),
        donate(donation_id="much"),
        request_withdrawal("out", 50),
        request_withdrawal("out", 50, account_id="eve"),
        request_withdrawal("beef", 40, invoice_id="paid"),
    ):
        world.send(command)
    while world.step():
        failed = [name for name, saga in world.sagas.items() if saga.state is SagaState.FAILED]
        assert not [name for name in failed if in_transit(world, *name)]
    assert not [name for name, saga in world.sagas.items() if saga.state is SagaState.RUNNING]


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (AccountOpeningRejectedV1(account_id="ann", reason="already_open", purpose="sign_up"), SagaState.COMPLETED),
        (AccountOpeningRejectedV1(account_id="ann", reason="invalid_account_id", purpose="sign_up"), SagaState.FAILED),
        (a_rejection("insufficient_funds"), SagaState.FAILED),
        (a_rejection("duplicate_transfer"), SagaState.FAILED),
        (a_rejection("own_campaign"), None),
        (a_rejection("unknown_campaign"), None),
    ],
)
def test_what_earlier_releases_said_is_read_as_it_was_meant(event: Event, state: SagaState | None) -> None:
    told = progress_of([SIGN_UP, DONATION], event, correlation_id="", at=NOON)
    assert [step.state for step in told] == ([state] if state else [])


@pytest.mark.parametrize("old", ["an id", "in\u3164visible", "e\u0301"])
def test_what_began_under_an_id_that_earlier_releases_took_comes_to_its_end(old: str) -> None:
    """Its money is here, or on its way: `is_id` has become stricter since."""
    world = World().run(*funded("ann", 100))
    world.send(deposit(account_id="ann", deposit_id=old, amount_sat=7, purpose=Purpose.INVOICE))
    assert world.account("ann").balance_sat == 107
    assert world.send(deposit(account_id="ann", deposit_id=old, amount_sat=7)).reason == AccountingReason.INVALID_ID
