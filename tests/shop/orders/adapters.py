"""Does the tasks of the orders context at a card company, and the company that stands in for a real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString, Never, Protocol

from psycopg_pool import AsyncConnectionPool

from spark_actors.kernel.errors import StorageError
from spark_actors.kernel.tasks import NotYet, Task, Worker
from spark_actors.persistence.connections import Row
from spark_actors.persistence.errors import translated
from tests.shop.orders.messages import NoteCharged, RejectOrder
from tests.shop.orders.tasks import ChargeCard, RefundCard

LIMIT = 20
"""So many pieces of one order a card is good for."""

_CHARGE = """
    INSERT INTO orders.card_charges AS known (order_id, pieces, state)
    VALUES (%(order_id)s, %(pieces)s, %(state)s)
    ON CONFLICT (order_id) DO UPDATE SET state = known.state
    RETURNING state, EXISTS (SELECT FROM orders.card_silences WHERE customer_id = %(customer_id)s)
"""
_REFUND = """
    UPDATE orders.card_charges SET state = 'refunded' WHERE order_id = %(order_id)s AND state = 'charged'
    RETURNING order_id
"""
_SILENCE = """
    INSERT INTO orders.card_silences (customer_id) VALUES (%(customer_id)s) ON CONFLICT DO NOTHING
    RETURNING customer_id
"""
_SPEAK = "DELETE FROM orders.card_silences WHERE customer_id = %(customer_id)s RETURNING customer_id"


class NoAnswerError(Exception):
    """Nobody knows whether the card company has done what it was asked."""


class CardCompany(Protocol):
    """What the shop asks of it. Both are safe to be asked again; both raise NoAnswerError."""

    async def charge(self, order_id: str, customer_id: str, pieces: int) -> bool:
        """Charge for an order, once whatever happens; False: it was declined, for good."""

    async def refund(self, order_id: str) -> None:
        """Give back what was charged for an order, once whatever happens. It is not charged again."""


class CardWorker:
    """Does each task of the orders context. A task may be done twice, since the card company goes by the order's id."""

    def __init__(self, company: CardCompany) -> None:
        self._company = company

    @property
    def by_task(self) -> Mapping[type[Task], Worker]:
        return {ChargeCard: self.charge, RefundCard: self.refund}

    async def charge(self, task: ChargeCard) -> Sequence[NoteCharged | RejectOrder] | NotYet:
        try:
            is_charged = await self._company.charge(task.order_id, task.customer_id, task.pieces)
        except NoAnswerError as error:
            return NotYet(str(error))
        if is_charged:
            return [NoteCharged(order_id=task.order_id)]
        return [RejectOrder(order_id=task.order_id, reason="card_declined")]

    async def refund(self, task: RefundCard) -> Sequence[Never] | NotYet:
        try:
            await self._company.refund(task.order_id)
        except NoAnswerError as error:
            return NotYet(str(error))
        return []


class SimulatedCardCompany:
    """A card company that moves no real money: its books are in Postgres, so that every process asks the same one.

    It declines an order of more than *limit* pieces. Of one that it has decided it says the same for ever.
    """

    def __init__(self, pool: AsyncConnectionPool, *, limit: int = LIMIT) -> None:
        self._pool = pool
        self._limit = limit

    async def charge(self, order_id: str, customer_id: str, pieces: int) -> bool:
        """The customer of whom it is silent is charged all the same: silence means nothing."""
        decided = "charged" if pieces <= self._limit else "declined"
        asked = {"order_id": order_id, "customer_id": customer_id, "pieces": pieces, "state": decided}
        [(state, is_silent)] = await self._rows(_CHARGE, asked)
        if is_silent:
            raise NoAnswerError(f"the card company does not answer about {customer_id}")
        return bool(state != "declined")

    async def refund(self, order_id: str) -> None:
        await self._rows(_REFUND, {"order_id": order_id})

    async def silence(self, customer_id: str) -> None:
        """Say nothing about this customer from now on."""
        await self._rows(_SILENCE, {"customer_id": customer_id})

    async def speak(self, customer_id: str) -> None:
        """Answer about this customer again."""
        await self._rows(_SPEAK, {"customer_id": customer_id})

    async def _rows(self, statement: LiteralString, values: Mapping[str, object]) -> Sequence[Row]:
        try:
            with translated():
                async with self._pool.connection() as connection:
                    return await (await connection.execute(statement, values)).fetchall()
        except StorageError as error:
            raise NoAnswerError(f"the card company's books cannot be used: {error}") from error
