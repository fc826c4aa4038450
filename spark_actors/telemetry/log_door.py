"""Gives a node's log lines to operators of other machines: to who shows an operator's token, and in bounded pieces."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from pathlib import Path
from threading import BoundedSemaphore, Event

from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import Authenticate
from spark_actors.telemetry import tuning
from spark_actors.telemetry.log_files import LogFiles, LogQuery, newest


class NoEntryError(SparkError):
    """Who asks gets no lines; *status* is HTTP's word for why."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail

    def __str__(self) -> str:
        return self.detail


class LogDoor:
    """Reads the log *file*, with what rotation made of it, for who may. Safe to use from several threads."""

    def __init__(self, file: Path, authenticate: Authenticate, *, now: Callable[[], float] = time.time) -> None:
        self._file, self._authenticate, self._now = file, authenticate, now
        self._places = BoundedSemaphore(tuning.LOG_READERS)

    def lines(self, authorization: str, wanted: Mapping[str, str], is_ending: Event) -> Generator[str, None, None]:
        """What is wanted, by the names of `LogQuery`'s fields; with `follow` also what comes, until *is_ending*.

        Who follows gets an empty line now and then. To be closed by who reads. Raises NoEntryError.
        """
        self._refuse_strangers(authorization)
        query = query_of(wanted)
        if not self._places.acquire(blocking=False):
            raise NoEntryError(HTTPStatus.SERVICE_UNAVAILABLE, f"{tuning.LOG_READERS} others are reading; ask again")
        reading = self._read(query, "follow" in wanted, is_ending)
        next(reading)  # now it has what it must give back
        return reading

    def _refuse_strangers(self, authorization: str) -> None:
        try:
            sender = self._authenticate(authorization, self._now())
        except RefusedError as error:
            raise NoEntryError(HTTPStatus.UNAUTHORIZED, error.detail) from error
        if not sender.sees_everything:
            raise NoEntryError(HTTPStatus.UNAUTHORIZED, "needs an operator's or reader's token, in Authorization")

    def _read(self, query: LogQuery, follows: bool, is_ending: Event) -> Generator[str, None, None]:
        try:
            yield ""
            yield from followed(self._file, query, is_ending) if follows else there(self._file, query)
        finally:
            self._places.release()


def there(file: Path, query: LogQuery) -> list[str]:
    """The wanted lines that are there, the newest last."""
    files = LogFiles(file)
    try:
        return newest(files.lines(), query)
    finally:
        files.close()


def followed(file: Path, query: LogQuery, is_ending: Event) -> Generator[str, None, None]:
    """The wanted lines that are there, then those that come; an empty one whenever none has come for a while."""
    files = LogFiles(file)
    try:
        yield from newest(files.lines(), query)
        silent_seconds = 0.0
        while not is_ending.wait(tuning.LOG_LOOK_SECONDS):
            silent_seconds += tuning.LOG_LOOK_SECONDS
            for line in filter(query.wants, files.lines()):
                silent_seconds = 0.0
                yield line
            if silent_seconds > tuning.LOG_SIGN_SECONDS:
                silent_seconds = 0.0
                yield ""
    finally:
        files.close()


def query_of(wanted: Mapping[str, str]) -> LogQuery:
    """Raises NoEntryError for a limit that is no number."""
    limit = wanted.get("limit", str(tuning.LOG_LINES))
    if not (limit.isascii() and limit.isdigit() and 0 < int(limit) <= tuning.LOG_MOST_LINES):
        detail = f"limit: expected a number from 1 to {tuning.LOG_MOST_LINES}, got {limit[:20]!r}"
        raise NoEntryError(HTTPStatus.BAD_REQUEST, detail)
    texts = {name: wanted[name] for name in ("after", "correlation_id", "process") if name in wanted}
    return LogQuery(**texts, limit=int(limit))
