"""LND as the Lightning node, over its REST interface.

What the call that pays answers is not believed: the payment is looked up. LND tries a payment that has failed again if
it is asked to, so who asks must hold the permit.

The preimage of an invoice is made of the macaroon and the invoice's id, so that the same invoice is not made twice. Who
holds the macaroon could take the money anyway; with another macaroon the next invoices have other preimages.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from hashlib import sha256

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

INVOICES, PAYMENTS = "/v1/invoices", "/v1/payments"
SEND, TRACK = "/v2/router/send", "/v2/router/track"
NOT_FOUND, ALREADY_EXISTS = 5, 6
"""Codes: of what LND does not know, and of a payment that is under way or paid."""
NO_RIGHT = ("permission denied", "verification failed", "expected 1 macaroon", "cannot get macaroon")
REFUSALS = (
    *NO_RIGHT,
    "invalid payment request",
    "invoice expired",
    "invoice not for current active network",
    "self-payments not allowed",
    "server is still in the process of starting",
    "the RPC server is in the process of starting up",
    "wallet locked",
    "wallet not created",
)
"""What the words hold with which LND refuses to pay before it begins."""
UNREACHED = (401, 403, 429)
"""States of an answer to `pay` of what stands before LND."""
NETWORKS = {"mainnet": "bc", "testnet": "tb", "testnet4": "tb", "signet": "tbs", "regtest": "bcrt"}
NOBODYS_HASH = "00" * 32
NO_REQUEST = {"payment_request": "lnbc1check"}
"""Nobody can pay this."""


class LndInvoice(msgspec.Struct, frozen=True):
    """What LND says of an invoice. Its 64-bit numbers come as texts."""

    r_hash: str
    """Base64."""
    payment_request: str
    state: str
    settle_index: int = 0
    """0: not settled."""
    amt_paid_msat: int = 0

    @property
    def payment_hash(self) -> str:
        return base64.b64decode(self.r_hash).hex()


class LndPayment(msgspec.Struct, frozen=True):
    """What LND says of a payment."""

    payment_hash: str
    status: str
    payment_preimage: str = ""
    value_sat: int = 0
    fee_msat: int = 0
    failure_reason: str = ""
    payment_index: int = 0
    """Rises with each payment that is begun; one that has failed and is tried again gets another."""

    @property
    def fee_sat(self) -> int:
        """Rounded up."""
        return -(-self.fee_msat // 1_000)


class SentCursor(msgspec.Struct, frozen=True):
    """Up to where payments were told. LND has them in the order in which they were begun, not in which they succeed."""

    index: int = 0
    """Of the last that was looked at."""
    under_way: list[int] = []
    """Those up to there that had not ended when they were looked at."""


class Fate(Enum):
    """What became of a call to pay."""

    BEGUN = auto()  # LND has begun to pay, now or earlier
    REFUSED = auto()  # nothing was begun, and nothing will be
    UNKNOWN = auto()


@dataclass(frozen=True)
class Asked:
    fate: Fate
    problem: str = ""


class LndNode:
    """LightningNode on LND."""

    has_sticky_failures = False
    can_miss_receipts = False

    def __init__(self, http: NodeHttp, *, macaroon: KeyFile, network: str) -> None:
        self._http = http
        self._macaroon = macaroon
        self.network = network

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        """The same *invoice_id* gives the same invoice, as long as the macaroon is the same."""
        preimage = hmac.digest(self._macaroon.read(), f"invoice {invoice_id}".encode(), "sha256")
        payment_hash = sha256(preimage).hexdigest()
        content = {
            "r_preimage": base64.b64encode(preimage).decode(),
            "value": str(amount_sat),
            "memo": fitting(memo),
            "expiry": str(int(expires_in.total_seconds())),
            "private": True,
        }
        answer = await self._http.ask("POST", INVOICES, headers=self._headers(), content=content)
        if not answer.is_good and "is too large, max" in answer.problem:
            raise InvoiceRefusedError("amount_too_large")
        made = await self._invoice(payment_hash)
        if made is None:
            raise LightningError(answer.problem)
        try:
            request = bolt11.read(made.payment_request)
        except InvalidPaymentRequestError as error:
            raise LightningError(f"LND made a payment request that cannot be read: {error}") from error
        if (request.network, request.payment_hash, request.amount_sat) != (self.network, payment_hash, amount_sat):
            raise LightningError(
                f"LND made an invoice of {request.amount_sat} sat on network {request.network}:"
                f" expected {amount_sat} sat on {self.network}"
            )
        return NodeInvoice(payment_hash, request.text, request.expires_at)

    async def receipt(self, payment_hash: str) -> Receipt:
        """Raises LightningError for an invoice that LND does not have, too."""
        invoice = await self._invoice(payment_hash)
        if invoice is None:
            raise LightningError(f"LND has no invoice with payment hash {payment_hash}")
        if invoice.state == "SETTLED":
            return Receipt(InvoiceStatus.PAID, invoice.amt_paid_msat // 1_000)
        return Receipt(InvoiceStatus.EXPIRED if invoice.state == "CANCELED" else InvoiceStatus.OPEN)

    async def received(self, cursor: str) -> Incoming:
        """In the order in which they were settled. Waits for the next if there is nothing new yet."""
        since = int(cursor or 0)
        # LND tells what was settled after an index from 1 on, so the very first must be looked for.
        found = await self._settled_since(max(since, 1))
        if since == 0 and (first := await self._first_settled()):
            found = [first, *found]
        last = max((invoice.settle_index for invoice in found), default=since)
        return Incoming([invoice.payment_hash for invoice in found], str(last) if last else "")

    async def sent(self, cursor: str) -> Outgoing:
        """In the order in which they were begun; those that took long are told when they have ended."""
        since = msgspec.json.decode(cursor, type=SentCursor) if cursor else SentCursor()
        found = [each for at in since.under_way for each in await self._payments(at - 1, 1) if each.payment_index == at]
        found += await self._payments(since.index, tuning.SENT_AT_ONCE)
        under_way = [each.payment_index for each in found if each.status not in ("SUCCEEDED", "FAILED")]
        following = SentCursor(max([since.index, *(each.payment_index for each in found)]), under_way)
        return Outgoing(
            [Sent(each.payment_hash, each.value_sat, each.fee_sat) for each in found if each.status == "SUCCEEDED"],
            msgspec.json.encode(following).decode() if following != SentCursor() else "",
        )

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        """Raises InvalidPaymentRequestError, too. A limit of 0 lets it take routes that are free.

        Raises NotSentError, too, if LND has less money of its own in channels than this may cost.
        """
        request = bolt11.read(payment_request)
        content = {
            "payment_request": request.text,
            "fee_limit_msat": str(fee_limit_sat * 1_000),
            "timeout_seconds": 60,
            "cancelable": False,
        }
        try:
            balance_sat = await self.balance_sat()
        except LightningError as error:
            raise NotSentError(error.detail) from error
        if balance_sat < (request.amount_sat or 0) + fee_limit_sat:
            # It would fail for good what can be paid once there is more.
            raise NotSentError(
                f"LND has {balance_sat} sat: expected {request.amount_sat} and up to {fee_limit_sat} more"
            )
        asked = await self._asked_to_pay(content)
        payment = await self.payment_status(request.payment_hash)
        if payment.status in (PaymentStatus.PAID, PaymentStatus.PENDING):
            return payment
        if asked.fate is Fate.REFUSED:
            raise NotSentError(asked.problem)
        if asked.fate is Fate.UNKNOWN or payment.status is PaymentStatus.NOT_FOUND:
            # What has failed may be an earlier try, and this one still on its way.
            raise LightningError(asked.problem or "LND has begun to pay what it does not know")
        return payment

    async def payment_status(self, payment_hash: str) -> Payment:
        name = base64.urlsafe_b64encode(bytes.fromhex(payment_hash)).decode()
        path = f"{TRACK}/{name}"
        async with self._http.lines("GET", path, headers=self._headers(), seconds=tuning.CALL_SECONDS) as answers:
            async for answer in answers:
                if _code(answer) == NOT_FOUND:
                    return Payment(PaymentStatus.NOT_FOUND)
                payment: LndPayment = answer.read(LndPayment, "result")
                return _payment(payment, payment_hash)
        raise LightningError(f"GET {path} was answered with nothing")

    async def balance_sat(self) -> int:
        """Of its own in open channels; a part of it must stay there."""
        answer = await self._http.ask("GET", "/v1/balance/channels", headers=self._headers())
        balance: int = answer.read(int, "local_balance", "sat")
        return balance

    async def check(self) -> str:
        """What is there, for a log. Asks for what LND refuses, to see whether it is for want of a right.

        Raises NodeSetupError if the settings, or LND, must be changed, and LightningError if it does not answer.
        """
        info = await self._http.ask("GET", "/v1/getinfo", headers=self._headers())
        _check_right("info:read", info)
        networks = info.read(list[dict[str, str]], "chains")
        network = NETWORKS.get(networks[0].get("network", "")) if networks else None
        if network != self.network:
            raise NodeSetupError(f"LND is on network {network}: lightning.network is {self.network}")
        path = f"{INVOICES.removesuffix('s')}/{NOBODYS_HASH}"
        _check_right("invoices:read", await self._http.ask("GET", path, headers=self._headers()))
        negative = {"value": "-1"}
        answer = await self._http.ask("POST", INVOICES, headers=self._headers(), content=negative)
        _check_right("invoices:write", answer)
        _check_right("offchain:write", await self._http.ask("POST", SEND, headers=self._headers(), content=NO_REQUEST))
        try:
            await self.payment_status(NOBODYS_HASH)
            balance = await self.balance_sat()
            await self._payments(0, 1)
        except LightningError as error:
            raise NodeSetupError(f"the right offchain:read is not in the macaroon, or {error.detail}") from error
        state = "" if info.read(bool, "synced_to_chain") else ", not synced to the chain yet"
        version = info.read(str, "version")
        return f"LND {version}, network {self.network}, {balance:,} sat in channels{state}"

    async def close(self) -> None:
        await self._http.close()

    def _headers(self) -> Mapping[str, str]:
        return {"Grpc-Metadata-macaroon": self._macaroon.read().hex()}

    async def _invoice(self, payment_hash: str) -> LndInvoice | None:
        answer = await self._http.ask("GET", f"/v1/invoice/{payment_hash}", headers=self._headers())
        if _code(answer) == NOT_FOUND:
            return None
        invoice: LndInvoice = answer.read(LndInvoice)
        return invoice

    async def _asked_to_pay(self, content: Mapping[str, object]) -> Asked:
        """Ask once, and follow the payment for a while. Raises NotSentError if LND did not see the request."""
        asked = Asked(Fate.UNKNOWN, f"POST {SEND} was answered with nothing")
        try:
            async with self._http.lines(
                "POST", SEND, headers=self._headers(), seconds=tuning.FOLLOW_SECONDS, content=content
            ) as answers:
                async for answer in answers:
                    asked = _asked(answer)
                    if asked.fate is not Fate.BEGUN or _has_ended(answer):
                        break
        except NotSentError:
            raise
        except LightningError as error:
            return asked if asked.fate is Fate.BEGUN else Asked(Fate.UNKNOWN, error.detail)
        return asked

    async def _payments(self, after: int, limit: int) -> list[LndPayment]:
        """The payments behind an index, in order, whatever became of them."""
        params = {"index_offset": str(after), "max_payments": str(limit), "include_incomplete": "true"}
        answer = await self._http.ask("GET", PAYMENTS, headers=self._headers(), params=params)
        found: list[LndPayment] = answer.read(list[LndPayment], "payments")
        return found

    async def _settled_since(self, index: int) -> list[LndInvoice]:
        """What was settled after that, which may be 1 or more, in order: what there is, or else the next."""
        found: list[LndInvoice] = []
        path = f"{INVOICES}/subscribe?settle_index={index}"
        try:
            async with (
                asyncio.timeout(tuning.SETTLED_SECONDS) as silence,
                self._http.lines("GET", path, headers=self._headers(), seconds=tuning.LOOK_UP_SECONDS) as answers,
            ):
                async for answer in answers:
                    invoice: LndInvoice = answer.read(LndInvoice, "result")
                    if invoice.settle_index > index:
                        found.append(invoice)
                    if len(found) == tuning.RECEIVED_AT_ONCE:
                        break
                    silence.reschedule(asyncio.get_running_loop().time() + tuning.QUIET_SECONDS)
        except TimeoutError:
            pass  # that is all there is
        return found

    async def _first_settled(self) -> LndInvoice | None:
        """The invoice that was settled before all others."""
        offset = 0
        while True:
            params = {"index_offset": str(offset), "num_max_invoices": str(tuning.RECEIVED_AT_ONCE)}
            answer = await self._http.ask("GET", INVOICES, headers=self._headers(), params=params)
            page: list[LndInvoice] = answer.read(list[LndInvoice], "invoices")
            if first := next((invoice for invoice in page if invoice.settle_index == 1), None):
                return first
            if len(page) < tuning.RECEIVED_AT_ONCE:
                return None
            offset = answer.read(int, "last_index_offset")


def _asked(answer: Answer) -> Asked:
    """What a line says of a call to pay."""
    if answer.is_good and isinstance(answer.body, dict) and "result" in answer.body:
        return Asked(Fate.BEGUN)
    if _code(answer) == ALREADY_EXISTS:
        return Asked(Fate.BEGUN, answer.problem)
    is_refused = answer.status in UNREACHED or _holds_one_of(REFUSALS, answer)
    return Asked(Fate.REFUSED if is_refused else Fate.UNKNOWN, answer.problem)


def _has_ended(answer: Answer) -> bool:
    payment: LndPayment = answer.read(LndPayment, "result")
    return payment.status in ("SUCCEEDED", "FAILED")


def _error(answer: Answer) -> Mapping[str, object]:
    """What LND says is wrong; empty if nothing is, or if something else has answered."""
    body = answer.body if isinstance(answer.body, dict) else {}
    inner = body.get("error", body)
    return inner if isinstance(inner, dict) and "code" in inner else {}


def _code(answer: Answer) -> object:
    return _error(answer).get("code")


def _holds_one_of(words: Iterable[str], answer: Answer) -> bool:
    message = str(_error(answer).get("message", ""))
    return any(word in message for word in words)


def _check_right(right: str, answer: Answer) -> None:
    if _holds_one_of(NO_RIGHT, answer):
        raise NodeSetupError(f"the macaroon gives no right {right}: {answer.problem}")


def _payment(payment: LndPayment, payment_hash: str) -> Payment:
    """What LND says of a payment. Raises LightningError if it says paid without a proof."""
    if payment.status == "FAILED":
        reason = payment.failure_reason.removeprefix("FAILURE_REASON_").lower()
        return Payment(PaymentStatus.FAILED, reason=reason or "payment_failed")
    if payment.status != "SUCCEEDED":
        return Payment(PaymentStatus.PENDING)
    preimage = payment.payment_preimage.lower()
    if not is_proof(preimage, payment_hash):
        raise LightningError(f"LND says that {payment_hash} is paid, but its preimage is no proof of it")
    return Payment(PaymentStatus.PAID, preimage, fee_sat=payment.fee_sat)
