"""The auth context at a glance."""

from __future__ import annotations

from domain.auth.messages import MESSAGES, Reason, RegisterAccount
from domain.auth.sagas import SAGAS
from domain.auth.user import User
from spark_actors.kernel.aggregates import creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(
    name="auth",
    messages=MESSAGES,
    aggregate=User,
    commands=handlers(creates(RegisterAccount, User.register, again=User.registered_again)),
    refusals={"username_unique": refuses(Reason.USERNAME_TAKEN)},
    sagas=SAGAS,
)
