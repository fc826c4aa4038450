"""What can go wrong between actors."""

from __future__ import annotations

from domain.shared.errors import SparkError


class ActorUnavailableError(SparkError):
    """An actor did not answer: it is dead, being replaced, or out of reach. Whether it did its work is unknown."""

    def __init__(self, actor: str, detail: str) -> None:
        super().__init__(actor, detail)
        self.actor, self.detail = actor, detail

    def __str__(self) -> str:
        return f"{self.actor} is unavailable: {self.detail}"


class ActorDiedError(ActorUnavailableError):
    """An actor's process ended while it had the call in hand, or shortly before."""
