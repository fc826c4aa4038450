"""Sign-up: a user has registered, so the account is opened."""

from __future__ import annotations

from datetime import timedelta

from domain.accounting.messages import AccountOpened, AccountOpeningRejected, Purpose
from domain.accounting.messages import Reason as AccountingReason
from domain.auth.messages import AccountRegistered
from domain.shared.sagas import SagaKind, SagaMilestone, SagaState


def _opened(event: AccountOpened) -> str | None:
    return event.account_id if event.purpose == Purpose.SIGN_UP else None


def _was_open(event: AccountOpeningRejected) -> str | None:
    """An account that a producer had opened before serves the new user just as well."""
    is_ours = event.purpose == Purpose.SIGN_UP and event.reason == AccountingReason.ALREADY_OPEN
    return event.account_id if is_ours else None


def _not_opened(event: AccountOpeningRejected) -> str | None:
    is_ours = event.purpose == Purpose.SIGN_UP and event.reason != AccountingReason.ALREADY_OPEN
    return event.account_id if is_ours else None


SIGN_UP = SagaKind(
    "sign-up",
    patience=timedelta(minutes=1),
    milestones=(
        SagaMilestone(AccountRegistered, "registered", SagaState.RUNNING, lambda event: event.account_id),
        SagaMilestone(AccountOpeningRejected, "opening_rejected", SagaState.FAILED, _not_opened),
        SagaMilestone(AccountOpeningRejected, "was_open", SagaState.COMPLETED, _was_open),
        SagaMilestone(AccountOpened, "opened", SagaState.COMPLETED, _opened),
    ),
)

SAGAS = (SIGN_UP,)
