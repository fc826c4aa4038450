"""The auth context, ready to be run."""

from __future__ import annotations

from datetime import timedelta

from domain.auth.adapters.tables import USERS
from domain.auth.context import CONTEXT
from domain.auth.messages import LogIn
from spark_actors.application import Edge, InstalledContext
from spark_actors.messaging.ports import QueryHandlers


async def _answers(edge: Edge) -> QueryHandlers:
    """Logins, with threads and connections that end with the process."""
    from domain.auth.adapters.attempts import AttemptLimits, Attempts
    from domain.auth.adapters.credentials import PostgresCredentials
    from domain.auth.adapters.login import Login, Sessions
    from domain.auth.adapters.passwords import PasswordCheck

    wanted = edge.settings.identity
    passwords = PasswordCheck()
    edge.at_end(passwords.close)
    login = Login(
        PostgresCredentials(await edge.pool()),
        passwords.fits,
        Sessions(edge.tokens, timedelta(seconds=wanted.session_seconds)),
        Attempts(AttemptLimits(wanted.login_attempts, wanted.overall_login_attempts, wanted.login_window_seconds)),
        telemetry=edge.telemetry,
    )
    return {LogIn: login.answer}


INSTALLED = InstalledContext(
    context=CONTEXT,
    table=USERS,
    migrations=__package__,
    answers=_answers,
    harmless=("account_id", "username"),
)
