"""Donation: requested here, moved by accounting, registered or rejected here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from domain.accounting.messages import Purpose, TransferRejected, TransferSucceeded
from domain.crowdfunding.messages import (
    DonationRegistered,
    DonationRejected,
    DonationRequested,
    Reason,
    RegisterDonation,
    RejectDonation,
)
from domain.shared.messages import Command, Event
from domain.shared.sagas import SagaKind, SagaMilestone, SagaState, Step

_REFUSED_AT_ONCE = frozenset({Reason.UNKNOWN_CAMPAIGN, Reason.INVALID_ID, Reason.INVALID_AMOUNT, Reason.OWN_CAMPAIGN})
"""Reasons why a donation never begins, so that there is no saga to end."""


def register(event: TransferSucceeded) -> Sequence[Command]:
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


def reject(event: TransferRejected) -> Sequence[Command]:
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


STEPS: Mapping[type[Event], Step] = {TransferSucceeded: register, TransferRejected: reject}


def _rejected(event: DonationRejected) -> str | None:
    return None if event.reason in _REFUSED_AT_ONCE else event.donation_id


DONATION = SagaKind(
    "donation",
    patience=timedelta(minutes=1),
    milestones=(
        SagaMilestone(DonationRequested, "requested", SagaState.RUNNING, lambda event: event.donation_id),
        SagaMilestone(DonationRejected, "rejected", SagaState.FAILED, _rejected),
        SagaMilestone(DonationRegistered, "registered", SagaState.COMPLETED, lambda event: event.donation_id),
    ),
)

SAGAS = (DONATION,)
