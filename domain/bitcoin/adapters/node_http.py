"""How the HTTP interface of a Lightning node is asked: each call is one request, which is never sent again by itself.

No connection is used twice: one that the other side has just closed would leave open whether a payment was asked for.
Neither proxies of the environment nor redirects are followed. What is raised tells the method, the path and the status,
never what a key file holds.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from msgspec import MsgspecError, convert

from domain.bitcoin.adapters import tuning
from domain.bitcoin.ports import LightningError, NotSentError
from spark_actors.kernel.errors import DetailedError

MEMO_BYTES = 639
"""A payment request has no room for more; LNbits fails beyond that."""
OTHERS = 0o077
"""The bits of a file's mode for everybody but its owner."""
NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class NodeSetupError(DetailedError):
    """A Lightning node answers, but cannot be used as the settings say. An operator must change something."""


class KeyFile:
    """A file with a secret that nobody but its owner may read. It is read each time, so that it may be replaced."""

    def __init__(self, setting: str, path: str) -> None:
        self._setting = setting
        self._path = path

    def read(self) -> bytes:
        """What it holds. Raises NotSentError, in words, if it cannot be used: without a key nothing is asked for."""
        path = Path(self._path)
        try:
            mode = path.stat().st_mode
            if mode & OTHERS:
                raise NotSentError(
                    f"{self._setting} = {path} can be read by others (mode {mode & 0o777:04o}): expected 0600"
                )
            content = path.read_bytes()
        except OSError as error:
            raise NotSentError(f"{self._setting} = {path} cannot be read: {error.strerror}") from error
        if not content.strip():
            raise NotSentError(f"{self._setting} = {path} is empty")
        return content

    def text(self) -> str:
        """What it holds, as one word that a header can carry. Raises NotSentError as `read` does."""
        try:
            word = self.read().decode("ascii").strip()
        except UnicodeDecodeError:
            word = ""
        if not (word.isprintable() and word and " " not in word):
            raise NotSentError(f"{self._setting} = {self._path} holds something else than one key")
        return word


@dataclass(frozen=True)
class Answer:
    """What a node has answered to one request."""

    what: str
    """The method and path of the request, for messages."""
    status: int
    body: Any
    """Read as JSON; None if it is none."""

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def problem(self) -> str:
        """What went wrong, for messages."""
        body = self.body if isinstance(self.body, dict) else {}
        inner = body.get("error")
        said = body.get("detail") or body.get("message") or (inner.get("message") if isinstance(inner, dict) else inner)
        words = str(said)[:200] if said else "something else than it should"
        return f"{self.what} was answered with {self.status}: {words}"

    def read(self, kind: type[Any], *path: str) -> Any:
        """The body, or the part of it at *path*, as a *kind*. Raises LightningError if the answer is not like that."""
        if not self.is_good:
            raise LightningError(self.problem)
        try:
            part = self.body
            for name in path:
                part = part[name]
            return convert(part, kind, strict=False)
        except (KeyError, TypeError, MsgspecError) as error:
            raise LightningError(
                f"{self.what} was answered with {self.status}, but not as expected: {error}"
            ) from error


class NodeHttp:
    """A client for the one address of a node. Its calls raise NotSentError if the node was certainly not asked."""

    def __init__(self, url: str, *, certificate: str = "") -> None:
        """*certificate*: a file with the only certificate that is trusted; empty: those that the system trusts."""
        self._url = url
        self._certificate = certificate
        self._client: httpx.AsyncClient | None = None

    @property
    def url(self) -> str:
        return self._url

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        seconds: float | None = None,
        content: object = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """What the node answers. Raises LightningError if it does not within *seconds*, or not with a whole answer."""
        limit = tuning.CALL_SECONDS if seconds is None else seconds
        async with self._sent(method, path, headers, limit, content, params) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > tuning.ANSWER_BYTES:
                    raise LightningError(f"{method} {path} was answered with more than {tuning.ANSWER_BYTES} bytes")
            return Answer(f"{method} {path}", response.status_code, parsed(bytes(body)))

    @asynccontextmanager
    async def lines(
        self, method: str, path: str, *, headers: Mapping[str, str], seconds: float, content: object = None
    ) -> AsyncIterator[AsyncIterator[Answer]]:
        """The lines of a stream, each an answer. Raises LightningError as `ask` does, *seconds* being for all of it."""
        async with self._sent(method, path, headers, seconds, content, None) as response:

            async def answers() -> AsyncIterator[Answer]:
                async for line in response.aiter_lines():
                    if line.strip():
                        yield Answer(f"{method} {path}", response.status_code, parsed(line.encode()))

            yield answers()

    async def close(self) -> None:
        """The next call opens it again."""
        client, self._client = self._client, None
        if client:
            await client.aclose()

    @asynccontextmanager
    async def _sent(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        seconds: float,
        content: object,
        params: Mapping[str, str] | None,
    ) -> AsyncIterator[httpx.Response]:
        what = f"{method} {path}"
        client = self._opened()
        try:
            async with (
                asyncio.timeout(seconds),
                client.stream(method, path, headers=dict(headers), json=content, params=params) as response,
            ):
                yield response
        except NOT_CONNECTED as error:
            raise NotSentError(f"{what}: {self._url} cannot be reached: {error!r}") from error
        except TimeoutError as error:
            raise LightningError(f"{what}: no answer within {seconds:g} s") from error
        except httpx.HTTPError as error:
            raise LightningError(f"{what}: the answer did not come: {error!r}") from error

    def _opened(self) -> httpx.AsyncClient:
        """The client, made for the event loop that uses it. Raises NotSentError if the certificate cannot be used."""
        if self._client is None:
            try:
                verify = ssl.create_default_context(cafile=self._certificate or None)
            except OSError as error:  # of which SSLError is one
                raise NotSentError(f"the certificate {self._certificate} cannot be used: {error}") from error
            self._client = httpx.AsyncClient(
                base_url=self._url,
                verify=verify,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=tuning.CONNECT_SECONDS),
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        return self._client


def fitting(memo: str) -> str:
    """As much of it as a payment request has room for."""
    return memo.encode()[:MEMO_BYTES].decode(errors="ignore")


def parsed(body: bytes) -> Any:
    """JSON as values; None for anything else."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
