"""The Ray actor classes: thin shells around the plain classes, and their Ray options (why: see docs/decisions.md)."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any
from uuid import uuid4

import msgspec
import ray

from spark_actors.actors import tuning
from spark_actors.actors.aggregate import AggregateActor as PlainAggregateActor
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.context import ContextService
from spark_actors.actors.fence import Fence
from spark_actors.actors.ports import Report
from spark_actors.actors.progress import Progress
from spark_actors.actors.root import RootSupervisor as PlainRootSupervisor
from spark_actors.actors.routes import RouteTable
from spark_actors.version import version

OPTIONS: dict[str, Any] = {
    "lifetime": "detached",  # the death of whoever made it must not end it
    "num_cpus": 0,  # otherwise each actor would hold a CPU for life
    "max_restarts": 0,  # its keeper replaces it: Ray's budget knows neither back-off nor a time window
    "max_task_retries": 0,  # whoever called sends again, in order; Ray's retries jump the queue
    "enable_task_events": False,  # costs a third of the calls per second and memory in the GCS
}
HEAD_RESOURCE = "node:__internal_head__"
"""Ray's name for what the head node has and no other."""
ROOT_OPTIONS: dict[str, Any] = {
    **OPTIONS,
    "max_restarts": -1,  # nobody else could replace it
    "resources": {HEAD_RESOURCE: 0.001},  # where it comes back with Ray's own head
}
BESIDE = "beside"
"""The name of a thread that answers while the one that works is busy."""

Hosted = tuple[PlainAggregateActor, Callable[[], bytes]]
"""An AggregateActor, and what gives its metrics."""


class AggregateActor:
    """Holds the plain AggregateActor. Synchronous, so Ray runs one call at a time, in each caller's order.

    All but `report` runs in one thread, to which its connections and its niceness belong.
    """

    def __init__(
        self, place: str, incarnation: int, build: Callable[[Progress], Hosted], fence: Callable[[int], Fence]
    ) -> None:
        self._place, self._incarnation = place, incarnation
        self._build, self._make_fence = build, fence
        self._process = uuid4().hex
        self._progress = Progress()
        self._started = threading.Event()
        self._actor: PlainAggregateActor
        self._metrics: Callable[[], bytes]
        self._fence: Fence

    def start(self) -> None:
        if not self._started.is_set():
            self._actor, self._metrics = self._build(self._progress)
            self._fence = self._make_fence(self._incarnation)
            self._fence.start()
            _spare_collector()
            self._started.set()

    def begin(self) -> None:
        """It works when it is called."""

    def take_turn(self, context: str, payload: bytes, version: int, token: str = "") -> bytes:
        self.start()
        with self._progress.turn(token):
            return self._actor.take_turn(context, payload, version)

    def bury(self, context: str, payload: bytes, version: int) -> bytes:
        self.start()
        with self._progress.turn():
            return self._actor.bury(context, payload, version)

    def release(self, context: str, keys: list[str], at_once: int) -> list[str]:
        self.start()
        with self._progress.turn():
            return self._actor.release(context, keys, at_once)

    @ray.method(concurrency_group=BESIDE)
    def keep(self, token: str) -> bool:
        return self._progress.keep(token)

    @ray.method(concurrency_group=BESIDE)
    def report(self, table: RouteTable | None) -> bytes:
        self._started.wait()
        self._fence.asked()
        if table:
            self._actor.place(table.placement, table.version)
        waits = self._progress.waits_for_store_seconds
        return msgspec.msgpack.encode(
            Report(
                self._place,
                self._process,
                os.getpid(),
                version(),
                self._metrics(),
                [f"has been waiting for Postgres for {waits:.0f} s"] if waits > tuning.SLOW_STORE_SECONDS else [],
                unmoved_seconds=self._progress.unmoved_seconds,
            )
        )

    def stop(self) -> None:
        """Nothing is in hand between turns."""


