"""The ContextActor of one context: what it does of each event, and what keeps it."""

from __future__ import annotations

import os
from functools import partial

from spark_actors.actors import names
from spark_actors.actors.context import ContextActor, ContextService, Part, Steps, Tracking
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.unit import Unit
from spark_actors.application import Reactions
from spark_actors.bootstrap import tuning
from spark_actors.bootstrap.parts import Parts
from spark_actors.deployment import Deployment
from spark_actors.persistence.saga_log import PostgresSagaLog


def context_keeper(parts: Parts, name: str) -> Keeper:
    """What keeps the ContextActor of one context."""
    return parts.keeper(names.context_actor(name), "ContextActor", partial(context_unit, parts.deployment, name))


async def context_unit(deployment: Deployment, name: str) -> Unit:
    """The ContextActor of one context."""
    parts = Parts(deployment, names.context_actor(name))
    installed = parts.application.installed(name)
    context = parts.wrapping.context(installed.context)
    os.nice(tuning.READERS_NICENESS if installed.may_lag else tuning.RELAY_NICENESS)
    dispatcher = parts.dispatcher()
    edge = parts.edge(name, dispatcher)
    does: list[Part] = []
    if context.sagas:
        does.append(Tracking(context, PostgresSagaLog(await edge.pool(), name), parts.metrics))
    if context.steps:
        does.append(Steps(context, dispatcher, parts.registry, parts.wrapping.pass_point))
    reactions = await installed.reactions(edge) if installed.reactions else Reactions()
    actor = ContextActor(context, parts.registry, [*does, *reactions.parts])
    return Unit(ContextService(actor, dispatcher, reactions.loops), parts.metrics.snapshot, close=parts.close)
