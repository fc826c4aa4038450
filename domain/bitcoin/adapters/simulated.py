"""A Lightning node that moves no real money. It keeps its books in Postgres, so it is on no machine and outlives each.

Several processes may be this node at once. Time makes things happen only when somebody looks: each row holds what will
become of it and when, and a question is answered by comparing that with the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from random import Random
from typing import Protocol, TypeAlias, TypeVar

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
from spark_actors.kernel.errors import StorageError
from spark_actors.messaging.ports import Clock, Sleep

T = TypeVar("T")


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


class Result(StrEnum):
    """What becomes of a payment."""

    PAID = "paid"
    FAILED = "failed"
    LOST = "lost"  # the node has not heard of it


@dataclass(frozen=True)
class BookedInvoice:
    """An invoice that was made here."""

    payment_hash: str
    invoice_id: str
    payment_request: str
    amount_sat: int
    expires_at: datetime
    paid_at: datetime | None
    """May lie in the future; None: nobody is going to pay."""

    def status(self, now: datetime) -> InvoiceStatus:
        if self.paid_at is not None and self.paid_at <= now and self.paid_at < self.expires_at:
            return InvoiceStatus.PAID
        return InvoiceStatus.EXPIRED if self.expires_at <= now else InvoiceStatus.OPEN

    def received(self, now: datetime) -> BookedInvoice:
        """Paid now, if it is open."""
        return replace(self, paid_at=now) if self.status(now) is InvoiceStatus.OPEN else self


@dataclass(frozen=True)
class BookedPayment:
    """A payment that the node was asked for. Its hash has one for ever: nothing is paid twice."""

    payment_hash: str
    amount_sat: int
    attempts: int
    """How often the node was asked to pay it."""
    result: Result
    known_at: datetime
    """Until then it is pending."""
    preimage: str = ""
    reason: str = ""

    def told(self, now: datetime) -> Payment:
        """What the node says of it."""
        if self.result is Result.LOST:
            return Payment(PaymentStatus.NOT_FOUND)
        if self.known_at > now:
            return Payment(PaymentStatus.PENDING)
        return Payment(PaymentStatus(self.result.value), self.preimage, self.reason)


@dataclass(frozen=True)
class Entry:
    """All that is written of one payment hash."""

    payment: BookedPayment | None = None
    invoice: BookedInvoice | None = None


Change: TypeAlias = Callable[[Entry], tuple[Entry, T]]
"""Pure: the entry as it is to be, and what the caller is told."""


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


class NodeBooks(Protocol):
    """Where the node remembers. What a call has written is durable when it returns. Calls raise StorageError."""

    async def add(self, invoice: BookedInvoice) -> BookedInvoice:
        """Write down an invoice unless there is one of its invoice id, and give the one that is there then."""

    async def entry(self, payment_hash: str) -> Entry:
        """What is written; nothing of a hash that the node does not know."""

    async def change(self, payment_hash: str, change: Change[T]) -> T:
        """Write what the entry becomes. Nobody else changes the same entry meanwhile, of whatever process."""

    async def all(self) -> tuple[list[BookedInvoice], list[BookedPayment]]:
        """Everything, as it was at one moment; payments in the order of their hashes."""


class SimulatedLightningNode:
    """LightningNode on books. It holds nothing itself, so any number of them is one node."""

    def __init__(
        self,
        books: NodeBooks,
        settings: SimulatedSettings,
        *,
        clock: Clock,
        random: Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._books = books
        self._settings = settings
        self._clock = clock
        self._random = random
        self._sleep = sleep

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
        new = BookedInvoice(request.payment_hash, invoice_id, written(request), amount_sat, request.expires_at, paid_at)
        made = await self._ask(lambda: self._books.add(new))
        return NodeInvoice(made.payment_hash, made.payment_request, made.expires_at)

    async def invoice_status(self, payment_hash: str) -> InvoiceStatus:
        """Raises LightningError for an invoice that was not made here."""
        invoice = (await self._ask(lambda: self._books.entry(payment_hash))).invoice
        if invoice is None:
            raise LightningError(f"no invoice with payment hash {payment_hash} was made here")
        return invoice.status(self._clock())

    async def decode(self, payment_request: str) -> PaymentTerms:
        await self._sleep(self._settings.latency.total_seconds())
        return read(payment_request).terms

    async def pay(self, payment_request: str) -> Payment:
        """Raises InvalidPaymentRequestError, too. An expired request answers FAILED."""
        request = read(payment_request)
        behaviour = self._drawn(request.behaviour)
        payment = await self._change(request, lambda entry, now: self._pay(entry, request, behaviour, now))
        if payment is None:
            raise LightningError("the simulated node does not answer: the result of the payment is unknown")
        return payment

    async def payment_status(self, payment_hash: str) -> Payment:
        payment = (await self._ask(lambda: self._books.entry(payment_hash))).payment
        return payment.told(self._clock()) if payment else Payment(PaymentStatus.NOT_FOUND)

    async def receive(self, payment_request: str) -> None:
        """Somebody outside pays an invoice made here, now. An expired, paid or foreign one stays as it is."""
        await self._change(read(payment_request), lambda entry, now: (_received(entry, now), None))

    async def books(self) -> SimulatedBooks:
        """All that has come in and gone out by now."""
        invoices, payments = await self._ask(self._books.all)
        now = self._clock()
        return SimulatedBooks(
            sum(each.amount_sat for each in invoices if each.status(now) is InvoiceStatus.PAID),
            tuple(
                SimulatedPayment(each.payment_hash, each.amount_sat, each.attempts, each.told(now).status)
                for each in payments
            ),
        )

    async def _change(self, request: SimulatedRequest, change: Callable[[Entry, datetime], tuple[Entry, T]]) -> T:
        """Change what is written of a request's hash as *change* says, which is told the time at which it happens."""
        return await self._ask(
            lambda: self._books.change(request.payment_hash, lambda entry: change(entry, self._clock()))
        )

    async def _ask(self, asked: Callable[[], Awaitable[T]]) -> T:
        """What the books say, after the time that a call takes. Raises LightningError if they cannot be used now."""
        await self._sleep(self._settings.latency.total_seconds())
        try:
            return await asked()
        except StorageError as error:
            raise LightningError(f"the simulated node's books cannot be used: {error}") from error

    def _drawn(self, behaviour: Behaviour) -> Behaviour:
        """What the rates make of a payment that would simply be paid."""
        draw = self._random.random()
        if behaviour is not Behaviour.PAY or draw >= self._settings.failure_rate + self._settings.unknown_rate:
            return behaviour
        return Behaviour.FAIL if draw < self._settings.failure_rate else Behaviour.UNKNOWN_THEN_PAID

    def _pay(
        self, entry: Entry, request: SimulatedRequest, behaviour: Behaviour, now: datetime
    ) -> tuple[Entry, Payment | None]:
        """What one more call to pay makes of an entry, and where the payment stands; None: the caller hears nothing."""
        known = entry.payment
        if known and known.result is not Result.LOST:
            again = replace(known, attempts=known.attempts + 1)
            return replace(entry, payment=again), again.told(now)
        plan = _refusal(entry, request, now) or self._plan(request, behaviour, now, is_first=known is None)
        payment = BookedPayment(
            request.payment_hash,
            request.amount_sat,
            known.attempts + 1 if known else 1,
            plan.result,
            plan.known_at,
            plan.preimage,
            plan.reason,
        )
        after = replace(entry, payment=payment)
        if payment.result is Result.PAID:
            after = _received(after, now)
        return after, payment.told(now) if plan.is_answered else None

    def _plan(self, request: SimulatedRequest, behaviour: Behaviour, now: datetime, *, is_first: bool) -> _Plan:
        later = now + (self._settings.payment_delay or timedelta(0))
        plans = {
            Behaviour.FAIL: _Plan(Result.FAILED, now, reason="no_route"),
            Behaviour.SLOW: _Plan(Result.PAID, later, request.preimage),
            Behaviour.UNKNOWN_THEN_PAID: _Plan(Result.PAID, later, request.preimage, is_answered=False),
            Behaviour.UNKNOWN_THEN_FAILED: _Plan(Result.FAILED, later, reason="no_route", is_answered=False),
        }
        if behaviour is Behaviour.LOST_THEN_PAID and is_first:
            return _Plan(Result.LOST, now, is_answered=False)
        return plans.get(behaviour, _Plan(Result.PAID, now, request.preimage))


@dataclass(frozen=True)
class _Plan:
    """What is going to become of a payment."""

    result: Result
    known_at: datetime
    preimage: str = ""
    reason: str = ""
    is_answered: bool = True
    """Whether the call that asked for it gets an answer."""


def _refusal(entry: Entry, request: SimulatedRequest, now: datetime) -> _Plan | None:
    """Why a request cannot be paid, whatever its behaviour."""
    if request.expires_at <= now:
        return _Plan(Result.FAILED, now, reason="invoice_expired")
    if entry.invoice and entry.invoice.status(now) is InvoiceStatus.PAID:
        return _Plan(Result.FAILED, now, reason="invoice_paid")
    return None


def _received(entry: Entry, now: datetime) -> Entry:
    """The entry with its invoice paid, if one was made here and is still open."""
    return replace(entry, invoice=entry.invoice.received(now)) if entry.invoice else entry
