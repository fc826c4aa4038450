"""A daemon that exists only in the memory of a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from domain.auth.messages import LogIn
from spark_actors.ingress.client import Answer, ViewRefusedError
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command, Query
from spark_actors.messaging.identity import Role
from tests.fixtures.identity import a_token


@dataclass
class FakeClient:
    """Stands in for SparkClient: answers what it was told to and remembers what it was sent."""

    answer: Answer = field(default_factory=lambda: Answer("m1", Verdict.DONE))
    views: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    error: BaseException | None = None
    sent: list[tuple[Command, str | None, str | None]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    """Ids of what was sent, whatever came of it."""
    reasons: list[str] = field(default_factory=list)
    """Why each command was sent."""
    asked: list[Query] = field(default_factory=list)
    identity: str = ""
    user_token: str = field(default_factory=lambda: a_token("ann-1", Role.USER))
    """What a login is good for ..."""
    good_for: timedelta = timedelta(hours=1)
    """... and for how long."""

    async def send(
        self,
        command: Command,
        *,
        message_id: str | None = None,
        correlation_id: str | None = None,
        why: str = "",
        timeout: float = 10,
    ) -> Answer:
        await self.post(command, message_id=message_id, correlation_id=correlation_id, why=why)
        return self.answer

    async def post(
        self, command: Command, *, message_id: str | None = None, correlation_id: str | None = None, why: str = ""
    ) -> str:
        self.tried.append(message_id or "")
        if self.error:
            raise self.error
        self.reasons.append(why)
        self.sent.append((command, message_id, correlation_id))
        return message_id or "m1"

    async def view(self, query: Query, *, timeout: float = 10) -> dict[str, Any]:
        if self.error:
            raise self.error
        if isinstance(query, LogIn):
            return self._logged_in(query)
        self.asked.append(query)
        if query.TYPE.name not in self.views:
            raise ViewRefusedError(query.TYPE.name, "not_found", "there is no such thing")
        return self.views[query.TYPE.name]

    def _logged_in(self, query: LogIn) -> dict[str, Any]:
        if query.password != "correct horse":
            raise ViewRefusedError("auth.login", "wrong_credentials", "no user has this name and password")
        ends = datetime.now(UTC) + self.good_for
        return {"account_id": f"{query.username}-1", "token": self.user_token, "expires_at": ends.isoformat()}

    def acting_as(self, identity: str) -> Self:
        self.identity = identity
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


def lines(*events: str, data: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A timeline with these events."""
    return {
        "lines": [
            {
                "at": f"2026-01-01T00:00:0{number}.5+00:00",
                "event": event,
                "key": "k1",
                "data": data[number] if data else {},
            }
            for number, event in enumerate(events)
        ]
    }
