"""No aggregate can be made in, or moved to, a state that its rules forbid."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from domain.accounting.account import IN_TRANSIT, LIGHTNING, ROUTING, Account, Movement, MovementKind
from domain.auth.user import User
from domain.bitcoin.invoice import TRANSITIONS, Invoice, InvoiceKind, InvoiceState
from domain.bitcoin.messages import Reason, SettleWithdrawal
from domain.crowdfunding.campaign import Campaign, Donation
from domain.shared.money import SUPPLY_SAT, Satoshis
from spark_actors.kernel.errors import BrokenRuleError
from tests.unit.domain.builders import ARGON2, funded, request_withdrawal
from tests.unit.domain.world import NOON, World, hash_of, preimage_of

CAMPAIGN = Campaign("roof", "bob", "A new roof", "It rains in.", 100, NOON)
DONATION = Donation("gift", "roof", "ann", Satoshis(5), NOON)
USER = User("ann", "ann", ARGON2, NOON)
DEPOSITED = Movement("deposit/d", LIGHTNING, "ann", Satoshis(5), MovementKind.MANUAL_DEPOSIT, NOON)
DEBITED = Movement("transfer/t/debit", "ann", IN_TRANSIT, Satoshis(5), MovementKind.TRANSFER_DEBIT, NOON, payee="bob")
CHANGED = Movement(
    *("withdrawal/w/change", ROUTING, "ann", Satoshis(5), MovementKind.FEE_CHANGE, NOON, "withdrawal/w/reserve"),
    fee_sat=0,
)
CREDITED = Movement(
    "transfer/t/credit", IN_TRANSIT, "bob", Satoshis(5), MovementKind.TRANSFER_CREDIT, NOON, "transfer/t/debit"
)
DEPOSIT = Invoice("in", InvoiceKind.DEPOSIT, InvoiceState.REQUESTED, "ann", 70, NOON)
WITHDRAWAL = Invoice(
    "out",
    InvoiceKind.WITHDRAWAL,
    InvoiceState.REQUESTED,
    "ann",
    70,
    NOON,
    hash_of("out"),
    "lnbc-out",
    NOON + timedelta(hours=1),
    fee_reserve_sat=2,
)


@pytest.mark.parametrize(
    ("sound", "changes"),
    [
        (Account("ann"), {"balance_sat": -1}),
        (Account("ann"), {"account_id": ""}),
        (Account("ann"), {"account_id": "@lightning"}),
        (DEPOSITED, {"amount_sat": 0}),
        (DEPOSITED, {"amount_sat": SUPPLY_SAT + 1}),
        (DEPOSITED, {"debit_account": "bob"}),
        (DEPOSITED, {"credit_account": LIGHTNING}),
        (DEPOSITED, {"follows": "deposit/other"}),
        (DEPOSITED, {"payee": "bob"}),
        (DEBITED, {"payee": None}),
        (DEBITED, {"credit_account": "bob"}),
        (CREDITED, {"follows": None}),
        (CREDITED, {"fee_sat": 1}),
        (CHANGED, {"fee_sat": None}),
        (CHANGED, {"fee_sat": -1}),
        (CHANGED, {"follows": None}),
        (CHANGED, {"debit_account": LIGHTNING}),
        (CREDITED, {"debit_account": LIGHTNING}),
        (CAMPAIGN, {"goal_sat": -5}),
        (CAMPAIGN, {"goal_sat": 0}),
        (CAMPAIGN, {"raised_sat": -1, "donations": 1}),
        (CAMPAIGN, {"raised_sat": 1, "donations": 2}),
        (CAMPAIGN, {"raised_sat": 5}),
        (CAMPAIGN, {"raised_sat": 100, "donations": 1}),
        (CAMPAIGN, {"goal_reached": True}),
        (DONATION, {"amount_sat": -5}),
        (USER, {"account_id": "@lightning"}),
        (USER, {"username": "Ann"}),
        (USER, {"username": ""}),
        (USER, {"password_hash": "hunter2"}),
        (DEPOSIT, {"amount_sat": 0}),
        (DEPOSIT, {"state": InvoiceState.AUTHORIZED}),
        (DEPOSIT, {"state": InvoiceState.ISSUED}),
        (DEPOSIT, {"state": InvoiceState.PAID}),
        (DEPOSIT, {"payment_hash": hash_of("in")}),
        (DEPOSIT, {"reason": "why"}),
        (DEPOSIT, {"settled_at": NOON}),
        (DEPOSIT, {"fee_reserve_sat": 0}),
        (DEPOSIT, {"received_sat": 70}),
        (WITHDRAWAL, {"fee_reserve_sat": -1}),
        (WITHDRAWAL, {"fee_reserve_sat": SUPPLY_SAT + 1}),
        (WITHDRAWAL, {"fee_sat": 1}),
        (WITHDRAWAL, {"received_sat": 70}),
        (WITHDRAWAL.authorized().paid_out(preimage_of("out"), 1, NOON), {"fee_sat": 3}),
        (DEPOSIT.issued(hash_of("in"), "r", NOON).received(70, NOON), {"received_sat": 0}),
        (WITHDRAWAL, {"state": InvoiceState.ISSUED}),
        (WITHDRAWAL, {"state": InvoiceState.PAID}),
        (WITHDRAWAL, {"preimage": preimage_of("out")}),
        (WITHDRAWAL, {"payment_hash": None, "payment_request": None, "expires_at": None}),
    ],
)
def test_what_the_rules_forbid_cannot_be_made(sound: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(BrokenRuleError) as broken:
        replace(sound, **changes)
    copied = pickle.loads(pickle.dumps(broken.value))
    assert (copied.rule, copied.value, copied.expected) == (
        broken.value.rule,
        broken.value.value,
        broken.value.expected,
    )
    assert all(part in str(copied) for part in (copied.rule, copied.expected))


def test_an_account_is_never_overdrawn() -> None:
    with pytest.raises(BrokenRuleError, match="accounts_balance_not_negative: -5 is refused"):
        Account("ann", 5).debited(Satoshis(10))
    assert Account("ann", 5).debited(Satoshis(5)).balance_sat == 0


MOVES: dict[InvoiceKind, dict[InvoiceState, Callable[[Invoice], Invoice]]] = {
    InvoiceKind.DEPOSIT: {
        InvoiceState.ISSUED: lambda it: it.issued(hash_of("in"), "lnbc-in", NOON),
        InvoiceState.EXPIRED: Invoice.expired,
        InvoiceState.FAILED: lambda it: it.never_made("amount_too_large"),
        InvoiceState.PAID: lambda it: it.received(70, NOON),
    },
    InvoiceKind.WITHDRAWAL: {
        InvoiceState.AUTHORIZED: Invoice.authorized,
        InvoiceState.REJECTED: lambda it: it.rejected("insufficient_funds"),
        InvoiceState.FAILED: lambda it: it.failed("no_route", NOON),
        InvoiceState.PAID: lambda it: it.paid_out(preimage_of("out"), 1, NOON),
    },
}


ISSUED, AUTHORIZED = MOVES[InvoiceKind.DEPOSIT][InvoiceState.ISSUED](DEPOSIT), WITHDRAWAL.authorized()
LIVES: dict[InvoiceKind, tuple[Invoice, ...]] = {
    InvoiceKind.DEPOSIT: (DEPOSIT, ISSUED, ISSUED.expired(), DEPOSIT.never_made("why"), ISSUED.received(70, NOON)),
    InvoiceKind.WITHDRAWAL: (
        *(WITHDRAWAL, AUTHORIZED, WITHDRAWAL.rejected("why"), AUTHORIZED.failed("why", NOON)),
        AUTHORIZED.paid_out(preimage_of("out"), 1, NOON),
    ),
}
"""Invoices in each state of their kind."""


@pytest.mark.parametrize("kind", InvoiceKind)
def test_an_invoice_changes_its_state_only_as_the_table_says(kind: InvoiceKind) -> None:
    assert {invoice.state for invoice in LIVES[kind]} == {InvoiceState.REQUESTED, *MOVES[kind]}
    for invoice, (target, move) in product(LIVES[kind], MOVES[kind].items()):
        if target in TRANSITIONS[kind].get(invoice.state, ()):
            assert move(invoice).state is target
        else:
            with pytest.raises(BrokenRuleError):
                move(invoice)


def test_a_deposit_that_has_no_invoice_cannot_become_paid() -> None:
    with pytest.raises(BrokenRuleError, match="invoices_terms_known_once_made"):
        DEPOSIT.expired().received(70, NOON)


@pytest.mark.parametrize("preimage", ["", "proof", preimage_of("other"), preimage_of("out")[:-1], "é" * 64])
def test_a_withdrawal_is_paid_only_by_its_proof(preimage: str) -> None:
    world = World().run(*funded("ann", 100))
    world.send(request_withdrawal())
    with pytest.raises(BrokenRuleError, match="invoices_preimage_proves_payment"):
        AUTHORIZED.paid_out(preimage, 1, NOON)
    while world.invoice("out").state is not InvoiceState.AUTHORIZED:
        assert world.step()
    refused = world.send(SettleWithdrawal(invoice_id="out", preimage=preimage))
    assert refused.reason == Reason.INVALID_PREIMAGE
    assert world.invoice("out").state == InvoiceState.AUTHORIZED
    assert not world.send(SettleWithdrawal(invoice_id="out", preimage=preimage_of("out").upper())).reason
    assert world.invoice("out").preimage == preimage_of("out")
