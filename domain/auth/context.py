"""The auth context at a glance."""

from __future__ import annotations

from domain.auth.messages import MESSAGES, RegisterAccount
from domain.auth.sagas import SAGAS
from domain.auth.user import User, register_account, username_taken
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(
    name="auth",
    messages=MESSAGES,
    aggregate=User,
    commands={RegisterAccount: register_account},
    refusals={"username_unique": username_taken},
    sagas=SAGAS,
)
