"""Logging in: username and password for a token, answered alike for a wrong password and a name that nobody has."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from domain.auth.adapters.attempts import Attempts
from domain.auth.adapters.credentials import Credentials
from domain.auth.messages import LogIn, Session
from spark_actors.identity.tokens import TokenIssuer
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import Role
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import LoginTried

WAITING_MOST = 8
"""Logins in hand, most of which wait for their password to be compared: more are refused rather than kept waiting."""
BUSY_SECONDS = 2
"""After which it is worth trying again then."""


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
        telemetry: Telemetry,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """*now* counts seconds: no jump of the wall clock may lock anybody out, or let more attempts in."""
        self._credentials = credentials
        self._fits = fits
        self._sessions = sessions
        self._attempts = attempts
        self._now = now
        self._telemetry = telemetry
        self._waiting = 0

    async def answer(self, query: LogIn) -> Session:
        """A session. Raises RefusedError (wrong_credentials, too_many_attempts, busy) or StorageUnavailableError."""
        try:
            session = await self._answer(query)
        except RefusedError as error:
            self._telemetry(LoginTried(error.code))
            raise
        self._telemetry(LoginTried("ok"))
        return session

    async def _answer(self, query: LogIn) -> Session:
        if self._waiting >= WAITING_MOST:
            detail = f"too many log in just now: try again in {BUSY_SECONDS} s"
            raise RefusedError("busy", detail, retry_after_seconds=BUSY_SECONDS)
        username = query.username.lower()
        if wait := self._attempts.take(username, self._now()):
            seconds = ceil(wait)
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
