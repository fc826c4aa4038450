"""A root supervisor that Ray starts again, and one that it does not, on the session's Ray node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from spark_actors.actors.assembly import Assembly
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.seating import Seating
from spark_actors.cluster.nodes import Common
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.persistence.memory_cluster import MemoryClusterStore
from spark_actors.telemetry.board import MetricsBoard
from spark_actors.telemetry.liveness import Liveness
from spark_actors.telemetry.tuning import ROOT_SECONDS
from tests.fixtures.daemon import eventually

if TYPE_CHECKING:
    from spark_actors.actors.references import RayRoot

NAMESPACE = "root-gone"


def no_host(slot: Slot) -> Keeper:
    raise RuntimeError(f"{slot} is not wanted here")


async def an_empty_tree() -> Assembly:
    from spark_actors.actors.fence import Fence
    from spark_actors.actors.references import RayNodes
    from spark_actors.actors.root import RootPorts, RootSupervisor

    store = MemoryClusterStore()
    ports = RootPorts(
        store,
        RayNodes(lambda: Common("", "")),
        own_node=RayNodes.own_node(),
        expected=Common("", ""),
        fence=lambda number: Fence("root", number, lambda: number),
        placing=lambda slots: Placement(0, 1),
        host=no_host,
        board=MetricsBoard(),
        own_metrics=lambda: b"",
        telemetry=lambda event: None,
    )
    service = RootSupervisor((), Seating(store), ports, grace_seconds=1)
    return Assembly(service, lambda: b"")


@pytest.fixture
def root(ray_node: EmbeddedRay) -> Iterator[RayRoot]:
    from spark_actors.actors.references import RayRoot  # imports ray, whose environment is only set by now

    root = RayRoot(NAMESPACE)
    root.start(an_empty_tree)
    try:
        assert eventually(root.answers, 60)
        yield root
    finally:
        root.stop(5)


def end(*, for_good: bool) -> None:
    import ray

    from spark_actors.actors import names

    ray.kill(ray.get_actor(names.ROOT, namespace=NAMESPACE), no_restart=for_good)


def pid_of(root: RayRoot) -> int:
    """The process of the root; 0 while there is none."""
    from spark_actors.actors.errors import ActorUnavailableError

    try:
        return int(root.status()["actors"][0]["pid"])
    except ActorUnavailableError:
        return 0


def turns(root: RayRoot, liveness: Liveness) -> Callable[[], bool]:
    """The daemon's main loop comes round once; whether the root was there."""

    def turn() -> bool:
        is_there = root.answers()
        liveness.turn(root_answers=is_there)
        return is_there

    return turn


def test_a_root_that_ray_starts_again_is_no_reason_and_one_that_is_gone_for_good_is(root: RayRoot) -> None:
    now = 0.0
    liveness = Liveness(lambda: now)
    turn = turns(root, liveness)
    liveness.begin()
    first = pid_of(root)
    end(for_good=False)
    assert eventually(lambda: pid_of(root) not in (0, first), 60)
    now += ROOT_SECONDS + 1
    assert turn()
    assert liveness.problems() == []
    end(for_good=True)
    assert eventually(lambda: not turn(), 60)
    assert liveness.problems() == []
    now += ROOT_SECONDS + 1
    assert not turn()
    assert "root supervisor" in liveness.problems()[0]
