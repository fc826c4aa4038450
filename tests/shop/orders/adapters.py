"""Does the tasks of the orders context at a card company, and the company that stands in for a real one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Never, Protocol, TypeVar

from spark_actors.kernel.tasks import NotYet, Task, Worker
from tests.shop.orders.messages import NoteCharged, RejectOrder
from tests.shop.orders.tasks import ChargeCard, RefundCard

T = TypeVar("T")

BOOKS = "card-company.sqlite3"
"""The file in the daemon's data dir."""
LIMIT = 20
"""So many pieces of one order a card is good for."""
BUSY_SECONDS = 5.0
"""How long a call waits for another process to finish writing."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    order_id text PRIMARY KEY, -- one row for ever: no order is charged twice
    pieces integer NOT NULL,
    state text NOT NULL CHECK (state IN ('charged', 'declined', 'refunded'))
) STRICT;
CREATE TABLE IF NOT EXISTS silences (customer_id text PRIMARY KEY) STRICT;
"""


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
    """A card company that moves no real money: its books are an SQLite file, which several processes may open.

    It declines an order of more than *limit* pieces. Of one that it has decided it says the same for ever.
    """

    def __init__(self, path: Path, *, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit

    async def charge(self, order_id: str, customer_id: str, pieces: int) -> bool:
        """The customer of whom it is silent is charged all the same: silence means nothing."""
        state, is_silent = await self._call(lambda db: self._charge(db, order_id, customer_id, pieces))
        if is_silent:
            raise NoAnswerError(f"the card company does not answer about {customer_id}")
        return state != "declined"

    async def refund(self, order_id: str) -> None:
        await self._call(lambda db: _refund(db, order_id))

    async def silence(self, customer_id: str) -> None:
        """Say nothing about this customer from now on."""
        await self._call(lambda db: db.execute("INSERT OR IGNORE INTO silences VALUES (?)", (customer_id,)))

    async def speak(self, customer_id: str) -> None:
        """Answer about this customer again."""
        await self._call(lambda db: db.execute("DELETE FROM silences WHERE customer_id = ?", (customer_id,)))

    async def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as db, db:
                db.executescript(_SCHEMA)
                return work(db)
        except sqlite3.Error as error:
            raise NoAnswerError(f"the card company's books cannot be used: {error}") from error

    def _charge(self, db: sqlite3.Connection, order_id: str, customer_id: str, pieces: int) -> tuple[str, bool]:
        """What became of the order, and whether the caller is told."""
        decided = "charged" if pieces <= self._limit else "declined"
        db.execute("INSERT OR IGNORE INTO charges VALUES (?, ?, ?)", (order_id, pieces, decided))
        (state,) = db.execute("SELECT state FROM charges WHERE order_id = ?", (order_id,)).fetchone()
        silence = db.execute("SELECT 1 FROM silences WHERE customer_id = ?", (customer_id,)).fetchone()
        return state, silence is not None


def _refund(db: sqlite3.Connection, order_id: str) -> None:
    db.execute("UPDATE charges SET state = 'refunded' WHERE order_id = ? AND state = 'charged'", (order_id,))
