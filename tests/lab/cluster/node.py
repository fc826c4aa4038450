"""One node of a cluster: a process of its own on a data dir of its own, which may be hurt and started again."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from spark_actors.embedded.processes import ChildProcess, Program, wait_until
from spark_actors.kernel.errors import DetailedError
from tests.lab.bench.machine import ROOT

JOINED_SECONDS = 90.0
STOP_SECONDS = 60.0
LEFT_SECONDS = 20.0


class NodeError(DetailedError):
    """A node is not as it must be for the test to go on."""


class Node:
    """One node; launch it in the main thread: it ends with us, however we end.

    What is done to it is done to all of its processes, those of its actors among them, as it would be to a machine.
    """

    def __init__(
        self, data_dir: Path, address: str, join_file: Path, environment: Mapping[str, str], within: Sequence[str] = ()
    ) -> None:
        """*join_file*: the head's, which is copied at each launch. *within*: what it is started by."""
        self.data_dir, self.address, self._join_file = data_dir, address, join_file
        self._output = data_dir.parent / f"{data_dir.name}.out"
        self._own_join_file = data_dir.parent / f"{data_dir.name}.toml"
        self._process = ChildProcess(self._command(environment, within))
        self._said_before = 0
        """How much earlier starts have left in the output."""
        self._tree: list[psutil.Process] = []

    def launch(self) -> None:
        shutil.copy(self._join_file, self._own_join_file)
        self._said_before = self._output.stat().st_size if self._output.exists() else 0
        self._process.launch()

    @property
    def is_member(self) -> bool:
        """Whether it has said so since it was launched, and runs."""
        return not self.has_ended and any(line.startswith(b"ready ") for line in self._said.splitlines())

    @property
    def has_ended(self) -> bool:
        return self._process.has_ended

    @property
    def exit_code(self) -> int | None:
        """How it has ended; None while it runs."""
        return self._process.exit_code

    @property
    def pid(self) -> int:
        """Raises NodeError if it was never launched."""
        if self._process.pid is None:
            raise NodeError("not launched")
        return self._process.pid

    @property
    def processes(self) -> list[psutil.Process]:
        """All that belong to it; none if it has ended."""
        return [] if self.has_ended else tree_of(self.pid)

    def start(self) -> None:
        """Launch it and wait until it is a member. Raises NodeError."""
        self.launch()
        wait_until(lambda: self.is_member or self.has_ended, JOINED_SECONDS)
        if not self.is_member:
            raise NodeError(f"no member within {JOINED_SECONDS:.0f} s: {self.last_words()}")

    def terminate(self) -> int:
        """Have it hand over and end; gives its exit code. Raises NodeError."""
        self.leave()
        return self.ended_within(STOP_SECONDS)

    def leave(self) -> None:
        """Ask it to hand over and end."""
        self._tree = self.processes
        signal_all(self._tree[:1], signal.SIGTERM)

    def ended_within(self, seconds: float) -> int:
        """Wait until it has ended by itself; gives its exit code. Raises NodeError."""
        self._tree = self.processes or self._tree
        if not wait_until(lambda: self.has_ended, seconds):
            raise NodeError(f"it has not ended within {seconds:.0f} s: {self.last_words()}")
        return self.exit_code or 0

    def lose_power(self) -> None:
        """All its processes end at once."""
        self._tree = self.processes
        signal_all(self._tree, signal.SIGKILL)
        wait_until(lambda: self.has_ended, STOP_SECONDS)

    def freeze(self) -> None:
        """All its processes stop: whoever speaks with them waits, as for a machine that has lost its power."""
        self._tree = self.processes
        signal_all(self._tree, signal.SIGSTOP)

    def thaw(self) -> None:
        """What was frozen goes on."""
        signal_all(self._tree, signal.SIGCONT)

    def left_behind(self) -> list[str]:
        """Processes that are still there after a short while."""
        _, alive = psutil.wait_procs(self._tree, timeout=LEFT_SECONDS)
        return [str(process) for process in alive]

    def kill(self) -> None:
        """In the end nothing is left of it."""
        self.thaw()
        if not self.has_ended:
            self.lose_power()
        self.left_behind()

    def last_words(self) -> str:
        return self._process.last_words()

    @property
    def _said(self) -> bytes:
        if not self._output.exists():
            return b""
        with self._output.open("rb") as output:
            output.seek(self._said_before)
            return output.read()

    def _command(self, environment: Mapping[str, str], within: Sequence[str]) -> Program:
        arguments = ["node", "--config", str(self._own_join_file), "--listen", self.address]
        command = [sys.executable, "-m", "spark_actors.cli", *arguments, "--data-dir", str(self.data_dir)]
        return Program(
            name=f"the node at {self.address}",
            arguments=[*within, *command],
            folder=ROOT,
            output=self._output,
            environment=environment,
        )


def tree_of(pid: int) -> list[psutil.Process]:
    """A process and all below it; none if it is gone."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue  # it has ended by itself meanwhile
