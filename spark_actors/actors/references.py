"""All calls to Ray actors, with Ray's errors translated once, and none without a time limit.

What Ray does for a call of its own API (find an actor by name, make one, end one) it does while the caller waits, and
for as long as the GCS is away: up to a minute. So a thread waits, never an event loop. A call to an actor does not
block; its answer is awaited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future, wait
from functools import partial
from threading import Thread
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import ray
import structlog
from ray._private.state import state
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from spark_actors.actors import names, tuning
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import Actor, ActorSpec, Report
from spark_actors.actors.ray_actors import BY_KIND, HEAD_RESOURCE, OPTIONS, ROOT_OPTIONS, RootSupervisor, maker
from spark_actors.actors.routes import Routes, RouteTable
from spark_actors.cluster.nodes import Common, Sighting
from spark_actors.messaging.routing import Slot

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def in_thread(call: Callable[[], T], seconds: float) -> T:
    """What a blocking call to Ray gives. Raises TimeoutError after so long; then it may still take effect."""
    async with asyncio.timeout(seconds):
        return await asyncio.wrap_future(_begun(call))


def within(call: Callable[[], T], seconds: float) -> T:
    """As `in_thread`, for who has no event loop."""
    return _begun(call).result(seconds)


def _begun(call: Callable[[], T]) -> Future[T]:
    """A call that is made in a thread of its own: one that hangs for a minute holds up no other, and no exit."""
    answer: Future[T] = Future()

    def make() -> None:
        if answer.set_running_or_notify_cancel():
            try:
                answer.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it belongs to who asked
                answer.set_exception(error)

    Thread(target=make, name="ray call", daemon=True).start()
    return answer


async def answer_of(place: str, call: Awaitable[T], seconds: float) -> T:
    """What the actor at *place* answers within so many seconds. Dead or silent for so long: ActorUnavailableError."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except RayTaskError:
        raise  # the actor lives and has raised this itself
    except (RayError, TimeoutError) as error:
        raise ActorUnavailableError(place, _word(error), _has_died(error)) from error


def _has_died(error: Exception) -> bool:
    """Whether the actor's process has ended of itself: not by a keeper's kill, and not only out of reach."""
    return isinstance(error, ActorDiedError) and "killed by `ray.kill`" not in str(error)


