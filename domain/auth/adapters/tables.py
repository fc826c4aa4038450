"""How users lie in Postgres."""

from __future__ import annotations

from domain.auth.user import User
from spark_actors.persistence.rules import Rule
from spark_actors.persistence.tables import AggregateTable

USERS = AggregateTable(
    table="auth.users",
    key="account_id",
    columns={"username": "text", "password_hash": "text", "registered_at": "timestamptz"},
    state=lambda row: User(*row),
    rules=(
        Rule(
            name="username_unique",
            constraint="users_username_unique",
            of=User,
            table="auth.users",
            columns=("username",),
            key="account_id",
        ),
    ),
)
