"""The AggregateActor of one slot."""

from __future__ import annotations

import os
from collections.abc import Callable

from spark_actors.actors import names
from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.lookups import HostedContext
from spark_actors.actors.progress import Progress
from spark_actors.bootstrap import tuning
from spark_actors.bootstrap.parts import clock, log_as, prepare_threshold
from spark_actors.deployment import Origin, deployment_of
from spark_actors.messaging.routing import Slot
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from spark_actors.telemetry.metrics import ActorMetrics


def aggregate_actor(origin: Origin, slot: Slot, progress: Progress) -> tuple[AggregateActor, Callable[[], bytes]]:
    """An AggregateActor for one slot, which notes its *progress*, and its metrics."""
    deployment = deployment_of(origin)
    log_as(deployment, names.aggregate_actor(slot))
    os.nice(tuning.HOST_NICENESS)
    metrics, application = ActorMetrics(), deployment.application
    wrapping, turns = application.wrapping(deployment.settings.data_dir), deployment.settings.turns
    hosted = [
        HostedContext(
            wrapping.context(installed.as_set(deployment.settings)),
            PostgresUnitOfWorkFactory(
                deployment.dsn[installed.name],
                installed.name,
                table,
                prepare_threshold=prepare_threshold(deployment),
                waiting=progress.waiting,
            ),
        )
        for installed in application.writing
        if (table := installed.stored)
    ]
    actor = AggregateActor(
        hosted,
        application.registry,
        slot=slot,
        max_bytes=deployment.settings.placement.resident_bytes,
        max_attempts=turns.max_attempts,
        clock=wrapping.clock(clock),
        telemetry=metrics,
        pass_point=wrapping.pass_point,
    )
    return actor, metrics.snapshot
