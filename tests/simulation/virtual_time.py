"""An event loop whose time is virtual: while nothing is ready it jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class _Stuck(Exception):
    """Nothing is ready and no timer runs: time would stand still for ever."""


class _TimeJump(selectors.BaseSelector):
    """Watches no files: to wait for them is to let virtual time pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise _Stuck
        self.now += max(0.0, timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs ready callbacks in the order in which they became ready, as asyncio promises, in no real time at all.

    What the order of things is depends on the delays alone that the simulation draws, so a run repeats exactly.
    """

    def __init__(self) -> None:
        self._jump = _TimeJump()
        super().__init__(self._jump)
        self.set_exception_handler(lambda loop, context: None)  # what a killed process leaves behind is no news

    def time(self) -> float:
        return self._jump.now


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
