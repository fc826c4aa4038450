"""Shows the log of all processes in the driver's terminal as it grows, and keeps the file from growing for ever."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import TextIO

import structlog

from spark_actors.telemetry import tuning
from spark_actors.telemetry.log_files import LogFiles
from spark_actors.telemetry.logs import LogFormat, renderer_for


class LogTail:
    """Follows a log file and writes its new lines to a stream; rotates it by size. One for each file.

    Rotation renames: `daemon.jsonl` becomes `daemon.jsonl.1`, and so on up to *kept*. Writers follow by themselves
    (see `WholeLineHandler`); what they still write to the renamed file is shown too. If the stream breaks, lines are
    no longer shown but the file is still rotated. Constructing does no I/O; *max_bytes* may be passed by a little.
    """

    def __init__(
        self,
        file: Path,
        stream: TextIO,
        *,
        format: LogFormat = "auto",
        max_bytes: int = 50_000_000,
        kept: int = tuning.LOG_FILES_KEPT,
    ) -> None:
        self._file, self._max_bytes, self._kept = file, max_bytes, kept
        self._screen = Screen(stream, format)
        self._files: LogFiles | None = None
        self._stopping = Event()
        self._thread: Thread | None = None

    def open(self) -> None:
        """Begin with lines written from now on. The file is made if need be; its folder must exist."""
        if self._files is None:
            self._make()
            self._files = LogFiles(self._file, kept=0)
            self._files.skip()

    def start(self, interval_seconds: float = 0.2) -> None:
        """Open, and take a step each *interval_seconds* in a thread of its own. Starting twice does nothing."""
        if self._thread is None:
            self.open()
            self._stopping.clear()
            self._thread = Thread(target=self._run, args=(interval_seconds,), name="log-tail", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Show what has been written so far, then close. Safe before start and after stop."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None
        if self._files is not None:
            self.step()
            self._files.close()
            self._files = None

    def step(self) -> int:
        """Show the lines that are new, and rotate if it is time. Gives their number. Raises OSError."""
        if self._files is None:
            return 0
        self._make()
        lines = list(self._files.lines())
        self._screen.show(lines)
        if self._files.position >= self._max_bytes:
            self._rotate()
        return len(lines)

    def _run(self, interval_seconds: float) -> None:
        pause = interval_seconds
        while not self._stopping.wait(pause):
            try:
                self.step()
                pause = interval_seconds
            except OSError:
                structlog.get_logger(__name__).exception("log_tail_failed")
                pause = tuning.TAIL_RETRY_SECONDS

    def _make(self) -> None:
        """See to it that there is a file."""
        os.close(os.open(self._file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _rotate(self) -> None:
        names = [self._file, *(Path(f"{self._file}.{age}") for age in range(1, self._kept + 1))]
        for younger, older in reversed(list(pairwise(names))):
            if younger.exists():
                os.replace(younger, older)


class Screen:
    """Where lines are shown."""

    def __init__(self, stream: TextIO, format: LogFormat) -> None:
        self._stream: TextIO | None = stream
        as_it_is = format == "json" or (format == "auto" and not stream.isatty())
        self._render = None if as_it_is else renderer_for("console", stream)

    def show(self, lines: Iterable[str]) -> None:
        """Write the lines; after the stream has broken, nothing."""
        if self._stream is None:
            return
        try:
            for line in lines:
                self._stream.write(self._text(line) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # closed at the other end, or by ourselves
            self._stream = None

    def _text(self, line: str) -> str:
        if self._render is None:
            return line
        try:
            return str(self._render(None, "", json.loads(line)))
        except (ValueError, TypeError, AttributeError):  # not ours: shown as it is
            return line
