"""The ContextActor of one context: what it does of each event."""

from __future__ import annotations

import os

from spark_actors.actors import names
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.context import ContextActor, ContextService, EventHandler, Steps, Tracking
from spark_actors.actors.tasks import TaskListing, TaskWorkers
from spark_actors.application import Reactions
from spark_actors.bootstrap import tuning
from spark_actors.bootstrap.parts import Parts, PartsEdge
from spark_actors.deployment import Origin
from spark_actors.kernel.context import BoundedContext
from spark_actors.persistence.saga_log import PostgresSagaLog
from spark_actors.persistence.tasks import PostgresDurableTasks


async def context_unit(origin: Origin, name: str) -> Assembly:
    """The ContextActor of one context."""
    parts = Parts(origin, names.context_actor(name))
    installed = parts.application.installed(name)
    context = parts.wrapping.context(installed.as_set(parts.settings))
    os.nice(tuning.READERS_NICENESS if installed.may_lag else tuning.RELAY_NICENESS)
    dispatcher = parts.dispatcher()
    edge = parts.edge(name, dispatcher)
    does: list[EventHandler] = []
    if context.sagas:
        does.append(Tracking(context, PostgresSagaLog(await edge.pool(), name), parts.metrics))
    if context.steps:
        does.append(Steps(context, dispatcher, parts.registry, parts.wrapping.pass_point))
    tasks = await _tasks(parts, edge, context)
    reactions = await installed.reactions(edge) if installed.reactions else Reactions()
    actor = ContextActor(context, parts.registry, [*does, *tasks.parts, *reactions.parts])
    loops = [*tasks.loops, *reactions.loops]
    return Assembly(
        ContextService(actor, dispatcher, loops),
        parts.metrics.snapshot,
        parts.routes,
        parts.close,
        reactions.warnings,
    )


async def _tasks(parts: Parts, edge: PartsEdge, context: BoundedContext) -> Reactions:
    """What lists the context's durable tasks, and the loops in which they are done."""
    if not context.to_do:
        return Reactions()
    tasks = PostgresDurableTasks(await edge.pool(), context.name)
    does = TaskWorkers(
        tasks,
        await parts.application.workers_of(context.name, edge),
        parts.registry,
        edge.sender,
        clock=parts.clock,
        telemetry=parts.metrics,
        pass_point=edge.pass_point,
    )
    return Reactions([TaskListing(context, tasks, parts.clock, does.wake)], does.loops)