class _AsyncShell:
    """Holds a unit. Calls run concurrently on one event loop."""

    def __init__(
        self, place: str, incarnation: int, build: Callable[[], Awaitable[Assembly]], fence: Callable[[int], Fence]
    ) -> None:
        self._place, self._incarnation = place, incarnation
        self._build, self._make_fence = build, fence
        self._process = uuid4().hex
        self._building = asyncio.Lock()
        self._unit: Assembly | None = None
        self._fence: Fence | None = None

    async def start(self) -> None:
        """Build the service; starting again does nothing."""
        async with self._building:
            if self._unit is None:
                self._unit = await self._build()
                self._fence = self._make_fence(self._incarnation)
                self._fence.start()
                _spare_collector()

    async def begin(self) -> None:
        """Have the service begin; beginning again does nothing."""
        await (await self._started()).service.start()

    async def report(self, table: RouteTable | None) -> bytes:
        unit = await self._started()
        if self._fence:
            self._fence.asked()
        if table:
            unit.routes.take(table)
        return msgspec.msgpack.encode(
            Report(
                self._place,
                self._process,
                os.getpid(),
                version(),
                unit.metrics(),
                unit.service.problems(),
                list(unit.warnings()),
                routes=unit.routes.version,
            )
        )

    async def stop(self) -> None:
        """Finish what is in hand, then give back connections."""
        if self._unit is not None:
            await self._unit.service.stop()
            await self._unit.close()

    async def _started(self) -> Assembly:
        if self._unit is None:
            await self.start()
        return self._unit  # type: ignore[return-value]  # started just now


class ContextActor(_AsyncShell):
    """Holds a ContextService."""

    async def take_events(self, payload: bytes, token: str = "") -> bytes:
        return await (await self._service()).take_events(payload, token)

    async def keep(self, token: str) -> bool:
        return await (await self._service()).keep(token)

    async def _service(self) -> ContextService:
        return (await self._started()).service  # type: ignore[return-value]  # what the composition root built it with


class Supervisor(_AsyncShell):
    """Holds a Supervisor."""


class Ingress(_AsyncShell):
    """Holds an Ingress."""


class RootSupervisor:
    """Holds the RootSupervisor. It starts itself, also when Ray has started it again and nobody asks for anything."""

    def __init__(self, place: str, build: Callable[[], Awaitable[Assembly]]) -> None:
        self._build = build
        self._building = asyncio.Lock()
        self._unit: Assembly | None = None
        ray.get_runtime_context().current_actor.start.remote()

    async def start(self) -> None:
        """Build and begin the service; starting again does nothing."""
        await self._root()

    async def metrics(self) -> bytes:
        return (await self._root()).metrics()

    async def status(self) -> bytes:
        return msgspec.json.encode((await self._root()).status())

    async def open(self) -> None:
        """Have a tree that is warm begin."""
        (await self._root()).open()

    async def stop(self) -> None:
        """Drain the tree."""
        await (await self._root()).stop()
        if self._unit is not None:
            await self._unit.close()

    async def _root(self) -> PlainRootSupervisor:
        async with self._building:
            if self._unit is None:
                self._unit = await self._build()
                _spare_collector()
                await self._unit.service.start()
        root: PlainRootSupervisor = self._unit.service  # type: ignore[assignment]  # what the composition root built
        root.asked()
        return root


def _spare_collector() -> None:
    """What is there once an actor is built stays: the garbage collector need not walk through it again and again."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # a batch makes thousands of objects, and none of them in a cycle


BY_KIND: dict[str, type] = {
    "aggregate": AggregateActor,
    "context": ContextActor,
    "supervisor": Supervisor,
    "ingress": Ingress,
}
"""By the kind in an actor's name (see `names.kind_of`)."""


@cache
def maker(shell: type) -> Any:
    """What makes Ray actors of one of these classes.

    Made when it is asked for, not at the import: Ray draws a random id for it, and copies of a process that has drawn
    one draw the same ones from then on.
    """
    remote: Any = ray.remote  # Ray's own types describe neither concurrency groups nor named options
    return remote(concurrency_groups={BESIDE: 1})(shell) if shell is AggregateActor else remote(shell)
