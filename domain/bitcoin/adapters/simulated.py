"""A Lightning node that moves no real money. It keeps its books in Postgres, so it is on no machine and outlives each.

Several processes may be this node at once. Time makes things happen only when somebody looks: each row holds what will
become of it and when, and a question is answered by comparing that with the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from random import Random
from typing import Protocol, TypeAlias, TypeVar

from domain.bitcoin.adapters.requests import Behaviour, SimulatedRequest, read, written
from domain.bitcoin.ports import (
    Incoming,
    InvoiceRefusedError,
    InvoiceStatus,
    LightningError,
    NodeInvoice,
    NotSentError,
    Outgoing,
    Payment,
    PaymentStatus,
    Receipt,
    Sent,
)
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.errors import StorageError
from spark_actors.messaging.ports import Clock, Sleep

T = TypeVar("T")

NETWORK = "bcrt"
RECEIPTS_AT_ONCE = 500
"""How many are told in one answer. May be changed."""
RECEIPTS_AFTER = timedelta(seconds=10)
"""What was received or sent is told so much later: others may yet write down what was earlier. May be changed, not
below the longest transaction."""
NOT_DECIDED = datetime(9999, 1, 1, tzinfo=UTC)
"""When the result of a held payment is known."""


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
    fee_sat: int = 0
    """What a route costs; a payment that may cost less fails."""
    funds_sat: int = 100_000_000
    """What there was to spend before anything came in or went out."""


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
    received_sat: int | None = None
    """What arrives then, even if the invoice has expired; None: the amount, unless it has."""

    def receipt(self, now: datetime) -> Receipt:
        is_in_time = self.received_sat is not None or (self.paid_at is not None and self.paid_at < self.expires_at)
        if is_in_time and self.paid_at is not None and self.paid_at <= now:
            return Receipt(InvoiceStatus.PAID, self.amount_sat if self.received_sat is None else self.received_sat)
        return Receipt(InvoiceStatus.EXPIRED if self.expires_at <= now else InvoiceStatus.OPEN)

    def received(self, now: datetime, received_sat: int | None = None) -> BookedInvoice:
        """Paid now, if it is open; with *received_sat* also if it has expired."""
        status = self.receipt(now).status
        if status is InvoiceStatus.OPEN or (status is InvoiceStatus.EXPIRED and received_sat is not None):
            return replace(self, paid_at=now, received_sat=received_sat)
        return self


@dataclass(frozen=True)
class BookedPayment:
    """A payment that the node was asked for. Its hash has one for ever: what was paid is not paid again."""

    payment_hash: str
    amount_sat: int
    attempts: int
    """How often the node was asked to pay it."""
    result: Result
    known_at: datetime
    """Until then it is pending."""
    preimage: str = ""
    reason: str = ""
    fee_sat: int = 0

    def told(self, now: datetime) -> Payment:
        """What the node says of it."""
        if self.result is Result.LOST:
            return Payment(PaymentStatus.NOT_FOUND)
        if self.known_at > now:
            return Payment(PaymentStatus.PENDING)
        if self.result is Result.FAILED:
            return Payment(PaymentStatus.FAILED, reason=self.reason)
        return Payment(PaymentStatus.PAID, self.preimage, self.fee_sat)


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
    fee_sat: int = 0


@dataclass(frozen=True)
class SimulatedBooks:
    """What has come in and gone out at the node."""

    received_sat: int
    payments: tuple[SimulatedPayment, ...]

    @property
    def paid_sat(self) -> int:
        return sum(payment.amount_sat for payment in self.payments if payment.status is PaymentStatus.PAID)

    @property
    def fees_sat(self) -> int:
        return sum(payment.fee_sat for payment in self.payments if payment.status is PaymentStatus.PAID)


class NodeBooks(Protocol):
    """Where the node remembers. What a call has written is durable when it returns. Calls raise StorageError."""

    async def add(self, invoice: BookedInvoice) -> BookedInvoice:
        """Write down an invoice unless there is one of its invoice id, and give the one that is there then."""

    async def entry(self, payment_hash: str) -> Entry:
        """What is written; nothing of a hash that the node does not know."""

    async def change(self, payment_hash: str, change: Change[T]) -> T:
        """Write what the entry becomes. Nobody else changes the same entry meanwhile, of whatever process."""

    async def received(
        self, after: tuple[datetime, str], until: datetime, limit: int
    ) -> Sequence[tuple[datetime, str]]:
        """When invoices were paid, and their hashes: the first *limit* of those behind *after*, in this order."""

    async def sent(self, after: tuple[datetime, str], until: datetime, limit: int) -> Sequence[BookedPayment]:
        """Payments that are paid: the first *limit* of those known behind *after*, in the order of time and hash."""

    async def totals(self, now: datetime) -> tuple[int, int]:
        """The satoshis that have come in, and those that are gone or on their way, with fees."""

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

    @property
    def network(self) -> str:
        return NETWORK

    @property
    def has_sticky_failures(self) -> bool:
        """As with LND, what has failed may be paid when it is asked for again."""
        return False

    @property
    def can_miss_receipts(self) -> bool:
        return False

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

    async def receipt(self, payment_hash: str) -> Receipt:
        """Raises LightningError for an invoice that was not made here."""
        invoice = (await self._ask(lambda: self._books.entry(payment_hash))).invoice
        if invoice is None:
            raise LightningError(f"no invoice with payment hash {payment_hash} was made here")
        return invoice.receipt(self._clock())

    async def received(self, cursor: str) -> Incoming:
        until = self._clock() - RECEIPTS_AFTER
        found = await self._ask(lambda: self._books.received(_place(cursor), until, RECEIPTS_AT_ONCE))
        last = "/".join((found[-1][0].isoformat(), found[-1][1])) if found else cursor
        return Incoming([payment_hash for _, payment_hash in found], last)

    async def sent(self, cursor: str) -> Outgoing:
        until = self._clock() - RECEIPTS_AFTER
        found = await self._ask(lambda: self._books.sent(_place(cursor), until, RECEIPTS_AT_ONCE))
        last = "/".join((found[-1].known_at.isoformat(), found[-1].payment_hash)) if found else cursor
        return Outgoing([Sent(each.payment_hash, each.amount_sat, each.fee_sat) for each in found], last)

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        """Raises InvalidPaymentRequestError, too. An expired request answers FAILED."""
        request = read(payment_request)
        behaviour = self._drawn(request.behaviour)
        payment = await self._change(
            request, lambda entry, now: self._pay(entry, request, behaviour, fee_limit_sat, now)
        )
        if isinstance(payment, LightningError):
            raise payment
        return payment

    async def payment_status(self, payment_hash: str) -> Payment:
        payment = (await self._ask(lambda: self._books.entry(payment_hash))).payment
        return payment.told(self._clock()) if payment else Payment(PaymentStatus.NOT_FOUND)

    async def balance_sat(self) -> int:
        came_in, went_out = await self._ask(lambda: self._books.totals(self._clock()))
        return self._settings.funds_sat + came_in - went_out

    async def receive(self, payment_request: str, received_sat: int | None = None) -> None:
        """Somebody outside pays an invoice made here, now. An expired, paid or foreign one stays as it is.

        With *received_sat* so much arrives, also for an invoice that has expired.
        """
        await self._change(read(payment_request), lambda entry, now: (_received(entry, now, received_sat), None))

    async def release(self, payment_hash: str, *, is_paid: bool = True) -> None:
        """The one who holds a payment takes it, or lets it fail, now; another payment stays as it is."""
        await self._ask(lambda: self._books.change(payment_hash, lambda entry: self._released(entry, is_paid=is_paid)))

    def _released(self, entry: Entry, *, is_paid: bool) -> tuple[Entry, None]:
        held = entry.payment
        if not held or held.known_at != NOT_DECIDED:
            return entry, None
        result, reason = (Result.PAID, "") if is_paid else (Result.FAILED, "no_route")
        return replace(entry, payment=replace(held, result=result, reason=reason, known_at=self._clock())), None

    async def books(self) -> SimulatedBooks:
        """All that has come in and gone out by now."""
        invoices, payments = await self._ask(self._books.all)
        now = self._clock()
        return SimulatedBooks(
            sum(each.receipt(now).received_sat for each in invoices),
            tuple(
                SimulatedPayment(each.payment_hash, each.amount_sat, each.attempts, told.status, told.fee_sat)
                for each in payments
                for told in [each.told(now)]
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
        self, entry: Entry, request: SimulatedRequest, behaviour: Behaviour, fee_limit_sat: int, now: datetime
    ) -> tuple[Entry, Payment | LightningError]:
        """What one more call to pay makes of an entry, and where the payment stands, or what is raised instead."""
        known = entry.payment
        if known and known.told(now).status in (PaymentStatus.PENDING, PaymentStatus.PAID):
            again = replace(known, attempts=known.attempts + 1)
            return replace(entry, payment=again), again.told(now)
        plan = self._refusal(entry, request, fee_limit_sat, now)
        plan = plan or self._plan(request, behaviour, now, is_first=known is None)
        payment = BookedPayment(
            request.payment_hash,
            request.amount_sat,
            known.attempts + 1 if known else 1,
            plan.result,
            plan.known_at,
            plan.preimage,
            plan.reason,
            self._settings.fee_sat if plan.result is Result.PAID else 0,
        )
        after = replace(entry, payment=payment)
        if payment.result is Result.PAID:
            after = _received(after, now)
        return after, plan.error or payment.told(now)

    def _refusal(self, entry: Entry, request: SimulatedRequest, fee_limit_sat: int, now: datetime) -> _Plan | None:
        """Why a request cannot be paid, whatever its behaviour."""
        if request.expires_at <= now:
            return _Plan(Result.FAILED, now, reason="invoice_expired")
        if entry.invoice and entry.invoice.receipt(now).status is InvoiceStatus.PAID:
            return _Plan(Result.FAILED, now, reason="invoice_paid")
        if self._settings.fee_sat > fee_limit_sat:
            return _Plan(Result.FAILED, now, reason="no_route")
        return None

    def _plan(self, request: SimulatedRequest, behaviour: Behaviour, now: datetime, *, is_first: bool) -> _Plan:
        later = now + (self._settings.payment_delay or timedelta(0))
        no_answer = LightningError("the simulated node does not answer: the result of the payment is unknown")
        not_sent = NotSentError("the simulated node refuses to send anything for now")
        fails = _Plan(Result.FAILED, now, reason="no_route")
        at_first = {
            Behaviour.FAIL_THEN_PAY: fails,
            Behaviour.LOST_THEN_PAID: _Plan(Result.LOST, now, error=no_answer),
            Behaviour.REFUSED_THEN_PAID: _Plan(Result.LOST, now, error=not_sent),
        }
        always = {
            Behaviour.FAIL: fails,
            Behaviour.SLOW: _Plan(Result.PAID, later, request.preimage),
            Behaviour.HELD: _Plan(Result.PAID, NOT_DECIDED, request.preimage),
            Behaviour.UNKNOWN_THEN_PAID: _Plan(Result.PAID, later, request.preimage, error=no_answer),
            Behaviour.UNKNOWN_THEN_FAILED: _Plan(Result.FAILED, later, reason="no_route", error=no_answer),
        }
        plans = always | at_first if is_first else always
        return plans.get(behaviour, _Plan(Result.PAID, now, request.preimage))


@dataclass(frozen=True)
class _Plan:
    """What is going to become of a payment."""

    result: Result
    known_at: datetime
    preimage: str = ""
    reason: str = ""
    error: LightningError | None = None
    """What the call that asked for it gets instead of an answer."""


def _received(entry: Entry, now: datetime, received_sat: int | None = None) -> Entry:
    """The entry with its invoice paid, if one was made here and can be."""
    return replace(entry, invoice=entry.invoice.received(now, received_sat)) if entry.invoice else entry


def _place(cursor: str) -> tuple[datetime, str]:
    """The time and the hash behind which a cursor goes on."""
    paid_at, _, payment_hash = cursor.partition("/")
    return (datetime.fromisoformat(paid_at) if paid_at else datetime.min.replace(tzinfo=UTC)), payment_hash
