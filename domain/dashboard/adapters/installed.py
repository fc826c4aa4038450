"""The dashboard context, ready to be run."""

from __future__ import annotations

from datetime import timedelta

from domain.dashboard.context import CONTEXT
from spark_actors.application import Edge, InstalledContext, Reactions
from spark_actors.messaging.ports import QueryHandlers


async def _reactions(edge: Edge) -> Reactions:
    """What keeps the read models up to date, and their tables in order."""
    from domain.dashboard.adapters.maintenance import DashboardMaintenance
    from domain.dashboard.adapters.projection import PostgresProjection
    from spark_actors.actors.context import Projecting
    from spark_actors.actors.watch import housekeeping_loop

    pool = await edge.pool()
    maintenance = DashboardMaintenance(pool, retention=timedelta(days=edge.settings.retention.activity_days))
    housekeeping = housekeeping_loop(CONTEXT.name, maintenance, edge.clock)
    return Reactions([Projecting(CONTEXT, PostgresProjection(pool))], [housekeeping])


async def _answers(edge: Edge) -> QueryHandlers:
    from domain.dashboard.adapters.answers import PostgresViews

    return PostgresViews(await edge.pool()).answers


INSTALLED = InstalledContext(
    context=CONTEXT, migrations=__package__, reactions=_reactions, answers=_answers, may_lag=True
)
