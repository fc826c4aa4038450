"""The folder by which a test tells the processes of a daemon how to fail; both sides use it.

It outlives processes and daemons, so a strike that is to happen once happens once: taking the order away is one rename.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from spark_actors.messaging.crash_points import CrashPoint

FOLDER = "faults"
"""Its name in the data dir."""
STRUCK = "struck"


class Strike(StrEnum):
    """What happens to a process at a crash point."""

    KILL = "kill"
    STOP = "stop"  # until somebody continues it


class NodeMood(StrEnum):
    """How the Lightning node treats a call."""

    WELL = "well"
    AWAY = "away"  # refuses
    SLOW = "slow"  # takes its time
    DEAF = "deaf"  # does nothing and never answers
    MUTE = "mute"  # does it and never answers


class Deadly(StrEnum):
    """What every process dies of that handles a message of a certain id, again and again."""

    COMMAND = "command"  # when an aggregate is to decide it
    EVENT = "event"  # when a saga is to take a step by it


@dataclass(frozen=True)
class Order:
    """What is to happen at a crash point."""

    strike: Strike
    passes: int
    """How often a process passes the point before it is struck."""


class FaultFolder:
    """Orders for the processes of one daemon. Reading is cheap; nothing there means that all is well."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FOLDER

    def arm(self, point: CrashPoint, detail: str = "", *, strike: Strike = Strike.KILL, passes: int = 0) -> None:
        """Have the first process that has passed the point *passes* times be struck there. *detail*: only with this."""
        self._file(f"{_name(point, detail)}.{STRUCK}").unlink(missing_ok=True)  # first: the strike may come at once
        self._write(_name(point, detail), f"{strike} {passes}")

    def disarm(self, point: CrashPoint, detail: str = "") -> None:
        self._file(_name(point, detail)).unlink(missing_ok=True)

    def struck(self, point: CrashPoint, detail: str = "") -> int | None:
        """The process that was struck, if one was."""
        return _number(self._read(f"{_name(point, detail)}.{STRUCK}"))

    def struck_at(self, point: CrashPoint, detail: str = "") -> datetime:
        """When that was. Raises FileNotFoundError if it was not."""
        found = self._file(f"{_name(point, detail)}.{STRUCK}").stat()
        return datetime.fromtimestamp(found.st_mtime, UTC)

    def order(self, point: CrashPoint, detail: str) -> tuple[str, Order] | None:
        """What is to happen to a process that passes the point now, and the name to `take` it by."""
        for name in (_name(point, ""), _name(point, detail)):
            strike, _, passes = self._read(name).partition(" ")
            if strike:
                return name, Order(Strike(strike), int(passes or 0))
        return None

    def take(self, name: str) -> bool:
        """Whether this process is the one to be struck; the order is gone then, and the process is remembered."""
        mine = self._file(f"{name}.{os.getpid()}")
        try:
            self._file(name).rename(mine)
        except FileNotFoundError:
            return False
        mine.unlink()  # not written to: another process may be about to read what it has opened under its first name
        self._write(f"{name}.{STRUCK}", str(os.getpid()))
        return True

    def shift_clock(self, by: timedelta) -> None:
        """From now on the daemon's clock is off by so much."""
        self._write("clock", str(by.total_seconds()))

    @property
    def clock_shift(self) -> timedelta:
        return timedelta(seconds=float(self._read("clock") or 0))

    def set_mood(self, mood: NodeMood) -> None:
        """From now on the Lightning node is like that."""
        self._write("lightning", mood)

    @property
    def mood(self) -> NodeMood:
        return NodeMood(self._read("lightning") or NodeMood.WELL)

    def set_deadly(self, deadly: Deadly, word: str) -> None:
        """From now on a message dies with its handler that has *word* in a field; empty: none does."""
        self._write(f"deadly-{deadly}", word)

    def deadly(self, deadly: Deadly) -> str:
        """What makes a message deadly; empty if nothing does."""
        return self._read(f"deadly-{deadly}")

    def _file(self, name: str) -> Path:
        return self._path / name

    def _read(self, name: str) -> str:
        try:
            return self._file(name).read_text()
        except FileNotFoundError:
            return ""

    def _write(self, name: str, text: str) -> None:
        """In one step: readers see all of it or nothing."""
        self._path.mkdir(exist_ok=True)
        draft = self._file(f".{name}")
        draft.write_text(text)
        draft.rename(self._file(name))


def _name(point: CrashPoint, detail: str) -> str:
    return f"{point}:{detail}" if detail else point.value


def _number(text: str) -> int | None:
    return int(text) if text else None
