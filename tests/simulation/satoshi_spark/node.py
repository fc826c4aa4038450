"""The Lightning node of a run: the simulated one's own rules, reached over a network that is slow and loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.ports import LightningError, NodeInvoice
from tests.fixtures.lightning import MemoryNodeBooks
from tests.simulation.machine import Machine, Process

SETTLES_AFTER = timedelta(seconds=1.5)
"""After this invoices made here are paid, and slow and unknown payments are decided."""


class NodeOfARun(SimulatedLightningNode):
    """The simulated node with its books in memory, in virtual time: it answers at once."""

    def __init__(self, machine: Machine) -> None:
        self.settings = SimulatedSettings(payment_delay=SETTLES_AFTER, failure_rate=0.1, unknown_rate=0.2)
        super().__init__(
            MemoryNodeBooks(),
            self.settings,
            clock=machine.now,
            random=Random(machine.faults.random.random()),
            sleep=_at_once,
        )

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        """Of four invoices one is never paid."""
        is_paid = self._random.random() < 0.75
        self._settings = replace(self.settings, payment_delay=SETTLES_AFTER if is_paid else None)
        made = await super().create_invoice(
            invoice_id=invoice_id, amount_sat=amount_sat, memo=memo, expires_in=expires_in
        )
        self._settings = self.settings
        return made


class NodeClient:
    """Port `LightningNode` for one process."""

    def __init__(self, node: NodeOfARun, process: Process) -> None:
        self._node, self._process = node, process

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        target, process = getattr(self._node, method), self._process

        async def call(*args: Any, **named: Any) -> Any:
            faults = process.machine.faults
            await process.boundary(f"node.{method}.before", LightningError)
            if faults.happens(0.05):
                await asyncio.sleep(faults.random.uniform(0.5, 4.0))
            result = await target(*args, **named)
            process.machine.history.note("node", f"{method} for {process.label}: {_shown(result)}")
            if faults.happens(0.05):
                await asyncio.sleep(faults.random.uniform(0.5, 4.0))
            await process.boundary(f"node.{method}.after", LightningError)
            return result

        return call


def _shown(result: object) -> str:
    return str(getattr(result, "status", getattr(result, "value", "ok")))


async def _at_once(seconds: float) -> None:
    """The network, not the node, is what takes time."""
