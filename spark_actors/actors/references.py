"""All calls to Ray actors: by name, with Ray's errors translated once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import ray
import structlog
from ray.exceptions import RayError, RayTaskError

from spark_actors.actors import names
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import ActorSpec, Report
from spark_actors.actors.ray_actors import BY_KIND, OPTIONS, ROOT_OPTIONS, ROOT_SUPERVISOR
from spark_actors.actors.unit import Unit
from spark_actors.messaging.routing import Slot

log = structlog.get_logger(__name__)

START_SECONDS = 60.0
"""How long an actor may take to start before it is given up and replaced."""
ANSWER_SECONDS = 5.0
"""How long the root may take to answer."""


class Directory:
    """Finds actors by name and remembers them until a call fails."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._handles: dict[str, Any] = {}

    def find(self, name: str) -> Any:
        """Raises ActorUnavailableError if no actor lives under *name*."""
        if name in self._handles:
            return self._handles[name]
        try:
            handle: Any = ray.get_actor(name, namespace=self._namespace)
        except ValueError as error:
            raise ActorUnavailableError(name, "no actor has this name now") from error
        self._handles[name] = handle
        return handle

    def forget(self, name: str) -> None:
        self._handles.pop(name, None)

    @contextmanager
    def calling(self, name: str) -> Iterator[Any]:
        """The actor called *name*; dead or silent: ActorUnavailableError, and looked up anew next time."""
        try:
            yield self.find(name)
        except RayTaskError:
            raise  # the actor lives and has raised this itself
        except (RayError, TimeoutError) as error:
            self.forget(name)
            raise ActorUnavailableError(name, type(error).__name__) from error


class RayHosts:
    """The AggregateActors, by slot."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def take_turn(self, slot: Slot, context: str, payload: bytes) -> bytes:
        with self._directory.calling(names.aggregate_actor(slot)) as actor:
            answer: bytes = await actor.take_turn.remote(context, payload)
            return answer

    async def release(self, slot: Slot, context: str, keys: Sequence[str]) -> list[str]:
        with self._directory.calling(names.aggregate_actor(slot)) as actor:
            more: list[str] = await actor.release.remote(context, list(keys))
            return more


class RaySubscribers:
    """The ContextActors, by context."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def take_events(self, subscriber: str, payload: bytes) -> bytes:
        with self._directory.calling(names.context_actor(subscriber)) as actor:
            answer: bytes = await actor.take_events.remote(payload)
            return answer


class RayChildren:
    """Makes actors, asks them how they are, ends them."""

    def __init__(self, directory: Directory, namespace: str) -> None:
        self._directory = directory
        self._namespace = namespace

    async def start(self, spec: ActorSpec, patience_seconds: float) -> None:
        kind = BY_KIND[names.kind_of(spec.name)]
        try:
            # One that is there already need not be made: a new root must not wait for a hung actor as for a new one.
            patience = patience_seconds if self._is_there(spec.name) else START_SECONDS
            actor = kind.options(name=spec.name, namespace=self._namespace, get_if_exists=True, **OPTIONS).remote(
                spec.name, spec.build
            )
            await asyncio.wait_for(actor.start.remote(), patience)
        except (ValueError, RayError, TimeoutError) as error:  # ValueError: the name was freed meanwhile
            raise ActorUnavailableError(spec.name, f"could not be started: {error}") from error

    def _is_there(self, name: str) -> bool:
        try:
            self._directory.find(name)
        except ActorUnavailableError:
            return False
        self._directory.forget(name)
        return True

    async def report(self, spec: ActorSpec, patience_seconds: float) -> Report:
        with self._directory.calling(spec.name) as actor:
            answer: bytes = await asyncio.wait_for(actor.report.remote(), patience_seconds)
            return msgspec.msgpack.decode(answer, type=Report)

    async def kill(self, spec: ActorSpec) -> None:
        self._directory.forget(spec.name)
        try:
            ray.kill(self._directory.find(spec.name))
        except ActorUnavailableError:
            log.debug("already_gone", actor=spec.name)
        self._directory.forget(spec.name)

    async def stop(self, spec: ActorSpec, grace_seconds: float) -> None:
        try:
            with self._directory.calling(spec.name) as actor:
                await asyncio.wait_for(actor.stop.remote(), grace_seconds)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from draining, it must end
            log.warning("not_drained", actor=spec.name, error=str(error))
        await self.kill(spec)


class RayRoot:
    """The root supervisor as the daemon's driver sees it. Callable from any thread."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._actor: Any = None

    def start(self, build: Callable[[], Awaitable[Unit]]) -> None:
        """End what an earlier driver has left of the tree, then make the root; it starts everything else.

        What the actors hold is in Postgres, so ending them costs nothing but the time to start anew.
        """
        self._end_all()
        self._actor = ROOT_SUPERVISOR.options(name=names.ROOT, namespace=self._namespace, **ROOT_OPTIONS).remote(
            names.ROOT, build
        )

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

    def stop(self, grace_seconds: float) -> None:
        """Drain the tree from the way in to the store, then end it; after *grace_seconds* it is ended anyway."""
        try:
            self._ask("stop", grace_seconds)
        except ActorUnavailableError as error:
            log.warning("tree_not_drained", error=str(error))
        finally:
            self._end_all()

    def _ask(self, method: str, timeout_seconds: float = ANSWER_SECONDS) -> Any:
        if self._actor is None:
            raise ActorUnavailableError(names.ROOT, "not started")
        try:
            return ray.get(getattr(self._actor, method).remote(), timeout=timeout_seconds)
        except RayError as error:
            raise ActorUnavailableError(names.ROOT, type(error).__name__) from error

    def _end_all(self) -> None:
        mine = [a["name"] for a in ray.util.list_named_actors(all_namespaces=True) if a["namespace"] == self._namespace]
        for name in sorted(mine, key=lambda name: name != names.ROOT):  # the root first, or it would replace the others
            try:
                ray.kill(ray.get_actor(name, namespace=self._namespace))
            except ValueError:
                log.debug("already_gone", actor=name)


def connect(address: str, namespace: str) -> None:
    """Make this process a driver of the Ray cluster at *address*."""
    ray.init(address=address, namespace=namespace, log_to_driver=False)
