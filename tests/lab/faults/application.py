"""Satoshi Spark in a daemon that may be hurt: everything in it fails as the files below the data dir say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from domain.application import APPLICATION as IN_EARNEST
from domain.bitcoin.adapters.installed import lightning_node, reactions, workers
from domain.bitcoin.ports import LightningNode
from spark_actors.application import Edge, InstalledContext, Reactions, Wrapping
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.tasks import Workers
from spark_actors.messaging.ports import Clock
from tests.lab.faults.folder import FaultFolder


class OrderedFaults(Wrapping):
    """Crash points strike, messages are deadly and the clock is wrong, each when it was ordered."""

    def __init__(self, data_dir: Path) -> None:
        # Imported here: each actor is a process that pays for what it imports.
        from tests.lab.faults.injected import ArmedPoints

        self._folder = FaultFolder(data_dir)
        self.pass_point = ArmedPoints(self._folder)

    def clock(self, clock: Clock) -> Clock:
        from tests.lab.faults.injected import ShiftedClock

        return ShiftedClock(self._folder, clock)

    def context(self, context: BoundedContext) -> BoundedContext:
        from tests.lab.faults.injected import DeadlyMessages

        return DeadlyMessages(self._folder).context(context)


async def _moody_node(edge: Edge) -> LightningNode:
    """The Lightning node, whose clock is another machine's and right, is in the mood that was ordered."""
    from spark_actors.bootstrap.parts import clock
    from tests.lab.faults.injected import MoodyNode

    return MoodyNode(FaultFolder(edge.settings.data_dir), await lightning_node(edge, clock))


async def _moody(edge: Edge) -> Workers:
    return await workers(edge, await _moody_node(edge))


async def _moody_reactions(edge: Edge) -> Reactions:
    return await reactions(edge, await _moody_node(edge))


def _hurt(installed: InstalledContext) -> InstalledContext:
    return replace(installed, workers=_moody, reactions=_moody_reactions) if installed.workers is workers else installed


APPLICATION = replace(IN_EARNEST, contexts=tuple(map(_hurt, IN_EARNEST.contexts)), wrapping=OrderedFaults)
