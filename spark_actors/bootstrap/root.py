"""The root supervisor, and with it the whole tree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from spark_actors.actors import names
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.root import RootSupervisor
from spark_actors.bootstrap.aggregate import aggregate_actor
from spark_actors.bootstrap.context import context_keeper
from spark_actors.bootstrap.ingress import ingress_unit
from spark_actors.bootstrap.parts import Parts, placement
from spark_actors.bootstrap.sizes import groups_of
from spark_actors.bootstrap.supervisor import supervisor_unit
from spark_actors.deployment import Deployment
from spark_actors.telemetry.board import MetricsBoard


async def root_unit(deployment: Deployment) -> Assembly:
    """The root supervisor."""
    parts = Parts(deployment, names.ROOT)
    hosts = [
        parts.keeper(names.aggregate_actor(slot), "AggregateActor", partial(aggregate_actor, deployment, slot))
        for slot in placement(deployment).slots
    ]
    supervisors = [
        parts.keeper(names.supervisor(name), "Supervisor", partial(supervisor_unit, deployment, name))
        for name in (each.name for each in parts.application.writing)
    ]
    # A context without an outbox has nothing for a Supervisor to do.
    readers = [context_keeper(parts, each.name) for each in parts.application.contexts if not each.is_writing]
    ingresses = [
        parts.keeper(names.ingress(group), "Ingress", partial(ingress_unit, deployment, group))
        for group in range(len(groups_of(parts.application, parts.settings)))
    ]
    service = RootSupervisor(
        (ingresses, supervisors, readers, hosts),
        MetricsBoard(),
        parts.metrics.snapshot,
        grace_seconds=parts.settings.shutdown.grace_seconds,
    )
    return Assembly(service, parts.metrics.snapshot, close=parts.close)


def root_builder(deployment: Deployment) -> Callable[[], Awaitable[Assembly]]:
    """What makes the root supervisor in its own process."""
    return partial(root_unit, deployment)
