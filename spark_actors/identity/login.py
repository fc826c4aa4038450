"""Logging in: username and password for a token, answered alike for a wrong password and a name that nobody has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from domain.auth.messages import LogIn, Session
from spark_actors.identity.attempts import Attempts
from spark_actors.identity.tokens import TokenIssuer
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import Role
from spark_actors.messaging.ports import Clock, Credentials, Telemetry
from spark_actors.messaging.telemetry import LoginTried

WAITING_MOST = 16
"""Passwords that wait to be compared; views are answered by the same actor and must not wait behind them."""


@dataclass(frozen=True)
class Sessions:
    """What somebody who has logged in gets."""

    issuer: TokenIssuer
    lifetime: timedelta


class Login:
    """Answers `auth.login`. Keeps nothing and tells nobody of what it was sent."""

    def __init__(
        self,
        credentials: Credentials,
        fits: Callable[[str | None, str], Awaitable[bool]],
        sessions: Sessions,
        attempts: Attempts,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._credentials = credentials
        self._fits = fits
        self._sessions = sessions
        self._attempts = attempts
        self._clock = clock
        self._telemetry = telemetry
        self._waiting = 0

    async def answer(self, query: LogIn) -> Session:
        """A session. Raises RefusedError (wrong_credentials, too_many_attempts) or StorageUnavailableError."""
        try:
            session = await self._answer(query)
        except RefusedError as error:
            self._telemetry(LoginTried(error.code))
            raise
        self._telemetry(LoginTried("ok"))
        return session

    async def _answer(self, query: LogIn) -> Session:
        username = query.username.lower()
        wait = self._attempts.take(username, self._clock().timestamp())
        if wait or self._waiting >= WAITING_MOST:
            seconds = max(1, ceil(wait))
            raise RefusedError("too_many_attempts", f"try to log in again in {seconds} s", retry_after_seconds=seconds)
        self._waiting += 1
        try:
            found = await self._credentials.of(username)
            fits = await self._fits(found.password_hash if found else None, query.password)
        finally:
            self._waiting -= 1
        if found is None or not fits:
            raise RefusedError("wrong_credentials", "no user has this name and password")
        self._attempts.forget(username)
        token = self._sessions.issuer.issue(found.account_id, [Role.USER], self._sessions.lifetime)
        return Session(account_id=found.account_id, token=token.text, expires_at=token.expires_at)
