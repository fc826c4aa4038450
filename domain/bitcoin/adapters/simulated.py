"""A Lightning node that moves no real money: it keeps its books in an SQLite file, so it outlives its process.

Several processes may open the same file. Time makes things happen only when somebody looks: each row holds what will
become of it and when, and a question is answered by comparing that with the clock.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TypeVar

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from domain.bitcoin.adapters.requests import Behaviour, SimulatedRequest, read, written
from domain.bitcoin.ports import (
    InvoiceRefusedError,
    InvoiceStatus,
    LightningError,
    NodeInvoice,
    Payment,
    PaymentStatus,
    PaymentTerms,
)
from domain.shared.money import SUPPLY_SAT
from spark_actors.messaging.ports import Clock, Sleep

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long a call waits for another process to finish writing."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invoices (
    payment_hash text PRIMARY KEY,
    invoice_id text NOT NULL UNIQUE,
    payment_request text NOT NULL,
    amount_sat integer NOT NULL,
    expires_at text NOT NULL,
    paid_at text -- may lie in the future; null: nobody is going to pay
) STRICT;
CREATE TABLE IF NOT EXISTS payments (
    payment_hash text PRIMARY KEY, -- one row for ever: a hash is never paid twice
    amount_sat integer NOT NULL,
    attempts integer NOT NULL, -- how often the node was asked to pay
    result text NOT NULL CHECK (result IN ('paid', 'failed', 'lost')), -- lost: the node has not heard of it
    known_at text NOT NULL, -- until then it is pending
    preimage text NOT NULL,
    reason text NOT NULL
) STRICT;
"""
_INVOICE = "SELECT payment_request, expires_at, paid_at FROM invoices WHERE "
_PAYMENT = "SELECT result, known_at, preimage, reason FROM payments WHERE payment_hash = ?"
_WRITE_PAYMENT = """
INSERT INTO payments (payment_hash, amount_sat, attempts, result, known_at, preimage, reason)
VALUES (?, ?, 1, ?, ?, ?, ?)
ON CONFLICT (payment_hash) DO UPDATE SET attempts = attempts + 1, result = excluded.result,
    known_at = excluded.known_at, preimage = excluded.preimage, reason = excluded.reason
"""
_RECEIVE = """
UPDATE invoices SET paid_at = :now
WHERE payment_hash = :hash AND expires_at > :now AND (paid_at IS NULL OR paid_at > :now)
"""
_RECEIVED_SAT = "SELECT coalesce(sum(amount_sat), 0) FROM invoices WHERE paid_at <= ? AND paid_at < expires_at"


@dataclass(frozen=True)
class SimulatedSettings:
    """How the simulated network behaves."""

    payment_delay: timedelta | None = timedelta(seconds=0.5)
    """After this long somebody pays an invoice made here (None: nobody does, unless `receive` is called). Slow and
    unknown payments are decided after it, too."""
    latency: timedelta = timedelta(0)
    """How long each call takes."""
    failure_rate: float = 0.0
    """Share of the payments with behaviour `pay` that fail for good."""
    unknown_rate: float = 0.0
    """Share of the payments with behaviour `pay` that get no answer and turn out paid."""
    largest_invoice_sat: int = SUPPLY_SAT
    """An invoice of more is refused: `amount_too_large`."""


@dataclass(frozen=True)
class SimulatedPayment:
    """A payment in the node's books."""

    payment_hash: str
    amount_sat: int
    attempts: int
    """How often the node was asked to pay it."""
    status: PaymentStatus


@dataclass(frozen=True)
class SimulatedBooks:
    """What has come in and gone out at the node."""

    received_sat: int
    payments: tuple[SimulatedPayment, ...]

    @property
    def paid_sat(self) -> int:
        return sum(payment.amount_sat for payment in self.payments if payment.status is PaymentStatus.PAID)


@dataclass(frozen=True)
class _Plan:
    """What is going to become of a payment."""

    result: str
    known_at: datetime
    preimage: str = ""
    reason: str = ""
    is_answered: bool = True
    """Whether the call that asked for it gets an answer."""


