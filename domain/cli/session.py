"""Logging in over the broker."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from domain.auth.messages import LogIn, Session
from spark_actors.kernel.messages import Query

LOGIN_SECONDS = 10.0


class Asker(Protocol):
    """Whoever asks for views: a client."""

    async def view(self, query: Query, *, timeout: float = LOGIN_SECONDS) -> dict[str, Any]: ...


async def log_in(client: Asker, username: str, password: str, *, timeout: float = LOGIN_SECONDS) -> Session:
    """A token for who has this name and password. Raises as `view`; who is refused, ViewRefusedError."""
    answer = await client.view(LogIn(username=username, password=password), timeout=timeout)
    return msgspec.convert(answer, Session)
