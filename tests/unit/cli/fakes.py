"""A daemon that exists only in the memory of a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from domain.auth.messages import Session
from domain.shared.decisions import Verdict
from domain.shared.messages import Command, Query
from spark_actors.ingress.client import Answer, ViewRefusedError


@dataclass
class FakeClient:
    """Stands in for SparkClient: answers what it was told to and remembers what it was sent."""

    answer: Answer = field(default_factory=lambda: Answer("m1", Verdict.DONE))
    views: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    error: Exception | None = None
    sent: list[tuple[Command, str | None, str | None]] = field(default_factory=list)
    asked: list[Query] = field(default_factory=list)
    identity: str = ""

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
        self,
        command: Command,
        *,
        message_id: str | None = None,
        correlation_id: str | None = None,
        why: str = "",
    ) -> str:
        if self.error:
            raise self.error
        self.sent.append((command, message_id, correlation_id))
        return message_id or "m1"

    async def view(self, query: Query, *, timeout: float = 10) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.asked.append(query)
        if query.TYPE.name not in self.views:
            raise ViewRefusedError(query.TYPE.name, "not_found", "there is no such thing")
        return self.views[query.TYPE.name]

    def acting_as(self, identity: str) -> Self:
        self.identity = identity
        return self

    async def log_in(self, username: str, password: str) -> Session:
        if password != "correct horse":
            raise ViewRefusedError("auth.login", "wrong_credentials", "no user has this name and password")
        return Session(account_id=f"{username}-1", token="a.user.token", expires_at=datetime(2026, 1, 1, tzinfo=UTC))

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