class _Others:
    """Actors that are called by their places."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    async def _call(self, place: str, call: Callable[[Any], Awaitable[T]], seconds: float = tuning.WORK_SECONDS) -> T:
        return await self._routes.call(place, lambda actor: answer_of(place, call(actor), seconds))

    async def _keep(self, place: str) -> str:
        """Have the actor kept for one call: gives the token that this call is to show.

        Raises ActorUnavailableError if it cannot be just now. Whatever the actor dies of meanwhile is somebody else's,
        so this never says `has_died`.
        """
        token = uuid4().hex
        try:
            is_kept = await self._call(place, lambda actor: actor.keep.remote(token), tuning.ANSWER_SECONDS)
        except ActorUnavailableError as error:
            raise ActorUnavailableError(error.actor, error.detail) from error
        if not is_kept:
            raise ActorUnavailableError(place, "has something else in hand")
        return token


class RayHosts(_Others):
    """The AggregateActors, by slot."""

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        answer: bytes = await self._call(
            names.aggregate_actor(slot), lambda actor: actor.take_turn.remote(context, payload, version)
        )
        return answer

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        place = names.aggregate_actor(slot)
        token = await self._keep(place)
        answer: bytes = await self._call(place, lambda actor: actor.take_turn.remote(context, payload, version, token))
        return answer

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        answer: bytes = await self._call(
            names.aggregate_actor(slot), lambda actor: actor.bury.remote(context, payload, version)
        )
        return answer

    async def release(self, slot: Slot, context: str, keys: Sequence[str], at_once: int) -> list[str]:
        more: list[str] = await self._call(
            names.aggregate_actor(slot), lambda actor: actor.release.remote(context, list(keys), at_once)
        )
        return more


class RaySubscribers(_Others):
    """The ContextActors, by context."""

    async def take_events(self, subscriber: str, payload: bytes, *, alone: bool = False) -> bytes:
        place = names.context_actor(subscriber)
        token = await self._keep(place) if alone else ""
        answer: bytes = await self._call(place, lambda actor: actor.take_events.remote(payload, token))
        return answer


class RayChildren:
    """Makes actors, each on the node that it is told, asks them how they are, ends them."""

    def __init__(self, namespace: str, python: str = "") -> None:
        """*python*: the interpreter that runs them, if it is another than that of their nodes."""
        self._namespace = namespace
        self._environment = _environment(python)

    async def make(self, spec: ActorSpec, incarnation: int, node_id: str) -> Actor:
        # Hard: Ray would put an actor that asks for nothing anywhere, also where a node has just died.
        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        name = names.incarnation(spec.place, incarnation)
        made = maker(BY_KIND[names.kind_of(spec.place)]).options(
            name=name, namespace=self._namespace, scheduling_strategy=there, **OPTIONS, **self._environment
        )
        making = _begun(partial(made.remote, spec.place, incarnation, spec.build, spec.fence))
        try:
            async with asyncio.timeout(tuning.CLUSTER_SECONDS):
                actor = await asyncio.wrap_future(making)
        except (ValueError, RayError) as error:
            raise ActorUnavailableError(spec.place, f"could not be made: {_word(error)}") from error
        except (TimeoutError, asyncio.CancelledError) as error:
            making.add_done_callback(_end_what_was_made)
            if isinstance(error, TimeoutError):
                raise ActorUnavailableError(spec.place, f"could not be made: {_word(error)}") from error
            raise
        try:
            await answer_of(spec.place, actor.start.remote(), tuning.START_SECONDS)
        except RayTaskError as error:
            end_soon(actor)
            raise ActorUnavailableError(spec.place, f"could not be started: {_word(error)}") from error
        except (ActorUnavailableError, asyncio.CancelledError):
            end_soon(actor)
            raise
        return Actor(spec, incarnation, node_id, actor)

    async def begin(self, actor: Actor) -> None:
        try:
            await answer_of(actor.spec.place, actor.handle.begin.remote(), tuning.START_SECONDS)
        except RayTaskError as error:
            raise ActorUnavailableError(actor.spec.place, f"could not begin: {_word(error)}") from error

    async def find(self, spec: ActorSpec, incarnation: int, node_id: str) -> Actor:
        find = partial(ray.get_actor, names.incarnation(spec.place, incarnation), namespace=self._namespace)
        try:
            return Actor(spec, incarnation, node_id, await in_thread(find, tuning.CLUSTER_SECONDS))
        except (ValueError, RayError, TimeoutError) as error:
            raise ActorUnavailableError(spec.place, f"cannot be found: {_word(error)}") from error

    async def report(self, actor: Actor, routes: RouteTable | None, patience_seconds: float) -> Report:
        answer: bytes = await answer_of(actor.spec.place, actor.handle.report.remote(routes), patience_seconds)
        return msgspec.msgpack.decode(answer, type=Report)

    async def kill(self, actor: Actor) -> None:
        try:
            await in_thread(partial(ray.kill, actor.handle), tuning.CLUSTER_SECONDS)
        except (RayError, TimeoutError) as error:
            log.debug("not_ended", actor=str(actor), error=_word(error))

    async def stop(self, actor: Actor, grace_seconds: float) -> bool:
        has_finished = True
        try:
            await answer_of(actor.spec.place, actor.handle.stop.remote(), grace_seconds)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from draining, it must end
            log.warning("not_drained", actor=str(actor), error=str(error))
            has_finished = False
        await self.kill(actor)
        return has_finished


def end_soon(handle: Any) -> None:
    """End an actor without waiting for it."""
    _begun(partial(ray.kill, handle))


def _end_what_was_made(making: Future[Any]) -> None:
    """Nobody waits for it any more, and nobody knows it."""
    if not making.cancelled() and making.exception() is None:
        end_soon(making.result())


class RayNodes:
    """Port `RayView`."""

    def __init__(self, look: Callable[[], Common], python: str = "") -> None:
        """*look* is called on a node that is to be examined, by *python*: picklable, and without secrets."""
        self._look = look
        self._environment = _environment(python)

    async def examine(self, node_id: str) -> Common:
        try:
            found: Common = await answer_of(f"node {node_id}", self._begin_look(node_id), tuning.START_SECONDS)
        except RayTaskError as error:
            raise ActorUnavailableError(f"node {node_id}", _word(error)) from error
        return found

    def _begin_look(self, node_id: str) -> Awaitable[Common]:
        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        look: Any = ray.remote(_called).options(
            num_cpus=0, max_retries=0, scheduling_strategy=there, **self._environment
        )
        answer: Awaitable[Common] = look.remote(self._look)
        return answer

    async def nodes(self) -> Sequence[Sighting]:
        try:
            found, draining = await in_thread(_nodes, tuning.CLUSTER_SECONDS)
        except (RayError, TimeoutError) as error:
            raise ActorUnavailableError("Ray's GCS", _word(error)) from error
        return [
            Sighting(
                node_id=node["NodeID"],
                name=node["NodeManagerHostname"],
                address=node["NodeManagerAddress"],
                is_alive=node["Alive"],
                is_draining=node["NodeID"] in draining,
            )
            for node in sorted(found, key=lambda node: HEAD_RESOURCE not in node["Resources"])
        ]

    @staticmethod
    def own_node() -> str:
        """The id of the node on which this process lives."""
        return str(ray.get_runtime_context().get_node_id())


def _called(look: Callable[[], T]) -> T:
    return look()


_all_nodes: Callable[[], list[dict[str, Any]]] = ray.nodes


def _nodes() -> tuple[list[dict[str, Any]], Collection[str]]:
    return list(_all_nodes()), state.get_draining_nodes()


def _environment(python: str) -> dict[str, Any]:
    """Ray's option for another interpreter. Without one there is none: it costs a pool of processes of its own."""
    return {"runtime_env": {"py_executable": python}} if python else {}


