"""The card company of a run: its books, reached over a network that is slow and loses answers."""

from __future__ import annotations

import asyncio

from tests.shop.orders.adapters import NoAnswerError
from tests.simulation.machine import Process

LIMIT = 5
"""Of the orders that a run can have, some are of more pieces."""


class CardCompanyOfARun:
    """Port `CardCompany` with its books in memory: it answers at once."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        """How each order stands that it was asked about."""

    async def charge(self, order_id: str, customer_id: str, pieces: int) -> bool:
        return self.states.setdefault(order_id, "charged" if pieces <= LIMIT else "declined") != "declined"

    async def refund(self, order_id: str) -> None:
        if self.states.get(order_id) == "charged":
            self.states[order_id] = "refunded"


class CardClient:
    """Port `CardCompany` for one process."""

    def __init__(self, company: CardCompanyOfARun, process: Process) -> None:
        self._company, self._process = company, process

    async def charge(self, order_id: str, customer_id: str, pieces: int) -> bool:
        await self._on_the_way("card.charge.before")
        is_charged = await self._company.charge(order_id, customer_id, pieces)
        self._note(f"{order_id} is {'charged' if is_charged else 'declined'}")
        await self._on_the_way("card.charge.after")
        return is_charged

    async def refund(self, order_id: str) -> None:
        await self._on_the_way("card.refund.before")
        await self._company.refund(order_id)
        self._note(f"{order_id} is refunded")
        await self._on_the_way("card.refund.after")

    async def _on_the_way(self, point: str) -> None:
        """Perhaps the process dies there, or what is on the way takes long, or is lost. Raises NoAnswerError."""
        faults = self._process.machine.faults
        await self._process.boundary(point, NoAnswerError)
        if faults.happens(0.05):
            await asyncio.sleep(faults.random.uniform(0.5, 4.0))
        if faults.happens(0.1):
            raise NoAnswerError(f"{point}: lost on the way")

    def _note(self, what: str) -> None:
        self._process.machine.history.note("card company", f"{what} for {self._process.label}")
