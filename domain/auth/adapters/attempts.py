"""How often a login may be tried: a sliding window for each name and for all together. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class AttemptLimits:
    """Attempts in any window of so many seconds."""

    for_name: int
    overall: int
    window_seconds: float


class Attempts:
    """Remembers what was tried within the window, so no more than `overall` attempts whatever is tried."""

    def __init__(self, limits: AttemptLimits) -> None:
        self._limits = limits
        self._all: deque[tuple[float, str]] = deque()

    def take(self, name: str, now: float) -> float:
        """Count an attempt and give 0; or do not, and give the seconds until there is room for one. *now* never jumps.

        One that is refused does not count: who keeps trying does not keep others out for longer.
        """
        limits = self._limits
        while self._all and self._all[0][0] <= now - limits.window_seconds:
            self._all.popleft()
        mine = [at for at, tried in self._all if tried == name]
        full = mine if len(mine) >= limits.for_name else [at for at, _ in self._all]
        if len(full) < (limits.for_name if full is mine else limits.overall):
            self._all.append((now, name))
            return 0.0
        return full[0] + limits.window_seconds - now

    def forget(self, name: str) -> None:
        """The name has proved itself: its attempts count no more."""
        self._all = deque(each for each in self._all if each[1] != name)
