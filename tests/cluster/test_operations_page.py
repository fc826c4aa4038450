"""What the page on operations has people type on several machines works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.fixtures.cluster import free_port
from tests.fixtures.daemon import READY_SECONDS, STOP_SECONDS, environment, eventually, first_line
from tests.fixtures.pages import ROOT, block
from tests.lab.cluster.node import JOINED_SECONDS

pytestmark = pytest.mark.timeout(400)
PAGE = ROOT / "docs" / "operations.md"
DAEMONS = {"run": READY_SECONDS, "node": JOINED_SECONDS}
"""Commands that go on, and how long each may take to be ready."""
NODE = "127.0.94.3"
HEAD = "spark-actors run --listen 10.0.0.1 --data-dir /var/lib/spark"


class Machines:
    """The machines of the page: addresses of this one, and folders below one of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("var/lib", "etc/spark", "backup"):
            (folder / name).mkdir(parents=True)
        ports = ("SPARK_CLUSTER__PORT", "SPARK_CLUSTER__POSTGRES_PORT", "SPARK_NATS__PORT")
        self._environment = {**environment(), **{name: str(free_port()) for name in ports}}
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.said: dict[str, str] = {}
        """By command: the line with which it was ready."""

    def typed(self, text: str) -> str:
        """What the commands say that end, all of which succeed; the others go on."""
        return "".join(self._typed(self._here(line)) for line in text.splitlines())

    def _here(self, line: str) -> list[str]:
        line = re.sub(r"10\.0\.0\.(\d)", r"127.0.94.\1", line)
        line = re.sub(r"(?<= )((127\S+:)?)(/(var|etc|backup))", rf"\1{self._folder}\3", line)
        return shlex.split(line, comments=True)

    def _typed(self, words: list[str]) -> str:
        match words:
            case ["systemctl", "start", "spark-head"]:
                self._start(self._here(HEAD))
            case ["systemctl", "stop", "spark-head"]:
                self.stop("run")
            case ["scp", source, target]:
                return self._done(["cp", source, target.partition(":")[2]])
            case ["spark-actors", command, *_] if command in DAEMONS:
                self._start(words)
            case _:
                return self._done(words)
        return ""

    def _start(self, words: list[str]) -> None:
        command = words[1]
        if command in self._running:
            return
        if command == "node":  # by itself it would find one address of this machine for all
            words = [*words, "--listen", NODE]
        with (self._folder / f"{command}.stderr").open("a") as stderr:
            process = self._running[command] = subprocess.Popen(
                self._program(words),
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        self.said[command] = first_line(process, DAEMONS[command])
        assert "ready" in self.said[command], (self._folder / f"{command}.stderr").read_text()[-4000:]

    def stop(self, command: str) -> None:
        self._running[command].terminate()
        assert self.ended(command) == 0

    def ended(self, command: str) -> int:
        process = self._running.pop(command)
        code = process.wait(STOP_SECONDS)
        if process.stdout:
            process.stdout.close()
        return code

    def lose_power(self, command: str) -> None:
        top = psutil.Process(self._running[command].pid)
        tree = [top, *top.children(recursive=True)]
        for each in tree:
            if each.is_running():
                each.send_signal(signal.SIGKILL)
        self.ended(command)
        assert psutil.wait_procs(tree, timeout=20)[1] == []

    def end(self) -> None:
        for command in list(self._running):
            self.lose_power(command)

    def _done(self, words: list[str]) -> str:
        done = subprocess.run(
            self._program(words), env=self._environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def _program(self, words: list[str]) -> list[str]:
        return [sys.executable, "-m", "spark_actors.cli", *words[1:]] if words[0] == "spark-actors" else words


@contextmanager
def machines() -> Iterator[Machines]:
    with TemporaryDirectory(prefix="spark-page-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # Postgres runs as another user if this one is root
        there = Machines(Path(folder))
        try:
            yield there
        finally:
            there.end()


@pytest.fixture(scope="module")
def pair() -> Iterator[Machines]:
    """A head and a node, added as the page says."""
    with machines() as there:
        there.typed(block(PAGE, "spark-actors run --listen").text)
        yield there


def test_a_node_is_added_as_the_page_says(pair: Machines) -> None:
    shown = re.search(r"`(ready  node .*) …`", PAGE.read_text("utf-8"))
    assert shown
    pattern = re.escape(shown[1]).replace(r"10\.0\.0", r"127\.0\.94").replace("6379", r"\d+")
    assert re.match(pattern, pair.said["node"])
    assert pair.typed("spark-actors nodes --data-dir /var/lib/spark").count(" active ") == 2


def test_what_has_become_of_a_node_is_seen_as_the_page_says(pair: Machines) -> None:
    pair.lose_power("node")
    nodes = "spark-actors nodes --data-dir /var/lib/spark"
    assert eventually(lambda: " gone " in pair.typed(nodes), 90)
    told = pair.typed(block(PAGE, "spark-actors nodes").text)
    assert " gone " in told
    assert "node_changed" in told
    pair.typed("spark-actors node --config /etc/spark/join.toml --data-dir /var/lib/spark-node")


def test_a_node_is_taken_away_as_the_page_says(pair: Machines) -> None:
    told = pair.typed(block(PAGE, "spark-actors drain").text)
    assert "is empty" in told
    assert pair.ended("node") == 0


def test_a_head_is_started_again_as_the_page_says(pair: Machines) -> None:
    pair.lose_power("run")
    told = pair.typed(block(PAGE, "systemctl start").text)
    assert "ready" in told
    assert "daemon_started" in told


def test_what_was_backed_up_is_restored_as_the_page_says() -> None:
    with machines() as there:
        there.typed("systemctl start spark-head")
        there.typed("spark-actors demo --data-dir /var/lib/spark")
        there.typed(block(PAGE, "systemctl stop spark-head   # back up").text)
        there.typed(block(PAGE, "systemctl stop spark-head   # restore").text)
        view = there.typed("spark-actors view dashboard.campaigns --json --data-dir /var/lib/spark")
        assert '"campaign_id"' in view
