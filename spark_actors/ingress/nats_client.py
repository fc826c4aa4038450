"""A NATS client that no message can stop, and the way to one of several servers.

nats-py decodes subjects and status lines strictly in its reading loop: one that is no UTF-8 ends the loop, the
connection stays "connected" and deaf, and a stream delivers the same message again after every new start. The
private methods that decode are overridden here; a test holds them to the version in use.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from random import SystemRandom
from types import MappingProxyType
from typing import Any, TypeVar

import nats.errors
from nats.aio.client import Client

T = TypeVar("T")
OnError = Callable[[Exception], Awaitable[None]]

ONE_TRY: Mapping[str, Any] = MappingProxyType(
    {
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,  # counts for the first connection, too
        "reconnect_time_wait": 0,
    }
)
"""Options of a connection that is not made again by itself: whoever uses it knows better when, and to which server."""


class NoServerError(nats.errors.Error):
    """None of the servers takes us. Its text says why of each, without what is secret in their addresses."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return "; ".join(f"{server}: {reason}" for server, reason in self.reasons.items())


async def connected_to_any(urls: str, connect: Callable[[str, OnError], Awaitable[T]]) -> T:
    """What *connect* gives for the first server that takes us of several, with commas between them, in any order.

    *connect* gets a server and what it is to tell errors to while it connects. Raises NoServerError.
    """
    servers = [server.strip() for server in urls.split(",")]
    reasons: dict[str, str] = {}
    for server in SystemRandom().sample(servers, len(servers)):
        said: list[Exception] = []

        async def note(error: Exception, said: list[Exception] = said) -> None:
            said[:] = [error]

        try:
            return await connect(server, note)
        except (OSError, TimeoutError, nats.errors.Error) as error:
            # What is raised in the end is only that there is no further server; the reason was told before.
            reasons[shown(server)] = _reason(said[-1] if said else error)
    raise NoServerError(reasons)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    # A server that refuses a login hangs up at once, which may overtake its word.
    return f"{text} (it may refuse the token)" if isinstance(error, ConnectionResetError) else text


def shown(urls: str) -> str:
    """Addresses fit for a log: without user, password or token."""
    return re.sub(r"://[^@,/]*@", "://***@", urls)


class SturdyClient(Client):
    """Reads on whatever producers write into subjects and headers."""

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Any:
        """What is no UTF-8 shows as escapes, so that such a subject is unknown rather than unreadable."""
        try:
            return super()._build_message(sid, subject, reply, data, headers)
        except UnicodeDecodeError:
            return super()._build_message(sid, _readable(subject), _readable(reply), data, headers)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        """Headers that cannot be read count as none."""
        try:
            return await super()._process_headers(headers)
        except (UnicodeDecodeError, LookupError):
            return None

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """As nats-py has it, without a look at each character: a quarter of the time that a message took to arrive.

        What comes twice is joined with a comma, so that nobody takes the last one for all that was said.
        """
        headers: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon and name.isascii() and len(name.split()) == 1:
                text = value.strip().decode("utf-8", "replace")
                plain = name.strip().decode()
                headers[plain] = f"{headers[plain]}, {text}" if plain in headers else text
        return headers


def _readable(text: bytes) -> bytes:
    return text.decode("utf-8", "backslashreplace").encode()
