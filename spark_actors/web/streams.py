"""Streams that keep open pages up to date: what a page shows is asked for again, and sent when it has changed.

Who looks at the same as the same one shares one question, however many they are. Nothing is asked when nobody looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import suppress
from typing import NamedTuple

import structlog

from spark_actors.kernel.errors import SparkError
from spark_actors.web import tuning
from spark_actors.web.pages import AwayError

log = structlog.get_logger(__name__)


class Look(NamedTuple):
    """What a page shows at a moment."""

    html: str
    is_final: bool = False
    """Whether it will stay so."""


Ask = Callable[[], Awaitable[Look]]
AWAY, BACK, OVER, BYE = "away", "back", "over", "bye"
"""Events: the daemon is away, it is back, nothing more will come, come again (the process ends)."""


def event(name: str) -> str:
    """A message without content, which the page hears of under this name."""
    return f"event: {name}\ndata: {name}\n\n"


def change(look: str, number: int) -> str:
    """A message whose content the page shows."""
    lines = "".join(f"data: {line}\n" for line in look.splitlines())
    return f"id: {number}\n{lines}\n"


class Pace:
    """At most so many a second, in the order in which they ask."""

    def __init__(self, a_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._gap, self._now = 1 / a_second, now
        self._next = 0.0

    def wait_seconds(self) -> float:
        """How long the next one has to wait; it has its turn with that."""
        turn = max(self._now(), self._next)
        self._next = turn + self._gap
        return turn - self._now()


class _Watch:
    """One thing that is looked at: by one task, for all who follow it."""

    def __init__(self, ask: Ask, streams: Streams) -> None:
        self._ask, self._streams = ask, streams
        self.signal = asyncio.Event()
        """Set with the next news; then there is another one."""
        self.look: Look | None = None
        self.is_away = False
        self.number = 0
        self.has_failed = False
        self.followers = 0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not (self.look and self.look.is_final) and not self.has_failed:
            await asyncio.sleep(self._streams.pace.wait_seconds())
            await self._look_again()
            await self._streams.rest()

    async def _look_again(self) -> None:
        try:
            look: Look | None = await self._ask()
            is_away = False
        except AwayError:
            look, is_away = self.look, True
        except Exception as error:
            if not isinstance(error, SparkError):
                log.exception("look_failed")
            self.has_failed = True
            self.tell()
            return
        if (look, is_away) != (self.look, self.is_away):
            if self.look is not None:
                self._streams.is_lively()
            self.look, self.is_away = look, is_away
            self.number += 1
            self.tell()

    def tell(self) -> None:
        """Wake all who follow."""
        self.signal.set()
        self.signal = asyncio.Event()


class Streams:
    """All open streams of this process."""

    def __init__(self, max_streams: int) -> None:
        self._max = max_streams
        self._open = 0
        self._watches: dict[Hashable, _Watch] = {}
        self._lively_until = 0.0
        self._lively = asyncio.Event()
        self.is_closing = False
        self.pace = Pace(tuning.QUESTIONS_A_SECOND)

    @property
    def is_full(self) -> bool:
        """Whether no more streams are taken."""
        return self._open >= self._max or self.is_closing

    @property
    def looks(self) -> int:
        """How many things are looked at."""
        return len(self._watches)

    def is_lively(self) -> None:
        """Something changes, or is about to: look again at once, and quickly for a while."""
        self._lively_until = time.monotonic() + tuning.LIVELY_SECONDS
        self._lively.set()

    async def rest(self) -> None:
        """Until it is time to look again."""
        if time.monotonic() < self._lively_until:
            await asyncio.sleep(tuning.QUICK_SECONDS)
            return
        self._lively.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(tuning.SLOW_SECONDS):
                await self._lively.wait()

    def close(self) -> None:
        """Have all streams end."""
        self.is_closing = True
        for watch in self._watches.values():
            watch.tell()

    async def follow(self, key: Hashable, ask: Ask, until: float) -> AsyncIterator[str]:
        """The messages of one stream: what is to be seen now, then each change. It ends at the Unix time *until*.

        *key* tells what is looked at, and as whom: for one key one *ask* is called, that of whoever came first. Where
        there is no room any more, it only says so.
        """
        if self.is_full:
            yield event(BYE)
            return
        self._open += 1
        watch = self._watches.get(key)
        if watch is None or watch.task.done():
            watch = self._watches[key] = _Watch(ask, self)
        watch.followers += 1
        try:
            async for message in self._messages(watch, until):
                yield message
        finally:
            self._open -= 1
            watch.followers -= 1
            if not watch.followers:
                watch.task.cancel()
                if self._watches.get(key) is watch:
                    del self._watches[key]

    async def _messages(self, watch: _Watch, until: float) -> AsyncIterator[str]:
        seen, was_away, shown = 0, False, ""
        yield ": looking\n\n"
        while True:
            signal = watch.signal  # before anything is looked at: what comes meanwhile sets it
            if watch.number != seen:
                seen = watch.number
                if watch.is_away != was_away:
                    was_away = watch.is_away
                    yield event(AWAY if was_away else BACK)
                if watch.look and watch.look.html != shown:
                    shown = watch.look.html
                    yield change(shown, seen)
            if self.is_closing:
                yield event(BYE)
                return
            left = until - time.time()
            if watch.has_failed or left <= 0 or (watch.look and watch.look.is_final):
                yield event(OVER)
                return
            try:
                async with asyncio.timeout(min(left, tuning.COMMENT_SECONDS)):
                    await signal.wait()
            except TimeoutError:
                yield ": still looking\n\n"
