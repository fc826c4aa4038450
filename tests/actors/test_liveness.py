"""No event loop waits for Ray itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer

import psutil
import pytest

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import ActorSpec
from spark_actors.actors.references import Directory, RayChildren, RayHosts, RaySubscribers
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.messaging.routing import Slot

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
    directory = Directory("nowhere")
    children = RayChildren(directory, "nowhere")
    spec = ActorSpec("spark/accounting/context/0", "ContextActor", object)
    calls = (
        lambda: RayHosts(directory).take_turn(SLOT, "accounting", b""),
        lambda: RayHosts(directory).bury(SLOT, "accounting", b""),
        lambda: RayHosts(directory).release(SLOT, "accounting", [], 1),
        lambda: RaySubscribers(directory).take_events("accounting", b""),
        lambda: children.report(spec, 1),
        lambda: children.kill(spec),
        lambda: children.stop(spec, 1),
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
    assert [type(end) for end in ends] == [ActorUnavailableError] * 5 + [type(None)] * 2
    assert took < 3 * CLUSTER_SECONDS
    with pytest.raises(ActorUnavailableError, match="no actor has this name"):
        asyncio.run(directory.find("spark/accounting/context/0"))
