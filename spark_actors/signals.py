"""How a process is told to end."""

from __future__ import annotations

import signal
from threading import Event
from types import FrameType


class StopAtOnce(BaseException):
    """A second signal came: end everything without draining. All that was acknowledged is in Postgres."""


class StopWanted(Exception):
    """A first signal came before there was anything to drain."""


class Signals:
    """SIGTERM and Ctrl-C: the first asks for a drain, the second ends it. Install after Ray, which sets its own."""

    def __init__(self) -> None:
        self.stop_wanted = Event()

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stop_wanted.is_set():
            raise StopAtOnce
        self.stop_wanted.set()
