"""Nodes of other machines join a head; each end, of a node, of the GCS, of the whole head, is seen and overcome.

The machines are processes of their own here, at 127.0.0.2 and up: Ray takes only 127.0.0.1 for loopback.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from spark_actors.embedded.data_dir import DataDir
from tests.integration.embedded.conftest import ROOT, all_ended, free_address

HEAD, FIRST, SECOND = "127.0.0.2", "127.0.0.3", "127.0.0.4"
SOON_SECONDS = 10.0


class Machine:
    """A process with one node of the cluster, and what it is asked."""

    def __init__(self, role: str, data_dir: Path, host: str, head: str, token: str = "") -> None:
        words = (role, str(data_dir), host, head, token)
        self.data_dir = DataDir(data_dir)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.embedded.cluster_member", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.node_id = ""

    def wish(self, what: str, *words: object) -> None:
        """Ask for something, and do not wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, "with": words}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        return told["answer"] if "answer" in told else told["error"]

    def ask(self, what: str, *words: object) -> Any:
        self.wish(what, *words)
        return self.answer()

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill_its(self, name: str) -> None:
        [part] = [process for process in self.processes() if process.name() == name]
        part.kill()

    def kill(self) -> None:
        """All of it at once, as when the machine loses its power."""
        for process in [psutil.Process(self.process.pid), *self.processes()]:
            process.kill()
        self.end()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            with self.process:
                pass


class Cluster:
    """A head and two nodes."""

    def __init__(self, folder: Path) -> None:
        self.address = str(free_address(HEAD))
        self.folder = folder
        self.head = self.start_head()
        self.nodes = [self.start_node(host) for host in (FIRST, SECOND)]
        for node in self.nodes:
            node.wish("launch")
        for node in self.nodes:
            node.node_id = node.answer()

    def start_head(self) -> Machine:
        self.head = Machine("head", self.folder / HEAD, HEAD, self.address)
        self.head.node_id = self.head.ask("launch")
        return self.head

    def start_node(self, host: str, token: str = "") -> Machine:
        token = token or DataDir(self.folder / HEAD).secret("ray-token")
        return Machine("node", self.folder / host, host, self.address, token)

    def end(self) -> None:
        for machine in (*self.nodes, self.head):
            machine.end()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="spark-tests-"))
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_actors_run_on_the_node_that_was_chosen_for_them(cluster: Cluster) -> None:
    for node in cluster.nodes:
        pid = cluster.head.ask("place", f"on {node.node_id}", node.node_id)
        assert psutil.Process(pid) in node.processes()
        assert node.ask("standing") == "known"
    assert [node.ask("host") for node in cluster.nodes] == [FIRST, SECOND]


def test_a_gcs_that_was_killed_starts_again_in_place_and_everybody_goes_on(cluster: Cluster) -> None:
    [first, _] = cluster.nodes
    before = cluster.head.ask("place", "outlives the gcs", first.node_id)
    cluster.head.kill_its("gcs_server")
    assert cluster.head.ask("gcs_has_ended")
    assert "exit code -9" in cluster.head.ask("last_words")
    assert first.ask("standing") == "away"
    assert cluster.head.ask("revive")
    assert cluster.head.ask("ask", "outlives the gcs") == before
    assert psutil.Process(cluster.head.ask("place", "after the gcs", first.node_id)) in first.processes()
    assert first.ask("await_standing", "known")
    assert cluster.head.ask("exit_code") is None


def test_a_head_that_lost_its_power_comes_back_and_the_actors_of_other_nodes_go_on(cluster: Cluster) -> None:
    [first, _] = cluster.nodes
    before = cluster.head.ask("place", "outlives the head", first.node_id)
    cluster.head.kill()
    cluster.start_head()
    assert cluster.head.ask("ask", "outlives the head") == before
    assert first.ask("await_standing", "known")
    assert psutil.Process(cluster.head.ask("place", "after the head", first.node_id)) in first.processes()


