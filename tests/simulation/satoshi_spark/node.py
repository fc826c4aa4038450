"""The Lightning node of a run: the simulated one's own rules, reached over a network that is slow and loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from domain.bitcoin.adapters.requests import Behaviour, read
from domain.bitcoin.adapters.simulated import Entry, Result, SimulatedLightningNode, SimulatedSettings
from domain.bitcoin.ports import LightningError, NodeInvoice, Payment, Permits
from tests.fixtures.lightning import MemoryNodeBooks, MemoryPermits
from tests.simulation.machine import Machine, Process

SETTLES_AFTER = timedelta(seconds=1.5)
"""After this invoices made here are paid, and slow and unknown payments are decided."""
LATE = timedelta(seconds=3)
"""Within this after its expiry a late payment comes in."""


class NodeOfARun(SimulatedLightningNode):
    """The simulated node with its books in memory, in virtual time: it answers at once."""

    def __init__(self, machine: Machine) -> None:
        self.permits = MemoryPermits()
        """In the service's own store: it is here, where a process finds it, because nothing else keeps it in a run."""
        self._machine = machine
        self._memory = MemoryNodeBooks()
        self.settings = SimulatedSettings(payment_delay=SETTLES_AFTER, failure_rate=0.1, unknown_rate=0.2, fee_sat=1)
        super().__init__(
            self._memory,
            self.settings,
            clock=machine.now,
            random=Random(machine.faults.random.random()),
            sleep=_at_once,
        )

    def has_sent(self, payment_hash: str) -> bool:
        """Whether the money is gone, or on its way."""
        payment = self._memory.payments.get(payment_hash)
        return payment is not None and payment.result is Result.PAID

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        """Of eight invoices one is never paid, and one is paid when it has expired."""
        fate = self._random.random()
        self._settings = replace(self.settings, payment_delay=SETTLES_AFTER if fate < 0.75 else None)
        made = await super().create_invoice(
            invoice_id=invoice_id, amount_sat=amount_sat, memo=memo, expires_in=expires_in
        )
        self._settings = self.settings
        if fate > 0.875 and made.expires_at > self._clock():  # it may have been made long ago: nobody pays in the past
            paid_at = made.expires_at + LATE * self._random.random()
            await self._books.change(made.payment_hash, lambda entry: (_paid_late(entry, paid_at, amount_sat), None))
        return made

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        """What is held is taken, or not, after a while."""
        payment = await super().pay(payment_request, fee_limit_sat=fee_limit_sat)
        request = read(payment_request)
        if request.behaviour is Behaviour.HELD:
            self._machine.spawn(self._end(request.payment_hash, self._random.uniform(0.5, 20), self._random.random()))
        return payment

    async def _end(self, payment_hash: str, seconds: float, luck: float) -> None:
        await asyncio.sleep(seconds)
        await self.release(payment_hash, is_paid=luck < 0.5)


class NodeClient:
    """Port `LightningNode` for one process."""

    can_miss_receipts = False

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


class PermitsOfARun:
    """Port `Permits` for one process, which sometimes stands still before it asks for one, and is taken for dead.

    Its successor comes to the same point meanwhile, and further.
    """

    def __init__(self, permits: Permits, process: Process) -> None:
        """*permits*: as the process reaches them."""
        self._permits, self._process, self._faults = permits, process, process.machine.faults

    async def take(self, payment_hash: str, invoice_id: str) -> bool:
        if self._faults.happens(0.15):
            self._process.machine.hide(self._process, "it stands still between its look at a payment and its call")
            await asyncio.sleep(self._faults.random.uniform(3.0, 9.0))
        return await self._permits.take(payment_hash, invoice_id)

    async def give_back(self, payment_hash: str) -> None:
        await self._permits.give_back(payment_hash)

    async def holder(self, payment_hash: str) -> str:
        return await self._permits.holder(payment_hash)


def _paid_late(entry: Entry, paid_at: datetime, amount_sat: int) -> Entry:
    """Nobody was going to pay, and now somebody is; asked again, what was decided stays."""
    if entry.invoice is None or entry.invoice.paid_at is not None:
        return entry
    return replace(entry, invoice=replace(entry.invoice, paid_at=paid_at, received_sat=amount_sat))


def _shown(result: object) -> str:
    return str(getattr(result, "status", getattr(result, "value", "ok")))


async def _at_once(seconds: float) -> None:
    """The network, not the node, is what takes time."""
