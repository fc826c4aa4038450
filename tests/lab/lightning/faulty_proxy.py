"""What stands before a node and spoils calls: loses them or their answers, cuts them, keeps silent, refuses them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from urllib.parse import urlsplit

from tests.fixtures.proxy import Proxy, Streams

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
TOO_MANY = b'{"error":"Rate limit exceeded: 200 per 1 minute"}'
CUT_AFTER = 20
"""Bytes of the body that still come."""


class Fault(Enum):
    LOST_CALL = auto()  # the connection ends before the node has seen anything
    LOST_ANSWER = auto()  # the node does as it is told, and nobody hears of it
    BAD_GATEWAY = auto()  # the same, and something else answers, with a page
    NO_GATEWAY = auto()  # such a page, but the node has not seen the call, or not yet
    TOO_MANY = auto()  # the node has not seen it, and 429 is answered
    SILENCE = auto()  # the node does as it is told, and the connection stays open
    CUT = auto()  # the answer ends in its middle


REACHES = {Fault.LOST_ANSWER, Fault.BAD_GATEWAY, Fault.SILENCE, Fault.CUT}
"""With these the node has done what it was asked for."""


class FaultyProxy(Proxy):
    """An HTTP proxy that has one request to a connection."""

    def __init__(self, url: str) -> None:
        port = urlsplit(url).port
        super().__init__(lambda: asyncio.open_connection("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self.listen_on_port()}"
        self.passed: list[str] = []
        """Method and path of each request that the node has seen."""
        self._fault: Fault | None = None
        self._at = ""
        self._draw: Callable[[str], Fault | None] = self._drawn
        self._delayed = ""
        self._is_prompt = asyncio.Event()
        self._is_prompt.set()

    @contextmanager
    def spoiling(self, fault: Fault, at: str) -> Iterator[None]:
        """Meanwhile, calls that begin so, such as `POST /api/v1`, go wrong."""
        self._at, self._fault = at, fault
        try:
            yield
        finally:
            self._fault = None

    @contextmanager
    def drawing(self, draw: Callable[[str], Fault | None]) -> Iterator[None]:
        """Meanwhile *draw* says what goes wrong with each call, by its method and path; None: nothing."""
        self._draw = draw
        try:
            yield
        finally:
            self._draw = self._drawn

    @contextmanager
    def delaying(self, at: str) -> Iterator[None]:
        """Meanwhile, calls that begin so are cut off from who makes them; the node sees them when this ends."""
        self._loop.call_soon_threadsafe(self._is_prompt.clear)
        self._delayed = at
        try:
            yield
        finally:
            self._delayed = ""
            self._loop.call_soon_threadsafe(self._is_prompt.set)

    def count(self, at: str) -> int:
        return sum(each.startswith(at) for each in self.passed)

    def _drawn(self, what: str) -> Fault | None:
        return self._fault if what.startswith(self._at) else None

    async def _through(self, client: Streams) -> None:
        reader, writer = client
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(length_of(head))
            method, path, _ = head.decode("latin-1").split(" ", 2)
            what = f"{method} {path}"
            fault = self._draw(what)
            if fault is Fault.LOST_CALL:
                return
            if fault is Fault.NO_GATEWAY:
                writer.write(answer(502, "text/html", HTML))
                return
            if fault is Fault.TOO_MANY:
                writer.write(answer(429, "application/json", TOO_MANY))
                return
            if self._delayed and what.startswith(self._delayed):
                writer.close()
                await self._is_prompt.wait()
            self.passed.append(what)
            await self._forward(closing(head) + body, writer, fault)
        except (OSError, asyncio.IncompleteReadError):
            return  # one of the two is not there any more
        finally:
            writer.close()

    async def _forward(self, request: bytes, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        above_reader, above_writer = await self._connect()
        try:
            above_writer.write(request)
            head = await above_reader.readuntil(b"\r\n\r\n")
            if fault is None:
                writer.write(head)
                while part := await above_reader.read(65_536):
                    writer.write(part)
                    await writer.drain()
                return
            if fault is Fault.CUT:
                writer.write(head + (await above_reader.read(65_536))[:CUT_AFTER])
                await writer.drain()
                return
            await above_reader.read(65_536)
            if fault is Fault.BAD_GATEWAY:
                writer.write(answer(502, "text/html", HTML))
            if fault is Fault.SILENCE:
                await asyncio.Event().wait()
        finally:
            above_writer.close()


def length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def closing(head: bytes) -> bytes:
    """The same request for a connection that ends with its answer."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


def answer(status: int, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} Spoilt\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