class RayRoot:
    """The root supervisor as the daemon's driver sees it. Callable from any thread."""

    def __init__(self, namespace: str, python: str = "") -> None:
        self._namespace = namespace
        self._environment = _environment(python)
        self._actor: Any = None

    def adopt(self) -> bool:
        """Whether the tree lives already, left by an earlier driver: then it is this one's from now on."""
        try:
            find = partial(ray.get_actor, names.ROOT, namespace=self._namespace)
            self._actor = within(find, tuning.CLUSTER_SECONDS)
        except (ValueError, RayError, TimeoutError):
            return False
        return True

    def seen(self) -> dict[str, Any]:
        """What `status` says, of whoever is the root by now; if nobody answers, that as the one problem."""
        try:
            if self.adopt():
                return self.status()
            problem = f"{names.ROOT}: there is none"
        except ActorUnavailableError as error:
            problem = str(error)
        return {"ready": False, "problems": [problem], "actors": []}

    def start(self, build: Callable[[], Awaitable[Assembly]], *, beside: str = "") -> None:
        """End what earlier trees of the deployment have left, then make the root; it starts everything else.

        Only for who owns the deployment's tables. What the actors hold is in Postgres, so ending them costs nothing but
        the time to start anew. Left alone is the tree in the namespace *beside*, which is to hand over to this one.
        """
        self._end_all(lambda namespace: namespace != beside and names.is_of_predecessor(namespace, self._namespace))
        made = maker(RootSupervisor).options(
            name=names.ROOT, namespace=self._namespace, **ROOT_OPTIONS, **self._environment
        )
        self._actor = made.remote(names.ROOT, build)

    def open(self) -> None:
        """Have a tree that is warm begin. Raises ActorUnavailableError."""
        self._ask("open")

    def status(self) -> dict[str, Any]:
        """The tree as the root sees it (see `TreeStatus`). Raises ActorUnavailableError."""
        answer: dict[str, Any] = msgspec.json.decode(self._ask("status"))
        return answer

    def metrics(self) -> bytes:
        """Prometheus text of all actors. Raises ActorUnavailableError."""
        answer: bytes = self._ask("metrics")
        return answer

    def answers(self) -> bool:
        """Whether the root is there."""
        try:
            self.status()
        except ActorUnavailableError:
            return False
        return True

    def problems(self) -> list[str]:
        """Why the tree cannot do its work just now; empty when it can."""
        try:
            problems: list[str] = self.status()["problems"]
        except ActorUnavailableError as error:
            return [str(error)]
        return problems

    def readiness(self) -> dict[str, str | None]:
        """Each actor and what troubles it; the root itself when it does not answer."""
        try:
            status = self.status()
        except ActorUnavailableError as error:
            return {names.ROOT: str(error)}
        well = {actor["actor"]: "; ".join(actor["problems"]) or None for actor in status["actors"]}
        return {**well, names.ROOT: "; ".join(status["problems"]) or None}

    def stop(
        self,
        grace_seconds: float,
        *,
        is_worthwhile: Callable[[], bool] = lambda: True,
        has_cluster: Callable[[], bool] = lambda: True,
    ) -> None:
        """Drain the tree from the way in to the store, then end it; after *grace_seconds* it is ended anyway.

        So it is as soon as draining is not worthwhile any more, since something that it needs is gone. Without the
        cluster there is nothing to end.
        """
        try:
            self._ask("stop", grace_seconds, is_worthwhile)
        except ActorUnavailableError as error:
            log.warning("tree_not_drained", error=str(error))
        finally:
            if has_cluster():
                self._end_all(lambda namespace: namespace == self._namespace)

    def _ask(
        self,
        method: str,
        timeout_seconds: float = tuning.ANSWER_SECONDS,
        is_worthwhile: Callable[[], bool] = lambda: True,
    ) -> Any:
        if self._actor is None:
            raise ActorUnavailableError(names.ROOT, "not started")
        deadline = time.monotonic() + timeout_seconds
        try:
            answer = getattr(self._actor, method).remote().future()
            while not answer.done() and is_worthwhile() and time.monotonic() < deadline:
                wait([answer], timeout=min(tuning.ANSWER_LOOK_SECONDS, timeout_seconds))
            return answer.result(timeout=0)
        except (RayError, TimeoutError) as error:
            raise ActorUnavailableError(names.ROOT, _word(error)) from error

    def _end_all(self, is_meant: Callable[[str], bool]) -> None:
        """End every actor in the namespaces that are meant."""
        try:
            everywhere = within(partial(ray.util.list_named_actors, all_namespaces=True), tuning.CLUSTER_SECONDS)
            meant = [(actor["name"], actor["namespace"]) for actor in everywhere if is_meant(actor["namespace"])]
            # The root first, or it would replace the others.
            for name, namespace in sorted(meant, key=lambda actor: actor[0] != names.ROOT):
                within(partial(_end, name, namespace), tuning.CLUSTER_SECONDS)
        except (RayError, TimeoutError) as error:
            log.warning("actors_not_ended", error=_word(error))


def _end(name: str, namespace: str) -> None:
    try:
        ray.kill(ray.get_actor(name, namespace=namespace))
    except ValueError:
        log.debug("already_gone", actor=name)


def connect(address: str, namespace: str) -> None:
    """Make this process a driver of the Ray cluster at *address*."""
    ray.init(address=address, namespace=namespace, log_to_driver=False)


def _word(error: Exception) -> str:
    """What a log line says: of what an actor has raised all, of Ray's own errors, whose text may be pages, the kind."""
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    return type(error).__name__ if isinstance(error, RayError | TimeoutError) else str(error)
