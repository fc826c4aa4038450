"""The head of a cluster is lost, in part or whole, and comes back: what lives on other nodes lives on."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.cluster.test_nodes import load
from tests.fixtures.cluster import Cluster, cluster_in_temporary_folder
from tests.fixtures.daemon import eventually

pytestmark = pytest.mark.timeout(300)
INGRESS = "spark/broker/ingress/0"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with one node, on which the Ingress lives."""
    with cluster_in_temporary_folder() as cluster:
        cluster.start(nodes=1)
        moved = cluster.head.cli("move", INGRESS, cluster.address(2), "--why", "to see it stay", "--by", "me")
        assert moved.returncode == 0, moved.stderr
        yield cluster


def pids_on(cluster: Cluster, number: int) -> dict[str, int]:
    """The processes of the actors on a node, by place."""
    status = cluster.head.status()["status"]
    node_id = cluster.known(number).node_id
    return {actor["actor"]: actor["pid"] for actor in status["actors"] if actor["node"] == node_id}


def test_the_gcs_may_die_and_nobody_notices(cluster: Cluster) -> None:
    before = {**pids_on(cluster, 1), **pids_on(cluster, 2)}
    with load(cluster) as working:
        (gcs,) = [each for each in psutil.Process(cluster.head.pid).children() if each.name() == "gcs_server"]
        gcs.kill()
        done = sum(working.outcomes.values())
        assert eventually(lambda: sum(working.outcomes.values()) > done + 200)
        assert eventually(cluster.is_ready)
    assert {**pids_on(cluster, 1), **pids_on(cluster, 2)} == before
    victim = "spark/accounting/context/0"
    psutil.Process(before[victim]).kill()
    assert eventually(lambda: {**pids_on(cluster, 1), **pids_on(cluster, 2)}.get(victim, 0) not in (0, before[victim]))


def test_the_whole_head_may_die_and_come_back_and_what_lives_elsewhere_lives_on(cluster: Cluster) -> None:
    before = pids_on(cluster, 2)
    assert INGRESS in before
    cluster.head.kill()
    cluster.head.left_behind()
    cluster.head.start()
    assert eventually(cluster.is_ready)
    assert eventually(lambda: cluster.known(2).state == "active")
    assert pids_on(cluster, 2).items() >= {INGRESS: before[INGRESS]}.items()
    with load(cluster) as working:
        assert eventually(lambda: sum(working.outcomes.values()) > 100)
