"""All calls to Ray actors: by name, with Ray's errors translated once, and none without a time limit.

What Ray does for a call of its own API (find an actor by name, make one, end one) it does while the caller waits, and
for as long as the GCS is away: up to a minute. So a thread waits, never an event loop. A call to an actor does not
block; its answer is awaited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from threading import Thread
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import ray
import structlog
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from spark_actors.actors import names, tuning
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import ActorSpec, Report
from spark_actors.actors.ray_actors import BY_KIND, OPTIONS, ROOT_OPTIONS, ROOT_SUPERVISOR
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


class Directory:
    """Finds actors by name and remembers them until a call fails."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._handles: dict[str, Any] = {}

    async def find(self, name: str) -> Any:
        """Raises ActorUnavailableError if no actor lives under *name*, or Ray cannot say so."""
        if name in self._handles:
            return self._handles[name]
        try:
            find = partial(ray.get_actor, name, namespace=self._namespace)
            handle: Any = await in_thread(find, tuning.CLUSTER_SECONDS)
        except ValueError as error:
            raise ActorUnavailableError(name, "no actor has this name now") from error
        except (RayError, TimeoutError) as error:
            raise ActorUnavailableError(name, f"cannot be looked up: {_word(error)}") from error
        self._handles[name] = handle
        return handle

    def forget(self, name: str) -> None:
        self._handles.pop(name, None)

    async def call(self, name: str, call: Callable[[Any], Awaitable[T]], seconds: float) -> T:
        """What the actor called *name* answers.

        Dead or silent for so long: ActorUnavailableError, and looked up anew next time.
        """
        actor = await self.find(name)
        try:
            async with asyncio.timeout(seconds):
                return await call(actor)
        except RayTaskError:
            raise  # the actor lives and has raised this itself
        except (RayError, TimeoutError) as error:
            self.forget(name)
            raise ActorUnavailableError(name, _word(error), _has_died(error)) from error

    async def keep(self, name: str) -> str:
        """Have the actor kept for one call: gives the token that this call is to show.

        Raises ActorUnavailableError if it cannot be just now. Whatever the actor dies of meanwhile is somebody else's,
        so this never says `has_died`.
        """
        token = uuid4().hex
        try:
            is_kept = await self.call(name, lambda actor: actor.keep.remote(token), tuning.ANSWER_SECONDS)
        except ActorUnavailableError as error:
            raise ActorUnavailableError(error.actor, error.detail) from error
        if not is_kept:
            raise ActorUnavailableError(name, "has something else in hand")
        return token


def _has_died(error: Exception) -> bool:
    """Whether the actor's process has ended of itself: not by a keeper's kill, and not only out of reach."""
    return isinstance(error, ActorDiedError) and "killed by `ray.kill`" not in str(error)


class RayHosts:
    """The AggregateActors, by slot."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        name = names.aggregate_actor(slot)
        answer: bytes = await self._directory.call(
            name, lambda actor: actor.take_turn.remote(context, payload, version), tuning.WORK_SECONDS
        )
        return answer

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        name = names.aggregate_actor(slot)
        token = await self._directory.keep(name)
        answer: bytes = await self._directory.call(
            name, lambda actor: actor.take_turn.remote(context, payload, version, token), tuning.WORK_SECONDS
        )
        return answer

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        name = names.aggregate_actor(slot)
        answer: bytes = await self._directory.call(
            name, lambda actor: actor.bury.remote(context, payload, version), tuning.WORK_SECONDS
        )
        return answer

    async def release(self, slot: Slot, context: str, keys: Sequence[str], at_once: int) -> list[str]:
        name = names.aggregate_actor(slot)
        more: list[str] = await self._directory.call(
            name, lambda actor: actor.release.remote(context, list(keys), at_once), tuning.WORK_SECONDS
        )
        return more


class RaySubscribers:
    """The ContextActors, by context."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def take_events(self, subscriber: str, payload: bytes, *, alone: bool = False) -> bytes:
        name = names.context_actor(subscriber)
        token = await self._directory.keep(name) if alone else ""
        answer: bytes = await self._directory.call(
            name, lambda actor: actor.take_events.remote(payload, token), tuning.WORK_SECONDS
        )
        return answer


class RayChildren:
    """Makes actors, asks them how they are, ends them."""

    def __init__(self, directory: Directory, namespace: str) -> None:
        self._directory = directory
        self._namespace = namespace

    async def start(self, spec: ActorSpec, patience_seconds: float) -> None:
        kind = BY_KIND[names.kind_of(spec.name)]
        make = kind.options(name=spec.name, namespace=self._namespace, get_if_exists=True, **OPTIONS).remote
        try:
            # One that is there already need not be made: a new root must not wait for a hung actor as for a new one.
            patience = patience_seconds if await self._is_there(spec.name) else tuning.START_SECONDS
            actor = await in_thread(partial(make, spec.name, spec.build), tuning.START_SECONDS)
            async with asyncio.timeout(patience):
                await actor.start.remote()
        except (ValueError, RayError, TimeoutError) as error:  # ValueError: the name was freed meanwhile
            raise ActorUnavailableError(spec.name, f"could not be started: {_word(error)}") from error

    async def _is_there(self, name: str) -> bool:
        self._directory.forget(name)
        try:
            await self._directory.find(name)
        except ActorUnavailableError:
            return False
        self._directory.forget(name)
        return True

    async def report(self, spec: ActorSpec, patience_seconds: float) -> Report:
        answer: bytes = await self._directory.call(spec.name, lambda actor: actor.report.remote(), patience_seconds)
        return msgspec.msgpack.decode(answer, type=Report)

    async def kill(self, spec: ActorSpec) -> None:
        self._directory.forget(spec.name)
        try:
            # In two steps: one that comes too late must not end the actor that has the name by then.
            actor = await self._directory.find(spec.name)
            await in_thread(partial(ray.kill, actor), tuning.CLUSTER_SECONDS)
        except (ActorUnavailableError, RayError, TimeoutError) as error:
            log.debug("not_ended", actor=spec.name, error=_word(error))
        self._directory.forget(spec.name)

    async def stop(self, spec: ActorSpec, grace_seconds: float) -> None:
        try:
            await self._directory.call(spec.name, lambda actor: actor.stop.remote(), grace_seconds)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from draining, it must end
            log.warning("not_drained", actor=spec.name, error=str(error))
        await self.kill(spec)


class RayRoot:
    """The root supervisor as the daemon's driver sees it. Callable from any thread."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._actor: Any = None

    def start(self, build: Callable[[], Awaitable[Assembly]]) -> None:
        """End what earlier drivers of the deployment have left, then make the root; it starts everything else.

        Only for who owns the deployment's tables. What the actors hold is in Postgres, so ending them costs nothing but
        the time to start anew.
        """
        self._end_all(lambda namespace: names.is_of_predecessor(namespace, self._namespace))
        make = ROOT_SUPERVISOR.options(name=names.ROOT, namespace=self._namespace, **ROOT_OPTIONS).remote
        self._actor = make(names.ROOT, build)

    def status(self) -> dict[str, Any]:
        """The tree as the root sees it (see `TreeStatus`). Raises ActorUnavailableError."""
        answer: dict[str, Any] = msgspec.json.decode(self._ask("status"))
        return answer

    def metrics(self) -> bytes:
        """Prometheus text of all actors. Raises ActorUnavailableError."""
        answer: bytes = self._ask("metrics")
        return answer

    def answers(self) -> bool:
        """Whether the root is there. Asking sets one that Ray has started again to work."""
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
