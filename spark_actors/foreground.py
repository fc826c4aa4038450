"""What a daemon and a node have in common as processes in the foreground: how they are told to end, folder, log."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from types import FrameType

from config.settings import Settings
from spark_actors.embedded.data_dir import DataDir
from spark_actors.telemetry.logs import configure_logging
from spark_actors.telemetry.tail import LogTail

STOPPED_AT_ONCE = 128 + signal.SIGINT
"""The exit code of a process that a second signal has ended."""


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


@contextmanager
def at_home(settings: Settings, process: str, log_name: str) -> Iterator[DataDir]:
    """The data dir for this process alone; what is logged there, by actors too, is shown on standard error meanwhile.

    Raises DataDirLockedError, DataDirUnusableError.
    """
    data_dir = DataDir(settings.data_dir)
    with ExitStack() as stack:
        data_dir.create()
        data_dir.lock()
        stack.callback(data_dir.unlock)
        log_file = data_dir.logs / log_name
        configure_logging(process, log_file, settings.log.level)
        tail = LogTail(log_file, sys.stderr, format=settings.log.format, max_bytes=settings.log.file_max_bytes)
        tail.start()
        stack.callback(tail.stop)
        yield data_dir
