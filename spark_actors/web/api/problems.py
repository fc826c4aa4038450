"""What goes wrong, as programs are told it: problem details by RFC 9457, with the daemon's own word for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from spark_actors.kernel.errors import SparkError

PROBLEM_TYPE = "application/problem+json"
AGAIN_SECONDS = 1
"""When it is worth trying again, where the daemon does not say it."""
_CONTENT_TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
STATUSES: Mapping[str, HTTPStatus] = {
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "wrong_credentials": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "unknown_subject": HTTPStatus.NOT_FOUND,
    "id_reused": HTTPStatus.CONFLICT,
    "oversized": _CONTENT_TOO_LARGE,
    "too_many_attempts": HTTPStatus.TOO_MANY_REQUESTS,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "storage_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "away": HTTPStatus.SERVICE_UNAVAILABLE,
    "failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    "unreadable": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""By the daemon's word for a refusal; all others are of what was sent: 400."""
_TO_TRY_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why there is no answer as it was asked for."""

    status: HTTPStatus
    reason: str
    """One word in snake case."""
    detail: str
    """What was wrong, the value, and what was expected."""
    retry_after_seconds: int = 0
    """0 where trying again will not help."""
    members: Mapping[str, Any] | None = None
    """More of it, such as the id of the command."""

    def body(self) -> dict[str, Any]:
        """The problem's details."""
        return {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "reason": self.reason,
            **(self.members or {}),
        }

    def headers(self) -> dict[str, str]:
        """What HTTP itself wants to be told."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {}
        if self.retry_after_seconds:
            headers["Retry-After"] = str(self.retry_after_seconds)
        return headers


class ProblemError(SparkError):
    """An answer is a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.problem.reason}: {self.problem.detail}"


def refused(reason: str, detail: str, retry_after_seconds: int = 0, **members: Any) -> ProblemError:
    """The problem that a refusal is, by the daemon's word for it."""
    status = STATUSES.get(reason, HTTPStatus.BAD_REQUEST)
    if status in _TO_TRY_AGAIN:
        retry_after_seconds = retry_after_seconds or AGAIN_SECONDS
    return ProblemError(
        Problem(status=status, reason=reason, detail=detail, retry_after_seconds=retry_after_seconds, members=members)
    )


def http_problem(status: HTTPStatus, reason: str, detail: str) -> ProblemError:
    """A problem that HTTP has a status for, and the daemon no word."""
    return ProblemError(Problem(status=status, reason=reason, detail=detail))
