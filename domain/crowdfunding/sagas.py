"""Donation: requested here, moved by accounting, registered or rejected here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from domain.accounting.messages import (
    Purpose,
    TransferRefunded,
    TransferRejected,
    TransferSucceeded,
)
from domain.crowdfunding.messages import (
    DonationRegistered,
    DonationRejected,
    DonationRejectedV1,
    DonationRequested,
    RegisterDonation,
    RejectDonation,
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


STEPS: Mapping[type[Event], Step] = {
    TransferSucceeded: register,
    TransferRejected: reject,
    TransferRefunded: reject,
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

SAGAS = (DONATION,)