class SimulatedLightningNode:
    """LightningNode on an SQLite file. The constructor does no I/O; `close` may be called twice."""

    def __init__(
        self, path: Path, settings: SimulatedSettings, *, clock: Clock, random: Random, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="simulated-lightning")
        self._connection: sqlite3.Connection | None = None  # touched by the one thread alone

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        """Make an invoice, which somebody pays after the delay. The same *invoice_id* gives the same invoice."""
        if amount_sat > self._settings.largest_invoice_sat:
            await self._sleep(self._settings.latency.total_seconds())
            raise InvoiceRefusedError("amount_too_large")
        now = self._clock()
        nonce = sha256(f"{self._random.getrandbits(128)}/{invoice_id}".encode()).hexdigest()[:32]
        request = SimulatedRequest(amount_sat, now + expires_in, nonce)
        delay = self._settings.payment_delay
        paid_at = None if delay is None else now + delay
        return await self._call(lambda db: _add_invoice(db, invoice_id, request, paid_at))

    async def invoice_status(self, payment_hash: str) -> InvoiceStatus:
        """Raises LightningError for an invoice that was not made here."""
        return await self._call(lambda db: _invoice_status(db, payment_hash, self._clock()))

    async def decode(self, payment_request: str) -> PaymentTerms:
        await self._sleep(self._settings.latency.total_seconds())
        return read(payment_request).terms

    async def pay(self, payment_request: str) -> Payment:
        """Raises InvalidPaymentRequestError, too. An expired request answers FAILED."""
        request = read(payment_request)
        behaviour = self._drawn(request.behaviour)
        payment, is_answered = await self._call(lambda db: self._pay(db, request, behaviour))
        if not is_answered:
            raise LightningError("the simulated node does not answer: the result of the payment is unknown")
        return payment

    async def payment_status(self, payment_hash: str) -> Payment:
        return await self._call(lambda db: _payment(db, payment_hash, self._clock()))

    async def receive(self, payment_request: str) -> None:
        """Somebody outside pays an invoice made here, now. An expired, paid or foreign one stays as it is."""
        await self._call(lambda db: _receive(db, read(payment_request), self._clock()))

    async def books(self) -> SimulatedBooks:
        """All that has come in and gone out by now."""
        return await self._call(lambda db: _books(db, self._clock()))

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do *work* in one transaction, off the event loop. Raises LightningError if the file cannot be used now."""
        await self._sleep(self._settings.latency.total_seconds())
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self._connection = self._connection or _open(self._path)
            with _transaction(self._connection):
                return work(self._connection)
        except sqlite3.Error as error:
            raise LightningError(f"the simulated node's file cannot be used: {error}") from error

    def _drawn(self, behaviour: Behaviour) -> Behaviour:
        """What the rates make of a payment that would simply be paid."""
        draw = self._random.random()
        if behaviour is not Behaviour.PAY or draw >= self._settings.failure_rate + self._settings.unknown_rate:
            return behaviour
        return Behaviour.FAIL if draw < self._settings.failure_rate else Behaviour.UNKNOWN_THEN_PAID

    def _pay(self, db: sqlite3.Connection, request: SimulatedRequest, behaviour: Behaviour) -> tuple[Payment, bool]:
        """Where the payment stands after one more call to pay it, and whether the caller hears of it."""
        now = self._clock()
        known = db.execute(_PAYMENT, (request.payment_hash,)).fetchone()
        if known is not None and known[0] != "lost":
            db.execute("UPDATE payments SET attempts = attempts + 1 WHERE payment_hash = ?", (request.payment_hash,))
            return _payment(db, request.payment_hash, now), True
        plan = _refusal(db, request, now) or self._plan(request, behaviour, now, is_first=known is None)
        row = (plan.result, _text(plan.known_at), plan.preimage, plan.reason)
        db.execute(_WRITE_PAYMENT, (request.payment_hash, request.amount_sat, *row))
        if plan.result == "paid":
            _receive(db, request, now)
        return _payment(db, request.payment_hash, now), plan.is_answered

    def _plan(self, request: SimulatedRequest, behaviour: Behaviour, now: datetime, *, is_first: bool) -> _Plan:
        later = now + (self._settings.payment_delay or timedelta(0))
        plans = {
            Behaviour.FAIL: _Plan("failed", now, reason="no_route"),
            Behaviour.SLOW: _Plan("paid", later, request.preimage),
            Behaviour.UNKNOWN_THEN_PAID: _Plan("paid", later, request.preimage, is_answered=False),
            Behaviour.UNKNOWN_THEN_FAILED: _Plan("failed", later, reason="no_route", is_answered=False),
        }
        if behaviour is Behaviour.LOST_THEN_PAID and is_first:
            return _Plan("lost", now, is_answered=False)
        return plans.get(behaviour, _Plan("paid", now, request.preimage))


# SQLite does not wait for others while it changes the journal mode, whatever the busy time-out.
@retry(
    retry=retry_if_exception_type(sqlite3.OperationalError),
    stop=stop_after_delay(BUSY_SECONDS),
    wait=wait_random(0, 0.05),
    reraise=True,
)
def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # outlives the process, which is all that is promised
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _add_invoice(
    db: sqlite3.Connection, invoice_id: str, request: SimulatedRequest, paid_at: datetime | None
) -> NodeInvoice:
    values = (request.payment_hash, invoice_id, written(request), request.amount_sat, _text(request.expires_at))
    moment = None if paid_at is None else _text(paid_at)
    db.execute("INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (invoice_id) DO NOTHING", (*values, moment))
    text, _, _ = db.execute(_INVOICE + "invoice_id = ?", (invoice_id,)).fetchone()
    known = read(text)
    return NodeInvoice(known.payment_hash, text, known.expires_at)


def _invoice_status(db: sqlite3.Connection, payment_hash: str, now: datetime) -> InvoiceStatus:
    row = db.execute(_INVOICE + "payment_hash = ?", (payment_hash,)).fetchone()
    if row is None:
        raise LightningError(f"no invoice with payment hash {payment_hash} was made here")
    _, expires_at, paid_at = row
    if paid_at is not None and paid_at <= _text(now) and paid_at < expires_at:
        return InvoiceStatus.PAID
    return InvoiceStatus.EXPIRED if expires_at <= _text(now) else InvoiceStatus.OPEN


def _payment(db: sqlite3.Connection, payment_hash: str, now: datetime) -> Payment:
    row = db.execute(_PAYMENT, (payment_hash,)).fetchone()
    if row is None or row[0] == "lost":
        return Payment(PaymentStatus.NOT_FOUND)
    result, known_at, preimage, reason = row
    return (
        Payment(PaymentStatus(result), preimage, reason) if known_at <= _text(now) else Payment(PaymentStatus.PENDING)
    )


def _refusal(db: sqlite3.Connection, request: SimulatedRequest, now: datetime) -> _Plan | None:
    """Why a request cannot be paid, whatever its behaviour."""
    if request.expires_at <= now:
        return _Plan("failed", now, reason="invoice_expired")
    own = db.execute("SELECT 1 FROM invoices WHERE payment_hash = ?", (request.payment_hash,)).fetchone()
    if own and _invoice_status(db, request.payment_hash, now) is InvoiceStatus.PAID:
        return _Plan("failed", now, reason="invoice_paid")
    return None


def _receive(db: sqlite3.Connection, request: SimulatedRequest, now: datetime) -> None:
    """Mark the invoice paid if it was made here and is still open."""
    db.execute(_RECEIVE, {"hash": request.payment_hash, "now": _text(now)})


def _books(db: sqlite3.Connection, now: datetime) -> SimulatedBooks:
    rows = db.execute("SELECT payment_hash, amount_sat, attempts FROM payments ORDER BY payment_hash").fetchall()
    payments = (
        SimulatedPayment(payment_hash, amount_sat, attempts, _payment(db, payment_hash, now).status)
        for payment_hash, amount_sat, attempts in rows
    )
    return SimulatedBooks(db.execute(_RECEIVED_SAT, (_text(now),)).fetchone()[0], tuple(payments))


def _text(moment: datetime) -> str:
    """A moment as text that sorts like the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
