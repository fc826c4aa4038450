"""Donation and gift: requested here, moved by accounting or paid over Lightning, registered or rejected here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from domain.accounting.messages import (
    DepositRejected,
    GiftCredited,
    Purpose,
    TransferRefunded,
    TransferRejected,
    TransferSucceeded,
)
from domain.bitcoin.messages import DepositFailed, DepositPaid, InvoiceExpired, InvoiceIssued
from domain.crowdfunding.messages import (
    DonationRegistered,
    DonationRejected,
    DonationRejectedV1,
    DonationRequested,
    GiftRegistered,
    GiftRequested,
    RegisterDonation,
    RegisterGift,
    RejectDonation,
    gift_of_invoice,
)
from spark_actors.kernel.messages import Event
from spark_actors.kernel.sagas import SagaKind, SagaMilestone, SagaState, Step


def register(event: TransferSucceeded) -> Sequence[RegisterDonation]:
    if event.purpose != Purpose.DONATION:
        return []
    return [
        RegisterDonation(
            campaign_id=event.reference,
            donation_id=event.transfer_id,
            account_id=event.from_account_id,
            amount_sat=event.amount_sat,
        )
    ]


def reject(event: TransferRejected | TransferRefunded) -> Sequence[RejectDonation]:
    if event.purpose != Purpose.DONATION:
        return []
    return [
        RejectDonation(
            campaign_id=event.reference,
            donation_id=event.transfer_id,
            account_id=event.from_account_id,
            amount_sat=event.amount_sat,
            reason=event.reason,
        )
    ]


def register_gift(event: GiftCredited) -> Sequence[RegisterGift]:
    return [
        RegisterGift(
            campaign_id=event.campaign_id, gift_id=gift_of_invoice(event.deposit_id), amount_sat=event.amount_sat
        )
    ]


STEPS: Mapping[type[Event], Step] = {
    TransferSucceeded: register,
    TransferRejected: reject,
    TransferRefunded: reject,
    GiftCredited: register_gift,
}


def _ended(event: DonationRejectedV1) -> str | None:
    return event.donation_id if event.has_begun else None


# All are events of one campaign, so they come in order, and each says what is certain: the rejection follows on the
# payer's debit having been refused or refunded, the registration on the owner's credit.
DONATION = SagaKind(
    "donation",
    patience=timedelta(minutes=1),
    milestones=(
        SagaMilestone(DonationRequested, "requested", SagaState.RUNNING, lambda event: event.donation_id),
        SagaMilestone(DonationRejectedV1, "rejected", SagaState.FAILED, _ended),
        SagaMilestone(DonationRejected, "rejected", SagaState.FAILED, lambda event: event.donation_id),
        SagaMilestone(DonationRegistered, "registered", SagaState.COMPLETED, lambda event: event.donation_id),
    ),
)


def _paid_by(event: InvoiceIssued | InvoiceExpired | DepositFailed | DepositPaid) -> str | None:
    """The gift that an invoice is for, if it is for one."""
    return gift_of_invoice(event.invoice_id) if event.campaign_id else None


def _refused(event: DepositRejected) -> str | None:
    return gift_of_invoice(event.deposit_id) if event.purpose == Purpose.GIFT else None


GIFT = SagaKind(
    "gift",
    patience=timedelta(hours=25),  # as the invoices of deposits
    milestones=(
        SagaMilestone(GiftRequested, "requested", SagaState.RUNNING, lambda event: event.gift_id),
        SagaMilestone(DepositFailed, "failed", SagaState.FAILED, _paid_by),
        SagaMilestone(InvoiceIssued, "issued", SagaState.RUNNING, _paid_by),
        SagaMilestone(InvoiceExpired, "expired", SagaState.FAILED, _paid_by),
        SagaMilestone(DepositPaid, "paid", SagaState.RUNNING, _paid_by),
        # Money came in and could not be credited: this must not end quietly, so the deadline raises the alarm.
        SagaMilestone(DepositRejected, "credit_refused", SagaState.RUNNING, _refused),
        SagaMilestone(GiftCredited, "credited", SagaState.RUNNING, lambda event: gift_of_invoice(event.deposit_id)),
        SagaMilestone(GiftRegistered, "registered", SagaState.COMPLETED, lambda event: event.gift_id),
    ),
)

SAGAS = (DONATION, GIFT)
