"""Log files that are rotated by renaming, line by line: what is there, what comes, and of it what somebody wants."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from spark_actors.telemetry import tuning


class LogFiles:
    """The lines of a log, from the oldest file that is kept to the one that is being written.

    `daemon.jsonl.1` is younger than `daemon.jsonl.2`. A rotation loses no line for who reads on: files are known by
    what they are, whatever their names become. The constructor opens what is there, and makes nothing.
    """

    def __init__(self, file: Path, *, kept: int = tuning.LOG_FILES_KEPT) -> None:
        self._names = [file, *(Path(f"{file}.{age}") for age in range(1, kept + 1))]
        self._open: list[_GrowingFile] = []
        # Youngest first: a file that is renamed meanwhile is met twice, and not missed.
        for path in self._names:
            self._meet(path)
        self._open.reverse()

    @property
    def position(self) -> int:
        """How far the file that is being written has been read."""
        return self._open[-1].position if self._open else 0

    def skip(self) -> None:
        """Leave out what is there already."""
        for growing in self._open:
            growing.skip()

    def lines(self) -> Iterator[str]:
        """Those that were finished since the last time. To be read to the end; raises OSError."""
        self._follow_the_name()
        for growing in self._open:
            yield from growing.new_lines()
        for overtaken in self._open[:-2]:
            overtaken.close()
        self._open = self._open[-2:]  # a writer may be about to write to the one before

    def close(self) -> None:
        for growing in self._open:
            growing.close()
        self._open = []

    def _follow_the_name(self) -> None:
        """Open what was begun since the last time."""
        before = len(self._open)
        for path in self._names:
            if not self._meet(path):
                break
        self._open[before:] = reversed(self._open[before:])

    def _meet(self, path: Path) -> bool:
        """Open a file that is not open yet; whether that was so."""
        try:
            growing = _GrowingFile(path)
        except FileNotFoundError:
            return False
        if growing.inode in [each.inode for each in self._open]:
            growing.close()
            return False
        self._open.append(growing)
        return True


class _GrowingFile:
    """A file that is read as it grows, whatever its name becomes."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._rest = b""
        self.inode = os.fstat(self._descriptor).st_ino
        self.position = 0

    def skip(self) -> None:
        self.position = os.fstat(self._descriptor).st_size

    def new_lines(self) -> Iterator[str]:
        """The lines finished since the last call; the beginning of one waits for its end."""
        while fresh := os.pread(self._descriptor, tuning.LOG_CHUNK_BYTES, self.position):
            self.position += len(fresh)
            *lines, self._rest = (self._rest + fresh).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "backslashreplace")

    def close(self) -> None:
        os.close(self._descriptor)


class _Heading(msgspec.Struct):
    """What lines are chosen by."""

    timestamp: str = ""
    process: str = ""
    correlation_id: str = ""


_heading = msgspec.json.Decoder(_Heading).decode


def heading_of(line: str) -> _Heading:
    """Of a line that is none of ours it is empty."""
    try:
        return _heading(line)
    except msgspec.MsgspecError:
        return _Heading()


@dataclass(frozen=True)
class LogQuery:
    """Which lines somebody wants. What is empty does not matter."""

    after: str = ""
    """Later than this moment, written as in the lines."""
    correlation_id: str = ""
    process: str = ""
    """Of the process that is called so, or whose name begins so."""
    limit: int = tuning.LOG_LINES
    """Of those that are there the newest, so many at most; what comes is not counted."""

    def wants(self, line: str) -> bool:
        if not (self.after or self.correlation_id or self.process):
            return True
        heading = heading_of(line)
        return (
            (not self.after or heading.timestamp > self.after)
            and self.correlation_id in ("", heading.correlation_id)
            and heading.process.startswith(self.process)
        )


def newest(lines: Iterable[str], query: LogQuery) -> list[str]:
    """The newest of the wanted ones, in their order: as many as it says, and fit into what is kept in memory."""
    kept: deque[str] = deque()
    size = 0
    for line in lines:
        if query.wants(line):
            kept.append(line)
            size += len(line)
            while len(kept) > query.limit or (size > tuning.LOG_KEPT_CHARACTERS and len(kept) > 1):
                size -= len(kept.popleft())
    return list(kept)
