"""Programs that the lab starts, each on free ports, and ends by the very process."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

START_SECONDS = 90.0
"""On a busy machine each start takes a multiple of the two seconds that it should."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Program:
    """A child process with a log of its own."""

    def __init__(
        self, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file, env=env, cwd=cwd)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, look: Callable[[], T | None]) -> T:
        """What *look* finds at last; OSError and LookupError mean not yet."""
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                if found := look():
                    return found
            except (OSError, LookupError):
                pass
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"it did not come so far:\n{self._log.read_text('utf-8', 'replace')[-4000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
