"""What the composition root wraps its parts with: nothing in earnest, faults in a daemon that tests may hurt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spark_actors.messaging.crash_points import PassPoint, pass_unharmed
from spark_actors.messaging.ports import Clock

if TYPE_CHECKING:
    from domain.bitcoin.ports import LightningNode
    from domain.shared.context import BoundedContext


class NoFaults:
    """Everything stays what it is."""

    pass_point: PassPoint = staticmethod(pass_unharmed)

    def clock(self, clock: Clock) -> Clock:
        return clock

    def context(self, context: BoundedContext) -> BoundedContext:
        return context

    def node(self, node: LightningNode) -> LightningNode:
        return node


class OrderedFaults(NoFaults):
    """Everything fails as the files below the data dir say."""

    def __init__(self, data_dir: Path) -> None:
        # Imported here: each actor is a process that pays for what it imports.
        from spark_actors.faults.folder import FaultFolder
        from spark_actors.faults.injected import ArmedPoints

        self._folder = FaultFolder(data_dir)
        self.pass_point = ArmedPoints(self._folder)

    def clock(self, clock: Clock) -> Clock:
        from spark_actors.faults.injected import ShiftedClock

        return ShiftedClock(self._folder, clock)

    def context(self, context: BoundedContext) -> BoundedContext:
        from spark_actors.faults.injected import DeadlyMessages

        return DeadlyMessages(self._folder).context(context)

    def node(self, node: LightningNode) -> LightningNode:
        from spark_actors.faults.injected import MoodyNode

        return MoodyNode(self._folder, node)


def faults(data_dir: Path, *, enabled: bool) -> NoFaults:
    """What the setting `faults.enabled` asks for."""
    return OrderedFaults(data_dir) if enabled else NoFaults()
