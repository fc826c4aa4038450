"""The ContextActor of one context: what it does of each event, and what keeps it."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from random import SystemRandom

from domain.contexts import CONTEXTS
from domain.shared.context import BoundedContext
from spark_actors.actors import names
from spark_actors.actors.context import ContextActor, ContextService, Part, Projecting, Steps, TaskListing, Tracking
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.loop import Loop
from spark_actors.actors.unit import Unit
from spark_actors.actors.watch import housekeeping_loop
from spark_actors.bootstrap.parts import READERS_NICENESS, RELAY_NICENESS, Parts, clock
from spark_actors.bootstrap.sizes import READ_MODELS
from spark_actors.deployment import Deployment
from spark_actors.persistence.connections import Pool
from spark_actors.persistence.saga_log import PostgresSagaLog

BY_NAME = {context.name: context for context in CONTEXTS}
LIGHTNING = "bitcoin"


def context_keeper(parts: Parts, name: str) -> Keeper:
    """What keeps the ContextActor of one context."""
    return parts.keeper(names.context_actor(name), "ContextActor", partial(context_unit, parts.deployment, name))


async def context_unit(deployment: Deployment, name: str) -> Unit:
    """The ContextActor of one context."""
    parts = Parts(deployment, names.context_actor(name))
    context = parts.faults.context(BY_NAME[name])
    os.nice(READERS_NICENESS if name == READ_MODELS else RELAY_NICENESS)
    pool = await parts.pool(name)
    dispatcher = parts.dispatcher()
    does: list[Part] = []
    loops: list[Loop] = []
    if context.sagas:
        does.append(Tracking(context, PostgresSagaLog(pool, name), parts.metrics))
    if context.steps:
        does.append(Steps(context, dispatcher, parts.registry, parts.faults.pass_point))
    if name == READ_MODELS:
        projecting, housekeeping = _dashboard(parts, pool, context)
        does.append(projecting)
        loops.append(housekeeping)
    if name == LIGHTNING:
        listing, worker = _lightning(parts, pool, dispatcher)
        does.append(listing)
        loops.append(worker)
    service = ContextService(ContextActor(context, parts.registry, does), dispatcher, loops)
    return Unit(service, parts.metrics.snapshot, close=parts.close)


def _dashboard(parts: Parts, pool: Pool, context: BoundedContext) -> tuple[Projecting, Loop]:
    """What keeps the read models up to date, and the loop that keeps their tables in order."""
    from spark_actors.persistence.dashboard_maintenance import DashboardMaintenance
    from spark_actors.persistence.dashboard_projection import PostgresProjection

    maintenance = DashboardMaintenance(pool, retention=timedelta(days=parts.settings.retention.activity_days))
    return Projecting(context, PostgresProjection(pool)), housekeeping_loop(context.name, maintenance, parts.clock)


def _lightning(parts: Parts, pool: Pool, dispatcher: Dispatcher) -> tuple[TaskListing, Loop]:
    """What lists tasks for the Lightning node, and the loop that works them off."""
    from domain.bitcoin.lightning import task_for
    from spark_actors.lightning.simulated import SimulatedLightningNode, SimulatedSettings
    from spark_actors.lightning.worker import LightningWorker, WorkerSettings
    from spark_actors.persistence.lightning_tasks import PostgresLightningTasks

    wanted = parts.settings.lightning
    tasks = PostgresLightningTasks(pool)
    node = SimulatedLightningNode(
        parts.deployment.simulated_node,
        SimulatedSettings(
            payment_delay=timedelta(seconds=wanted.simulated.payment_delay_seconds),
            latency=timedelta(seconds=wanted.simulated.latency_seconds),
            failure_rate=wanted.simulated.failure_rate,
            unknown_rate=wanted.simulated.unknown_rate,
            largest_invoice_sat=wanted.simulated.largest_invoice_sat,
        ),
        clock=clock,
        random=SystemRandom(),
    )
    parts.open.push_async_callback(node.close)
    worker = LightningWorker(
        tasks,
        parts.faults.node(node),
        dispatcher,
        settings=WorkerSettings(
            invoice_expiry=timedelta(seconds=wanted.invoice_expiry_seconds),
            watch_interval=timedelta(seconds=wanted.watch_interval_seconds),
            call_timeout=timedelta(seconds=wanted.call_timeout_seconds),
            max_concurrent_calls=wanted.max_concurrent_calls,
        ),
        clock=parts.clock,
        telemetry=parts.metrics,
        pass_point=parts.faults.pass_point,
    )
    loop = Loop("lightning", worker.step)
    return TaskListing(task_for, tasks, parts.clock, loop.wake), loop
