"""What can go wrong between actors."""

from __future__ import annotations

from spark_actors.kernel.errors import SparkError


class ActorUnavailableError(SparkError):
    """An actor did not answer: it is dead, being replaced, or out of reach. Whether it did its work is unknown.

    *has_died*: it ended of itself while it had the call before it, so the call may be why.
    """

    def __init__(self, actor: str, detail: str, has_died: bool = False) -> None:
        super().__init__(actor, detail, has_died)
        self.actor, self.detail, self.has_died = actor, detail, has_died

    def __str__(self) -> str:
        return f"{self.actor} is unavailable: {self.detail}"
