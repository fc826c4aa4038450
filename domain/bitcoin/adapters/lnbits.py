"""A wallet of LNbits (1.2 or later) as the Lightning node.

What LNbits answers to a payment is not believed: it says *failed* of what was paid, and answers with a row of somebody
else's for what was not. Only the wallet's own rows decide: by their sign (outgoing ones are negative) and their state.
A row is there before LNbits asks its backend, and a hash that has one is not paid again, whatever its state.

An incoming row that has expired is never asked to be looked up at the backend: LNbits would mark it as failed for good,
without asking. And no list is asked to look up what it lists: it holds LNbits's one database lock meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import msgspec

from domain.bitcoin import bolt11
from domain.bitcoin.adapters import tuning
from domain.bitcoin.adapters.node_http import Answer, KeyFile, NodeHttp, NodeSetupError, fitting
from domain.bitcoin.invoice import is_proof
from domain.bitcoin.ports import (
    Incoming,
    InvalidPaymentRequestError,
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
from spark_actors.messaging.ports import Clock

PAYMENTS, WALLET = "/api/v1/payments", "/api/v1/wallet"
UNREACHED = (401, 403, 404, 429)
"""States of an answer to `pay` that come before LNbits has looked at the payment."""
REFUSALS = (
    "Daily withdrawal limit of ",
    "Insufficient balance.",
    "Internal invoice already paid.",
    "Invoice amount ",
    "It is not allowed to spend funds from this server.",
    "Only incoming payments allowed.",
    "The time limit of ",
    "Wallet does not have permission to pay invoices.",
    "You must reserve at least ",
)
"""How the words begin with which LNbits refuses to pay before it has made a row."""
NO_REQUEST = "lnbc1check"
"""Nobody can pay this."""
LONGEST_EXTERNAL_ID = 256  # characters


class State(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


class Row(msgspec.Struct, frozen=True):
    """A payment as LNbits has written it down."""

    payment_hash: str
    amount: int
    """Millisatoshis; negative when outgoing."""
    fee: int
    """The same, 0 or negative."""
    status: State
    bolt11: str
    updated_at: datetime
    preimage: str | None = None


class Cursor(msgspec.Struct, frozen=True):
    """Up to where payments of one direction were told."""

    at: datetime
    """When the row that was told last was changed."""
    told: list[str]
    """Those told that were changed shortly before; others with such a time may still appear."""


class LnbitsNode:
    """LightningNode on a wallet of LNbits. Invoices it makes can be paid after they have expired, by its neighbours."""

    has_sticky_failures = True
    can_miss_receipts = True

    def __init__(self, http: NodeHttp, *, admin_key: KeyFile, invoice_key: KeyFile, network: str, clock: Clock) -> None:
        self._http = http
        self._admin_key = admin_key
        self._invoice_key = invoice_key
        self._clock = clock
        self.network = network

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        """Asked again it makes another. The row's `external_id`, from LNbits 1.6 on, is *invoice_id*, percent-encoded,
        since no spaces are allowed there, and as much of it as fits."""
        content = {
            "out": False,
            "amount": amount_sat,
            "unit": "sat",
            "memo": fitting(memo),
            "expiry": int(expires_in.total_seconds()),
            "external_id": quote(invoice_id, safe="")[:LONGEST_EXTERNAL_ID],
        }
        answer = await self._http.ask("POST", PAYMENTS, headers=_key(self._invoice_key), content=content)
        if not answer.is_good and "sats is too high" in _detail(answer):
            raise InvoiceRefusedError("amount_too_large")
        row: Row = answer.read(Row)
        request = _read(row)
        if request.network != self.network:
            raise LightningError(f"LNbits makes invoices of network {request.network}: expected {self.network}")
        if (request.payment_hash, request.amount_msat) != (row.payment_hash, amount_sat * 1_000):
            raise LightningError(f"LNbits made an invoice of {request.amount_msat} msat: expected {amount_sat} sat")
        # Its own word for the expiry is local time without a zone.
        return NodeInvoice(request.payment_hash, request.text, request.expires_at)

    async def receipt(self, payment_hash: str) -> Receipt:
        """Raises LightningError for an invoice that is not of this wallet, too."""
        row = await self._row(payment_hash, self._invoice_key, outgoing=False)
        if row is None:
            raise LightningError(f"LNbits has no invoice with payment hash {payment_hash}")
        if row.status is State.PENDING:
            if _read(row).expires_at <= self._clock():
                return Receipt(InvoiceStatus.EXPIRED)
            row = await self._looked_up(row, self._invoice_key)
        match row.status:
            case State.SUCCESS:
                return Receipt(InvoiceStatus.PAID, row.amount // 1_000)
            case State.FAILED:
                return Receipt(InvoiceStatus.EXPIRED)
            case State.PENDING:
                return Receipt(InvoiceStatus.OPEN)

    async def received(self, cursor: str) -> Incoming:
        """In the order in which the rows became paid. A row that somebody changes later is told again."""
        rows, following = await self._paid_since(cursor, tuning.RECEIVED_AT_ONCE, outgoing=False)
        return Incoming([row.payment_hash for row in rows], following)

    async def sent(self, cursor: str) -> Outgoing:
        """As `received`."""
        rows, following = await self._paid_since(cursor, tuning.SENT_AT_ONCE, outgoing=True)
        return Outgoing([_sent(row) for row in rows], following)

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        """Raises InvalidPaymentRequestError, too.

        LNbits takes no limit for the fee but has one of its own, which must not be above *fee_limit_sat*.
        """
        request = bolt11.read(payment_request)
        try:
            known = await self._row(request.payment_hash, self._admin_key, outgoing=True)
            if known:
                return _payment(known)
            await self._check_before_paying(request, fee_limit_sat)
        except LightningError as error:
            raise NotSentError(error.detail) from error
        problem, is_refused = await self._asked_to_pay(request)
        row = await self._row(request.payment_hash, self._admin_key, outgoing=True)
        if row:
            return _payment(row)
        raise NotSentError(problem) if is_refused else LightningError(problem)

    async def payment_status(self, payment_hash: str) -> Payment:
        row = await self._row(payment_hash, self._admin_key, outgoing=True)
        if row and row.status is State.PENDING:
            row = await self._looked_up(row, self._admin_key)
        return _payment(row) if row else Payment(PaymentStatus.NOT_FOUND)

    async def balance_sat(self) -> int:
        """What is under way, and what may be spent on its fees, is off already."""
        answer = await self._http.ask("GET", WALLET, headers=_key(self._admin_key))
        balance_msat: int = answer.read(int, "balance")
        return balance_msat // 1_000

    async def check(self) -> str:
        """What is there, for a log. Makes an invoice of one satoshi to see the network, and asks to pay what cannot be.

        Raises NodeSetupError if the settings, or LNbits, must be changed, and LightningError if it does not answer.
        """
        paying = await self._http.ask("GET", WALLET, headers=_key(self._admin_key))
        getting = await self._http.ask("GET", WALLET, headers=_key(self._invoice_key))
        for answer, name in ((paying, "admin_key_file"), (getting, "invoice_key_file")):
            if answer.status in (401, 404):
                raise NodeSetupError(f"LNbits knows no wallet with the key in lightning.lnbits.{name}")
        # Only whoever shows the admin key is told the wallet's id.
        if "id" not in paying.read(dict):
            raise NodeSetupError("lightning.lnbits.admin_key_file holds a key that cannot pay: expected the admin key")
        if "id" in getting.read(dict):
            raise NodeSetupError("lightning.lnbits.invoice_key_file holds the admin key: expected the invoice key")
        if paying.read(str, "name") != getting.read(str, "name"):
            raise NodeSetupError("lightning.lnbits: the two keys are of two wallets: expected those of one")
        refusal = await self._post_payment(NO_REQUEST)
        if _detail(refusal).startswith(REFUSALS):
            raise NodeSetupError(f"LNbits does not pay: {_detail(refusal)}")
        if not isinstance(refusal.body, dict) or refusal.body.get("status") != State.FAILED:
            raise NodeSetupError(f"LNbits is older than 1.2, or another program answers for it: {refusal.problem}")
        try:
            await self.create_invoice(invoice_id="check", amount_sat=1, memo="Check", expires_in=timedelta(minutes=1))
        except LightningError as error:
            raise NodeSetupError(f"LNbits makes no invoices as expected: {error.detail}") from error
        balance = paying.read(int, "balance") // 1_000
        return f"wallet {paying.read(str, 'name')!r} of LNbits, network {self.network}, {balance:,} sat"

    async def close(self) -> None:
        await self._http.close()

    async def _check_before_paying(self, request: bolt11.PaymentRequest, fee_limit_sat: int) -> None:
        """Raises LightningError if LNbits must not be asked to pay this."""
        if request.expires_at <= self._clock():
            # It pays expired invoices of its own wallets.
            raise LightningError(f"the payment request has expired at {request.expires_at:%Y-%m-%dT%H:%M:%SZ}")
        answer = await self._http.ask(
            "GET", f"{PAYMENTS}/fee-reserve", headers=_key(self._invoice_key), params={"invoice": request.text}
        )
        reserve_msat: int = answer.read(int, "fee_reserve")
        if reserve_msat > fee_limit_sat * 1_000:
            raise LightningError(
                f"LNbits may spend up to {reserve_msat} msat on fees, and {fee_limit_sat} sat are allowed:"
                " compare LNBITS_RESERVE_FEE_MIN and LNBITS_RESERVE_FEE_PERCENT with lightning.fees"
            )

    async def _asked_to_pay(self, request: bolt11.PaymentRequest) -> tuple[str, bool]:
        """Ask once. What is wrong if no row shows up, and whether nothing will be sent then.

        Raises NotSentError if the request did not get as far as to be looked at.
        """
        try:
            answer = await self._post_payment(request.text)
        except NotSentError:
            raise
        except LightningError as error:
            return error.detail, False
        if answer.status in UNREACHED:
            raise NotSentError(answer.problem)
        return answer.problem, _detail(answer).startswith(REFUSALS)

    async def _post_payment(self, text: str) -> Answer:
        content = {"out": True, "bolt11": text}
        return await self._http.ask(
            "POST", PAYMENTS, headers=_key(self._admin_key), content=content, seconds=tuning.PAY_SECONDS
        )

    async def _row(self, payment_hash: str, key: KeyFile, *, outgoing: bool) -> Row | None:
        """The wallet's own row of one direction, as it is written: no backend is asked.

        The list without pages leaves out rows that have failed.
        """
        answer = await self._http.ask(
            "GET", f"{PAYMENTS}/paginated", headers=_key(key), params={"payment_hash": payment_hash}
        )
        rows: list[Row] = answer.read(list[Row], "data")
        return next((row for row in rows if row.payment_hash == payment_hash and (row.amount < 0) is outgoing), None)

    async def _looked_up(self, row: Row, key: KeyFile) -> Row:
        """The same row after LNbits has asked its backend."""
        answer = await self._http.ask(
            "GET", f"{PAYMENTS}/{row.payment_hash}", headers=_key(key), seconds=tuning.LOOK_UP_SECONDS
        )
        found: Row = answer.read(Row, "details")
        if found.payment_hash != row.payment_hash or (found.amount < 0) is not (row.amount < 0):
            return row  # an invoice that its own wallet is paying just now
        return found

    async def _paid_since(self, cursor: str, limit: int, *, outgoing: bool) -> tuple[Sequence[Row], str]:
        """The next paid rows of one direction behind a place, at most *limit*, and the place behind them."""
        since = msgspec.json.decode(cursor, type=Cursor) if cursor else Cursor(datetime.min.replace(tzinfo=UTC), [])
        overlap = timedelta(seconds=tuning.LNBITS_OVERLAP_SECONDS)
        floor = since.at - overlap if cursor else since.at
        rows = await self._paid_rows(floor, outgoing=outgoing)
        told = set(since.told)
        new = [row for row in rows if row.payment_hash not in told or row.updated_at > since.at]
        new = sorted(new, key=lambda row: row.updated_at)[:limit]
        if not new:
            return (), cursor
        at = max(since.at, new[-1].updated_at)
        known = told | {row.payment_hash for row in new}
        lately = [
            row.payment_hash for row in rows if at - overlap <= row.updated_at <= at and row.payment_hash in known
        ]
        return new, msgspec.json.encode(Cursor(at, lately)).decode()

    async def _paid_rows(self, floor: datetime, *, outgoing: bool) -> Sequence[Row]:
        """All paid rows of one direction that were changed at or after *floor*, the latest first."""
        rows: dict[str, Row] = {}
        limit = tuning.FIRST_ROWS
        offset = 0
        while True:
            params = {
                "status": State.SUCCESS.value,
                "amount[lt]" if outgoing else "amount[gt]": "0",
                "sortby": "updated_at",
                "direction": "desc",
                "limit": str(limit),
                "offset": str(offset),
            }
            answer = await self._http.ask("GET", PAYMENTS, headers=_key(self._invoice_key), params=params)
            page: list[Row] = answer.read(list[Row])
            rows |= {
                row.payment_hash: row
                for row in page
                if row.updated_at >= floor and (row.amount < 0) is outgoing and row.status is State.SUCCESS
            }
            if len(page) < limit or page[-1].updated_at < floor:
                return list(rows.values())
            offset, limit = offset + len(page), tuning.MORE_ROWS


def _key(file: KeyFile) -> Mapping[str, str]:
    return {"X-Api-Key": file.text()}


def _detail(answer: Answer) -> str:
    """The words with which LNbits refuses; empty if it does not, or if something else has answered."""
    body: Any = answer.body
    detail = body.get("detail") if isinstance(body, dict) and not answer.is_good else None
    return detail if isinstance(detail, str) else ""


def _read(row: Row) -> bolt11.PaymentRequest:
    """Raises LightningError if LNbits gives what is no payment request."""
    try:
        return bolt11.read(row.bolt11)
    except InvalidPaymentRequestError as error:
        raise LightningError(f"LNbits made a payment request that cannot be read: {error}") from error


def _payment(row: Row) -> Payment:
    """What an outgoing row says. Raises LightningError if it says paid without a proof."""
    if row.status is State.PENDING:
        return Payment(PaymentStatus.PENDING)
    if row.status is State.FAILED:
        return Payment(PaymentStatus.FAILED, reason="payment_failed")
    preimage = (row.preimage or "").lower()
    if not is_proof(preimage, row.payment_hash):
        raise LightningError(f"LNbits says that {row.payment_hash} is paid, but its preimage is no proof of it")
    return Payment(PaymentStatus.PAID, preimage, fee_sat=_fee_sat(row))


def _fee_sat(row: Row) -> int:
    """Rounded up."""
    return -(row.fee // 1_000)


def _sent(row: Row) -> Sent:
    """What an outgoing row that is paid says; an amount with a part of a satoshi is rounded up, as the fee."""
    return Sent(row.payment_hash, -(row.amount // 1_000), _fee_sat(row))
