"""What the nodes of a cluster have logged is seen at the head, and Prometheus finds them all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.fixtures.cluster import HEAD, Cluster
from tests.fixtures.daemon import eventually, first_line

pytestmark = pytest.mark.timeout(300)


def logged(cluster: Cluster, *options: str) -> list[dict[str, Any]]:
    """What `logs` shows at the head."""
    told = cluster.head.cli("logs", "--json", *options)
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def nodes_of(lines: list[dict[str, Any]]) -> set[str]:
    return {line["from"].rpartition(" ")[2] for line in lines}


@contextmanager
def following(cluster: Cluster, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "spark_actors.cli", "logs", "--follow", "--json", *options]
    process = subprocess.Popen(
        [*command, "--data-dir", str(cluster.head.data_dir)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_lines_of_all_nodes_are_shown_in_the_order_of_their_time(cluster: Cluster) -> None:
    lines = logged(cluster, "--limit", "10000")
    assert nodes_of(lines) == {cluster.address(HEAD), cluster.address(2)}
    moments = [line["timestamp"] for line in lines]
    assert moments == sorted(moments)
    assert {"daemon", "node", "spark/root/supervisor/0"} <= {line["process"] for line in lines}


def test_one_node_and_one_process_can_be_looked_at(cluster: Cluster) -> None:
    of_node = logged(cluster, "--node", cluster.address(2))
    assert nodes_of(of_node) == {cluster.address(2)}
    of_root = logged(cluster, "--process", "spark/root", "--since", "1h")
    assert {line["process"] for line in of_root} == {"spark/root/supervisor/0"}
    assert logged(cluster, "--since", "2100-01-01T00:00:00Z") == []
    assert len(logged(cluster, "--node", cluster.address(HEAD), "--limit", "3", "--process", "spark")) == 3


def test_who_follows_sees_what_a_node_logs_until_ctrl_c(cluster: Cluster) -> None:
    place = "spark/broker/ingress/0"
    with following(cluster, "--node", cluster.address(2), "--process", place, "--since", "1s") as process:
        assert cluster.head.cli("move", place, cluster.address(2), "--why", "a test", "--by", "me").returncode == 0
        assert json.loads(first_line(process, 30))["process"] == place
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_the_log_of_a_node_is_for_operators_alone(cluster: Cluster) -> None:
    url = cluster.known(2).metrics_url
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"{url}/logs", timeout=5)


def test_prometheus_is_told_of_the_head_and_of_every_node_and_reaches_them(cluster: Cluster) -> None:
    with urlopen(f"{cluster.head.card.metrics_url}/sd", timeout=10) as response:
        targets = json.load(response)
    assert {(each["labels"]["role"], each["targets"][0].partition(":")[0]) for each in targets} == {
        ("head", cluster.address(HEAD)),
        ("node", cluster.address(2)),
    }
    for each in targets:
        with urlopen(f"http://{each['targets'][0]}/metrics", timeout=10) as response:
            assert b"process_cpu_seconds_total" in response.read()


def test_of_a_node_that_does_not_answer_the_others_lines_are_shown_and_that_is_said(cluster: Cluster) -> None:
    assert eventually(lambda: cluster.known(2).state == "active")
    cluster.nodes[2].lose_power()
    told = cluster.head.cli("logs", "--json", "--limit", "5")
    assert told.returncode == 0
    assert len(told.stdout.splitlines()) == 5
    assert eventually(lambda: cluster.known(2).state == "gone", 60)
    assert cluster.address(2) not in {line["from"].rpartition(" ")[2] for line in logged(cluster, "--since", "1h")}


def test_what_the_head_has_logged_is_read_when_it_is_down(cluster: Cluster) -> None:
    cluster.head.terminate()
    told = cluster.head.cli("logs", "--json", "--process", "daemon")
    assert told.returncode == 0
    assert json.loads(told.stdout.splitlines()[-1])["event"] == "stopped"
    assert "other nodes are not known" in told.stderr
