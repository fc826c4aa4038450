"""What stands before every route: which host was meant, whether the request is from our own pages, how large it is.

It is one rule for every method but GET and HEAD, whichever route there is. Loopback is no protection against what the
visitor's own browser does for other pages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import NamedTuple

HARMLESS = ("GET", "HEAD")
"""Methods that change nothing."""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""


class Refusal(NamedTuple):
    """Why a request goes no further."""

    status: HTTPStatus
    sentence: str


def refusal_of(
    method: str,
    headers: Mapping[str, str],
    hosts: Collection[str],
    origins: Collection[str],
    *,
    is_for_programs: bool = False,
) -> Refusal | None:
    """Why a request with these headers (names in lower case) is refused; None if it is not.

    *hosts* are what the header Host may say, *origins* where our own pages come from. *is_for_programs*: what is
    asked for reads no cookie, and so may come from what is no browser and says nothing of where it comes from.
    """
    if headers.get("host", "").lower() not in hosts:
        return Refusal(HTTPStatus.BAD_REQUEST, "These pages are not found under that address.")
    is_no_browser = "sec-fetch-site" not in headers and "origin" not in headers
    if method in HARMLESS or _is_ours(headers, origins) or (is_for_programs and is_no_browser):
        return None
    return Refusal(HTTPStatus.FORBIDDEN, "This was not sent from a page of ours, so nothing was done.")


def _is_ours(headers: Mapping[str, str], origins: Collection[str]) -> bool:
    """Whether the browser says that one of our pages, or the visitor, has sent it.

    `same-site` is not enough: another port of this machine is that. Without Fetch Metadata (plain http, not on
    loopback) the origin decides, and who says nothing at all is not ours.
    """
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    return headers.get("origin", "") in origins
