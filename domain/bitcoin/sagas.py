"""Deposit and withdrawal: requested here, booked by accounting, paid by the Lightning node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from domain.accounting.messages import (
    Deposited,
    DepositRejected,
    FeeReserveReturned,
    Purpose,
    WithdrawalAccepted,
    WithdrawalRefunded,
    WithdrawalRejected,
)
from domain.bitcoin.messages import (
    AuthorizeWithdrawal,
    DepositFailed,
    DepositPaid,
    DepositRequested,
    InvoiceExpired,
    InvoiceIssued,
    InvoiceRejected,
    RejectWithdrawal,
    RequestGiftDeposit,
    WithdrawalAuthorized,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRequested,
)
from domain.crowdfunding.messages import GiftRequested, invoice_of_gift
from spark_actors.kernel.messages import Event
from spark_actors.kernel.sagas import SagaKind, SagaMilestone, SagaState, Step


def authorize(event: WithdrawalAccepted) -> Sequence[AuthorizeWithdrawal]:
    if event.purpose != Purpose.INVOICE:
        return []
    return [
        AuthorizeWithdrawal(
            invoice_id=event.withdrawal_id,
            account_id=event.account_id,
            amount_sat=event.amount_sat,
            fee_reserve_sat=event.fee_reserve_sat,
        )
    ]


def reject(event: WithdrawalRejected) -> Sequence[RejectWithdrawal]:
    if event.purpose != Purpose.INVOICE:
        return []
    return [
        RejectWithdrawal(
            invoice_id=event.withdrawal_id,
            account_id=event.account_id,
            amount_sat=event.amount_sat,
            fee_reserve_sat=event.fee_reserve_sat,
            reason=event.reason,
        )
    ]


def ask_for_gift(event: GiftRequested) -> Sequence[RequestGiftDeposit]:
    return [
        RequestGiftDeposit(
            invoice_id=invoice_of_gift(event.gift_id),
            account_id=event.owner_account_id,
            amount_sat=event.amount_sat,
            campaign_id=event.campaign_id,
        )
    ]


STEPS: Mapping[type[Event], Step] = {
    GiftRequested: ask_for_gift,
    WithdrawalAccepted: authorize,
    WithdrawalRejected: reject,
}


def _invoice(event: Any) -> str | None:
    invoice_id: str = event.invoice_id
    return invoice_id


def _deposit(event: Deposited | DepositRejected) -> str | None:
    return event.deposit_id if event.purpose in (Purpose.INVOICE, Purpose.GIFT) else None


def _withdrawal(event: WithdrawalRefunded | FeeReserveReturned) -> str | None:
    return event.withdrawal_id if event.purpose == Purpose.INVOICE else None


def _with_change(event: WithdrawalPaid) -> str | None:
    return event.invoice_id if event.is_change_due else None


def _without_change(event: WithdrawalPaid) -> str | None:
    return None if event.is_change_due else event.invoice_id


DEPOSIT = SagaKind(
    "deposit",
    patience=timedelta(hours=25),  # invoices commonly live for an hour, at most for a day
    milestones=(
        SagaMilestone(DepositRequested, "requested", SagaState.RUNNING, _invoice),
        SagaMilestone(DepositFailed, "failed", SagaState.FAILED, _invoice),
        SagaMilestone(InvoiceIssued, "issued", SagaState.RUNNING, _invoice),
        SagaMilestone(InvoiceExpired, "expired", SagaState.FAILED, _invoice),
        SagaMilestone(DepositPaid, "paid", SagaState.RUNNING, _invoice),
        # Money came in and could not be credited: this must not end quietly, so the deadline raises the alarm.
        SagaMilestone(DepositRejected, "credit_refused", SagaState.RUNNING, _deposit),
        SagaMilestone(Deposited, "credited", SagaState.COMPLETED, _deposit),
    ),
)

WITHDRAWAL = SagaKind(
    "withdrawal",
    patience=timedelta(hours=1),
    milestones=(
        SagaMilestone(WithdrawalRequested, "requested", SagaState.RUNNING, _invoice),
        SagaMilestone(WithdrawalAuthorized, "authorized", SagaState.RUNNING, _invoice),
        SagaMilestone(InvoiceRejected, "rejected", SagaState.FAILED, _invoice),
        SagaMilestone(WithdrawalFailed, "refunding", SagaState.RUNNING, _invoice),
        SagaMilestone(WithdrawalRefunded, "refunded", SagaState.FAILED, _withdrawal),
        # What is left of the reserve belongs to the payer: the story has ended when that is back, too.
        SagaMilestone(WithdrawalPaid, "returning_change", SagaState.RUNNING, _with_change),
        SagaMilestone(WithdrawalPaid, "paid", SagaState.COMPLETED, _without_change),
        SagaMilestone(FeeReserveReturned, "paid", SagaState.COMPLETED, _withdrawal),
    ),
)

SAGAS = (DEPOSIT, WITHDRAWAL)
