"""No event loop waits for Ray itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

import psutil
import pytest
import ray

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.fence import Fence
from spark_actors.actors.ports import Actor, ActorSpec
from spark_actors.actors.ray_actors import OPTIONS
from spark_actors.actors.references import RayChildren, RayHosts, RayNodes, RaySubscribers
from spark_actors.actors.routes import Routes
from spark_actors.cluster.nodes import Common
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.messaging.routing import Slot
from tests.fixtures.daemon import eventually


class Mute:
    """Answers nobody in time."""

    async def report(self, table: object) -> None:
        await asyncio.sleep(60)

    async def stop(self) -> None:
        await asyncio.sleep(60)


REMOTE: Any = ray.remote(Mute)  # Ray's own types do not describe named options


def no_fence(incarnation: int) -> Fence:
    return Fence("nowhere", incarnation, lambda: incarnation)


def nothing_in_common() -> Common:
    return Common("", "")


SLOT = Slot("shared", 0, 1)
CLUSTER_SECONDS = 3.0
"""For so long a call waits for Ray here, in a thread beside the event loop."""
LONGEST_PAUSE_SECONDS = 0.5
"""No callback of an event loop may hold it up for so long."""


@contextmanager
def frozen_gcs() -> Iterator[None]:
    """For a while Ray's head answers nobody, and nobody is told that it is gone."""
    (gcs,) = [process for process in psutil.Process().children() if process.name() == "gcs_server"]
    gcs.suspend()
    # For a test that blocks all the same: Ray ends this process when its head has been away for a minute.
    thaw = Timer(4 * CLUSTER_SECONDS, gcs.resume)
    thaw.start()
    try:
        yield
    finally:
        thaw.cancel()
        gcs.resume()


async def longest_pause(stop: asyncio.Event) -> float:
    """For how long the event loop did not come round at worst, until then."""
    longest, last = 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


def test_while_the_gcs_is_away_each_call_ends_in_time_and_no_event_loop_waits(
    ray_node: EmbeddedRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "CLUSTER_SECONDS", CLUSTER_SECONDS)
    routes, children = Routes(), RayChildren("nowhere")
    spec = ActorSpec("spark/accounting/context/0", "ContextActor", object, no_fence)
    node = RayNodes.own_node()
    actor = Actor(spec, 1, node, REMOTE.options(**OPTIONS).remote())
    calls: Sequence[Callable[[], Awaitable[object]]] = (
        lambda: RayHosts(routes).take_turn(SLOT, "accounting", b"", 0),
        lambda: RaySubscribers(routes).take_events("accounting", b""),
        lambda: children.make(spec, 2, node),
        lambda: children.find(spec, 1, node),
        lambda: children.report(actor, None, 1),
        lambda: RayNodes(nothing_in_common).nodes(),
        lambda: children.stop(actor, 1),
        lambda: children.kill(actor),
    )

    async def play() -> tuple[float, Sequence[object], float]:
        stop = asyncio.Event()
        watch = asyncio.create_task(longest_pause(stop))
        await asyncio.sleep(0)
        began = time.monotonic()
        with frozen_gcs():
            ends = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
        took = time.monotonic() - began
        stop.set()
        return await watch, ends, took

    pause, ends, took = asyncio.run(play())
    assert pause < LONGEST_PAUSE_SECONDS
    assert [type(end) for end in ends] == [ActorUnavailableError] * 6 + [bool, type(None)]
    assert took < 3 * CLUSTER_SECONDS
    with pytest.raises(ActorUnavailableError, match="cannot be found"):
        asyncio.run(children.find(spec, 1, node))
    assert [each.is_alive for each in asyncio.run(RayNodes(nothing_in_common).nodes())] == [True]


def test_an_actor_that_is_made_after_nobody_waits_for_it_any_more_is_ended(ray_node: EmbeddedRay) -> None:
    children = RayChildren("too-late")
    spec = ActorSpec("spark/accounting/context/0", "ContextActor", object, no_fence)

    async def play() -> None:
        with frozen_gcs(), pytest.raises(ActorUnavailableError, match="could not be made"):
            await children.make(spec, 1, RayNodes.own_node())

    asyncio.run(play())
    # It is made as soon as the head answers again, and goes by its name until then and no longer.
    assert eventually(lambda: not is_known("too-late"), 30)


def is_known(namespace: str) -> bool:
    return any(actor["namespace"] == namespace for actor in ray.util.list_named_actors(all_namespaces=True))
