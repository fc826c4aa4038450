"""The accounting context, ready to be run."""

from __future__ import annotations

from typing import Any

from domain.accounting.adapters.tables import ACCOUNTS
from domain.accounting.context import CONTEXT, context
from spark_actors.application import Edge, InstalledContext, Reactions
from spark_actors.kernel.context import BoundedContext


def _configured(settings: Any) -> BoundedContext:
    return context(settings.lightning.withdrawals.day_sat)


async def _reactions(edge: Edge) -> Reactions:
    """What sums up how much users own."""
    from domain.accounting.adapters.owed import OwedWatch
    from spark_actors.actors.loop import Loop

    return Reactions(loops=[Loop("what users own", OwedWatch(await edge.pool(), edge.telemetry).step)])


INSTALLED = InstalledContext(
    context=CONTEXT, configured=_configured, table=ACCOUNTS, migrations=__package__, reactions=_reactions
)