@pytest.fixture
def newcomer(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Machine]:
    machine = cluster.start_node("127.0.0.5", getattr(request, "param", ""))
    yield machine
    machine.end()


def test_a_node_of_another_release_is_refused_by_name(newcomer: Machine) -> None:
    newcomer.ask("pretend", "99.0")
    assert newcomer.ask("launch").startswith(
        "NodeMismatchError: this node cannot join: its release is 99.0, the head's"
    )
    assert newcomer.processes() == []


@pytest.mark.parametrize("newcomer", ["f" * 64], indirect=True)
def test_a_node_with_a_wrong_token_is_refused_by_name(cluster: Cluster, newcomer: Machine) -> None:
    told = newcomer.ask("launch")
    assert told.startswith(f"TokenRefusedError: the head at {cluster.address} does not take this token")


@pytest.fixture
def stray(tmp_path: Path) -> Iterator[tuple[Machine, socket.socket, str]]:
    """A node that is told to join what is no head, at an address where nobody listens yet."""
    with socket.socket() as other:
        other.bind((HEAD, 0))
        address = f"{HEAD}:{other.getsockname()[1]}"
        machine = Machine("node", tmp_path, FIRST, address, "f" * 64)
        yield machine, other, f"HeadUnreachableError: no head is reached at {address}: "
        machine.end()


def test_where_nobody_answers_or_no_head_of_ours_is_told_within_seconds(
    stray: tuple[Machine, socket.socket, str],
) -> None:
    machine, other, refusal = stray
    assert machine.ask("launch") == refusal + "nobody takes connections there"
    other.listen()
    begin = time.monotonic()
    assert machine.ask("launch").startswith(refusal + "what answers there is no head")
    assert time.monotonic() - begin < SOON_SECONDS


def test_a_head_whose_raylet_was_killed_starts_anew_in_its_process_and_other_nodes_go_on(cluster: Cluster) -> None:
    [first, _] = cluster.nodes
    before = cluster.head.ask("place", "outlives a raylet", first.node_id)
    cluster.head.kill_its("raylet")
    assert cluster.head.ask("await_loss").startswith("ray has ended by itself (raylet with -9)")
    cluster.head.ask("stop")
    cluster.head.ask("launch")
    assert cluster.head.ask("ask", "outlives a raylet") == before


def test_a_node_whose_raylet_was_killed_is_lost_leaves_nothing_and_joins_anew(cluster: Cluster) -> None:
    [_, second] = cluster.nodes
    actor = psutil.Process(cluster.head.ask("place", "goes with its node", second.node_id))
    processes = second.processes()
    assert actor in processes
    second.kill_its("raylet")
    assert second.ask("await_loss").startswith("ray has ended by itself (raylet with -9)")
    second.ask("stop")
    assert all_ended(processes)
    before, second.node_id = second.node_id, second.ask("launch")
    assert second.node_id != before
    assert psutil.Process(cluster.head.ask("place", "on the new one", second.node_id)) in second.processes()


def test_a_node_that_is_drained_ends_with_nothing_to_complain_of(cluster: Cluster, newcomer: Machine) -> None:
    node_id = newcomer.ask("launch")
    assert cluster.head.ask("drain", node_id)
    newcomer.ask("await_loss")
    assert newcomer.ask("exit_code") == 0


def test_a_head_that_has_forgotten_everything_does_not_know_a_node_which_then_joins_anew(cluster: Cluster) -> None:
    [first, second] = cluster.nodes
    cluster.head.kill()
    shutil.rmtree(cluster.folder / HEAD / "ray" / "gcs")
    cluster.start_head()
    for node in (first, second):
        assert node.ask("await_standing", "unknown")
        processes = node.processes()
        node.ask("stop")
        assert all_ended(processes)
        node.node_id = node.ask("launch")
        assert node.ask("standing") == "known"
        assert psutil.Process(cluster.head.ask("place", f"on {node.node_id}", node.node_id)) in node.processes()
