"""Audits that are made beside the work: one at a time, in a thread, and the last one is remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock, Thread

from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.ports import Clock
from spark_actors.operations.messages import AuditState, CheckLine, FindingLine
from spark_actors.persistence.audit import Check

FRESH = timedelta(seconds=10)
"""An audit that has ended so lately is given instead of another one: it reads all books."""


@dataclass(frozen=True)
class _Ended:
    started_at: datetime
    ended_at: datetime
    checks: Sequence[Check]
    problem: str = ""


class Audits:
    """Has audits made. For any thread."""

    def __init__(self, make: Callable[[], Sequence[Check]], clock: Clock) -> None:
        self._make, self._clock = make, clock
        self._lock = Lock()
        self._began: datetime | None = None
        self._last: _Ended | None = None

    def state(self, *, is_to_run: bool) -> AuditState:
        """The last one that has ended, and whether one is under way; with *is_to_run* one is, unless it is fresh."""
        with self._lock:
            now = self._clock()
            is_fresh = self._last is not None and now - self._last.ended_at < FRESH
            if is_to_run and self._began is None and not is_fresh:
                self._began = now
                Thread(target=self._run, args=(now,), name="audit", daemon=True).start()
            return _told(self._last, is_running=self._began is not None)

    def _run(self, began: datetime) -> None:
        checks, problem = _made(self._make)
        with self._lock:
            self._last = _Ended(began, self._clock(), checks, problem)
            self._began = None


def _made(make: Callable[[], Sequence[Check]]) -> tuple[Sequence[Check], str]:
    """The checks, or why there are none."""
    try:
        return make(), ""
    except SparkError as error:
        return (), str(error)
    except Exception as error:  # noqa: BLE001 - a bug of a check must not leave the audit under way for ever
        return (), f"{type(error).__name__}: {error}"


def _told(last: _Ended | None, *, is_running: bool) -> AuditState:
    if last is None:
        return AuditState(is_running, None, None, None, "", ())
    is_passed = None if last.problem else all(check.is_passed for check in last.checks)
    lines = tuple(
        CheckLine(check.name, check.is_passed, tuple(FindingLine(each.subject, each.detail) for each in check.findings))
        for check in last.checks
    )
    return AuditState(is_running, last.started_at, last.ended_at, is_passed, last.problem, lines)
