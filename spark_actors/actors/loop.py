"""A step that runs again and again: the one shape of all background work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from spark_actors.actors import tuning

log = structlog.get_logger(__name__)

Round = Callable[[], Awaitable[float]]
"""Does one round and gives how many seconds to wait before the next (0: at once); `Loop.wake` ends the wait.

What it raises is a failure: it is retried after a back-off that grows with each, and no wake ends that pause.
"""

ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


def time_to_grow(size: int, longest_seconds: float) -> float:
    """How many seconds the batch after one of *size* may take to gather: the longest under load, next to none at rest.

    Each batch costs about the same, however many there are in it. So under load fewer and larger ones leave the
    processors more time than the wait takes from the messages.
    """
    return longest_seconds * min(1.0, size / tuning.BUSY_SIZE)


def steady_now() -> datetime:
    """Time to wait by: it counts from any moment, and no jump of the clock moves it."""
    return ANY_MOMENT + timedelta(seconds=asyncio.get_running_loop().time())


class Loop:
    """Runs a step until stopped. A step that raises is retried with back-off, and logged once per streak.

    A wake ends the wait that a step asked for, never the pause after a failure: who wakes it does not know that it
    fails, and may do so thousands of times a second. `start` and `stop` may be called twice; `stop` lets the step in
    hand end.
    """

    def __init__(self, name: str, step: Round) -> None:
        self.name = name
        self._step = step
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failures = 0
        self._problem = ""
        self._failing_since = 0.0

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """Do the next round now, at once after the one in hand, or when the pause after a failure is over."""
        self._woken.set()

    async def stop(self) -> None:
        """Let the round in hand end; no other begins."""
        self._stopping.set()
        self.wake()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def cancel(self) -> None:
        """End at once, also in the middle of a round."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def problem(self) -> str:
        """Why the last round failed; empty if it did not."""
        return f"{self.name}: {self._problem}" if self._problem else ""

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            delay = await self._round()
            await pause(delay, until=self._stopping if self._failures else self._woken)

    async def _round(self) -> float:
        try:
            delay = await self._step()
        except Exception as error:  # noqa: BLE001 - the loop itself must never end: log, count, retry
            return self._failed(error)
        if self._failures:
            log.info("recovered", loop=self.name, after_seconds=round(time.monotonic() - self._failing_since, 1))
        self._failures, self._problem = 0, ""
        return delay

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        self._problem = f"{type(error).__name__}: {error}"
        if self._failures == 1:
            self._failing_since = time.monotonic()
            log.warning("failing", loop=self.name, error=self._problem, exc_info=error)
        return tuning.LOOP_BACK_OFF.seconds_after(self._failures)


async def pause(seconds: float, *, until: asyncio.Event) -> None:
    """Wait so long, or until this happens."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
