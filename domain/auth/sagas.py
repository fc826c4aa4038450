"""Sign-up: a user has registered, so the account is opened."""

from __future__ import annotations

from datetime import timedelta

from domain.accounting.messages import (
    AccountFoundOpen,
    AccountOpened,
    AccountOpeningRejected,
    AccountOpeningRejectedV1,
    Purpose,
)
from domain.auth.messages import AccountRegistered
from spark_actors.kernel.sagas import SagaKind, SagaMilestone, SagaState


def _ours(event: AccountOpened | AccountFoundOpen | AccountOpeningRejected | AccountOpeningRejectedV1) -> str | None:
    return event.account_id if event.purpose == Purpose.SIGN_UP else None


def _was_open(event: AccountOpeningRejectedV1) -> str | None:
    return _ours(event) if event.was_open else None


def _not_opened(event: AccountOpeningRejectedV1) -> str | None:
    return None if event.was_open else _ours(event)


SIGN_UP = SagaKind(
    "sign-up",
    patience=timedelta(minutes=1),
    milestones=(
        SagaMilestone(AccountRegistered, "registered", SagaState.RUNNING, lambda event: event.account_id),
        SagaMilestone(AccountOpeningRejectedV1, "opening_rejected", SagaState.FAILED, _not_opened),
        SagaMilestone(AccountOpeningRejected, "opening_rejected", SagaState.FAILED, _ours),
        # An account that a producer had opened before serves the new user just as well.
        SagaMilestone(AccountOpeningRejectedV1, "was_open", SagaState.COMPLETED, _was_open),
        SagaMilestone(AccountFoundOpen, "was_open", SagaState.COMPLETED, _ours),
        SagaMilestone(AccountOpened, "opened", SagaState.COMPLETED, _ours),
    ),
)

SAGAS = (SIGN_UP,)
