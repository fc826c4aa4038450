"""Sessions: the token that the daemon gave somebody for logging in, kept by their browser in a cookie alone.

It is not verified here: there is no key. What it says decides what is offered; what is answered, the daemon decides.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from http.cookies import SimpleCookie

import msgspec

from spark_actors.web.pages import NOBODY, Visitor

MOST_CHARACTERS = 4_000
"""Of a token; browsers keep no larger cookie."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class _Claims(msgspec.Struct):
    sub: str
    exp: int
    roles: list[str]


class Sessions:
    """Reads and makes the cookie."""

    def __init__(self, port: int, *, is_encrypted: bool) -> None:
        """*is_encrypted*: browsers keep the cookie for https alone.

        The port is in its name, because cookies are for all ports of a host: another program on this machine must not
        take it for its own.
        """
        self._is_encrypted = is_encrypted
        self.cookie = f"__Host-spark-{port}" if is_encrypted else f"spark-{port}"

    def visitor(self, cookies: Mapping[str, str], now: float) -> Visitor:
        """Who comes with these cookies at that Unix time; nobody if there is no token in them, or one that is over."""
        return bearer_of(cookies.get(self.cookie, ""), now)

    def begun(self, token: str, now: float) -> str:
        """The header Set-Cookie that keeps this token until it expires."""
        claims = _claims(token)
        return self._header(token, int(claims.exp - now) if claims else 0)

    def ended(self) -> str:
        """The header Set-Cookie that takes it away."""
        return self._header("", 0)

    def _header(self, value: str, seconds: int) -> str:
        cookie: SimpleCookie = SimpleCookie()
        cookie[self.cookie] = value
        kept = cookie[self.cookie]
        kept["path"], kept["samesite"], kept["max-age"] = "/", "Lax", str(seconds)
        for flag in ("httponly", *(["secure"] if self._is_encrypted else [])):
            kept[flag] = True
        return kept.OutputString()


def bearer_of(token: str, now: float) -> Visitor:
    """Whom a token names at that Unix time; nobody if it is none, or over."""
    claims = _claims(token)
    if claims is None or claims.exp <= now:
        return NOBODY
    return Visitor(claims.sub, frozenset(claims.roles), float(claims.exp), token)


def _claims(token: str) -> _Claims | None:
    if len(token) > MOST_CHARACTERS or not _TOKEN.fullmatch(token):
        return None
    body = token.split(".")[1]
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=_Claims)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
