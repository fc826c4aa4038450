"""The root supervisor, and with it the whole tree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from spark_actors.actors import names
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.fence import Fence
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.ports import ActorSpec, Overlap
from spark_actors.actors.references import RayChildren, RayNodes
from spark_actors.actors.root import RootPorts, RootSupervisor
from spark_actors.actors.seating import Seating
from spark_actors.bootstrap.aggregate import aggregate_actor
from spark_actors.bootstrap.context import context_unit
from spark_actors.bootstrap.ingress import ingress_unit
from spark_actors.bootstrap.parts import Parts, fence_of
from spark_actors.bootstrap.sizes import groups_of, placement_for
from spark_actors.bootstrap.supervisor import supervisor_unit
from spark_actors.cluster.nodes import Common
from spark_actors.deployment import Origin, deployment_of
from spark_actors.messaging.ports import INGRESS
from spark_actors.messaging.routing import Slot
from spark_actors.persistence.cluster import PostgresClusterStore, count_fenced, newest_root
from spark_actors.telemetry.board import MetricsBoard
from spark_actors.version import version


async def root_unit(origin: Origin) -> Assembly:
    """The root supervisor."""
    parts = Parts(origin, names.ROOT)
    store = PostgresClusterStore(await parts.pool(INGRESS), names.epoch_of(origin.namespace))
    own_node = RayNodes.own_node()
    seating = Seating(store, own_node)
    supervision, grace_seconds = parts.settings.supervision, parts.settings.shutdown.grace_seconds

    def keeper(spec: ActorSpec) -> Keeper:
        return Keeper(
            spec,
            RayChildren(origin.namespace, origin.python),
            seating,
            heartbeat_seconds=supervision.heartbeat_seconds,
            patience_seconds=supervision.patience_seconds,
            grace_seconds=grace_seconds,
            telemetry=parts.metrics,
        )

    service = RootSupervisor(
        [[keeper(spec) for spec in tier] for tier in _tiers(parts)],
        seating,
        RootPorts(
            store,
            RayNodes(partial(_look, origin), origin.python),
            own_node=own_node,
            expected=_look(origin),
            examines_all=bool(origin.python),
            fence=partial(_root_fence, origin),
            placing=partial(placement_for, parts.settings),
            host=lambda slot: keeper(_host(origin, slot)),
            board=MetricsBoard(),
            own_metrics=parts.metrics.snapshot,
            telemetry=parts.metrics,
        ),
        grace_seconds=grace_seconds,
    )
    return Assembly(service, parts.metrics.snapshot, close=parts.close)


def _tiers(parts: Parts) -> list[list[ActorSpec]]:
    """All actors but the root and the AggregateActors, from the way in to the store."""
    origin, application = parts.deployment.origin, parts.application

    def spec(place: str, kind: str, build: Callable[..., object], overlap: Overlap = Overlap.WARM) -> ActorSpec:
        return ActorSpec(place, kind, build, partial(fence_of, origin, place), overlap)

    ingresses = [
        spec(names.ingress(group), "Ingress", partial(ingress_unit, origin, group), Overlap.WORK)
        for group in range(len(groups_of(application, parts.settings)))
    ]
    supervisors = [
        spec(names.supervisor(name), "Supervisor", partial(supervisor_unit, origin, name))
        for name in (each.name for each in application.writing)
    ]
    contexts = [
        spec(names.context_actor(name), "ContextActor", partial(context_unit, origin, name))
        for name in (each.name for each in application.contexts)
    ]
    return [ingresses, supervisors, contexts]


def _host(origin: Origin, slot: Slot) -> ActorSpec:
    place = names.aggregate_actor(slot)
    build = partial(aggregate_actor, origin, slot)
    return ActorSpec(place, "AggregateActor", build, partial(fence_of, origin, place), Overlap.CALLS)


def _look(origin: Origin) -> Common:
    """What the node on which this is called has in common with others. Raises DeploymentUnknownError."""
    return Common(version(), deployment_of(origin).fingerprint, names.epoch_of(origin.namespace))


def _root_fence(origin: Origin, number: int) -> Fence:
    dsn, epoch = deployment_of(origin).dsn[INGRESS], names.epoch_of(origin.namespace)
    return Fence(names.ROOT, number, partial(newest_root, dsn, epoch), tell=partial(count_fenced, dsn, epoch))


def root_builder(origin: Origin) -> Callable[[], Awaitable[Assembly]]:
    """What makes the root supervisor in its own process."""
    return partial(root_unit, origin)
