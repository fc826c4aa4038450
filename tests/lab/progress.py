"""What the laboratory's commands have in common while they run."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType


class Progress:
    """Tells on standard error how it goes, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {text}", file=sys.stderr, flush=True)


def end_like_ctrl_c() -> None:
    """Have SIGTERM end the command as Ctrl-C does, so that what was started is stopped."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
