"""What all screens of the console do: read a filter from an address, and say in words what the daemon refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import urlencode

from spark_actors.web.pages import Answer, Handler, NotAllowedError, Page, Visit

Fields: TypeAlias = Mapping[str, str]

CONSOLE = "/console"
OF_THE_TOKEN = ("unauthenticated", "forbidden")
"""Refusals that are no matter of what was asked."""
BUSY = "busy"
PASSING = (BUSY, "failed")
"""Refusals that the same form may not meet again."""
SENTENCES = {
    "refused": "The daemon did not do that.",
    "forgotten": "It is older than the daemon remembers, and might take effect twice."
    " If you know that it did not, tick “Also what is old” and send it again.",
    "usage": "What it was changed into is no such message.",
    "malformed_data": "The daemon does not take that.",
    "not_found": "It is not there any more.",
    BUSY: "Too many ask the daemon just now. Nothing was done; send it again in a moment.",
    "unknown_outcome": "It was sent, and how it ended is not known yet. Sent again it takes effect once.",
    "unavailable": "What it needs is away just now. Send it again when that is back: it takes effect once.",
    "failed": "Something failed in the daemon; its log says what. Sent again it takes effect once.",
    "too_large": "That is more than one answer holds. Ask for less.",
}
"""What the daemon's words for why something was not done mean, and what to do then."""


class FormProblemError(Exception):
    """What stands in a form cannot be sent; says why."""


def sentence(code: str) -> str:
    """What a code of the daemon means."""
    return SENTENCES.get(code, f"The daemon refuses that: {code}.")


def careful(handler: Callable[[Visit], Awaitable[Answer]]) -> Handler:
    """*handler*, with a page of the console for what the daemon refuses to answer or to do."""

    @wraps(handler)
    async def answer(visit: Visit) -> Answer:
        try:
            return await handler(visit)
        except NotAllowedError as error:
            if error.code in OF_THE_TOKEN:
                raise
            status = HTTPStatus.SERVICE_UNAVAILABLE if error.code == BUSY else HTTPStatus.UNPROCESSABLE_ENTITY
            again = visit.form if error.code in PASSING else {}
            return _problem_page(sentence(error.code), error.detail, again, status)
        except FormProblemError as error:
            return _problem_page(str(error), "", {}, HTTPStatus.UNPROCESSABLE_ENTITY)

    return answer


def _problem_page(said: str, detail: str, again: Fields, status: HTTPStatus) -> Page:
    """What is wrong, and the form to send once more if that may help."""
    return Page("console/problem.html", {"said": said, "detail": detail, "again": again}, status=int(status))


def why_of(visit: Visit) -> str:
    """Why somebody acts. Raises FormProblemError if they do not say it."""
    if why := visit.form.get("why", "").strip():
        return why
    raise FormProblemError("Say why: it is kept with what you do. Nothing was done.")


def chosen(said: Fields, *names: str) -> dict[str, Any]:
    """Those fields of a filter that have a value: each a text."""
    return {name: value for name in names if (value := said.get(name, "").strip())}


def moment_of(said: Fields, name: str) -> datetime | None:
    """A time of UTC, as browsers send one; None if there is none. Raises FormProblemError."""
    text = said.get(name, "")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise FormProblemError(f"“{text}” is no time. Write it like 2026-12-01T06:30, in UTC.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def number_of(said: Fields, name: str) -> int:
    """Raises FormProblemError."""
    text = said.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FormProblemError(f"“{text}” is no number.")
    return int(text)


def list_path(path: str, **question: str) -> str:
    """A path of the console with those fields of its question that have a value."""
    said = {name: value for name, value in question.items() if value}
    return f"{path}?{urlencode(said)}" if said else path
