"""The Invoice aggregate: a deposit that is to come in, or a withdrawal that is to go out, over the Lightning network.

A step that was taken before answers done and changes nothing; a step that contradicts what is known is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from domain.bitcoin.messages import (
    AuthorizeWithdrawal,
    ConfirmDeposit,
    DepositPaid,
    DepositRequested,
    ExpireInvoice,
    FailWithdrawal,
    InvoiceChangeRejected,
    InvoiceExpired,
    InvoiceIssued,
    InvoiceRejected,
    IssueInvoice,
    Reason,
    RejectWithdrawal,
    RequestDeposit,
    RequestWithdrawal,
    SettleWithdrawal,
    WithdrawalAuthorized,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRequested,
)
from domain.shared.decisions import Decision, Outcome, Verdict, done, rejected
from domain.shared.ids import is_account_id, is_id
from domain.shared.messages import Command, Event
from domain.shared.money import Satoshis

MAX_PAYMENT_REQUEST_LENGTH = 8_192  # characters; the longest that wallets make are a quarter of that


class InvoiceKind(StrEnum):
    """Which way the money goes."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class InvoiceState(StrEnum):
    """Where an invoice stands. D: of a deposit; W: of a withdrawal."""

    REQUESTED = "requested"  # D: may become ISSUED or EXPIRED; W: may become AUTHORIZED or REJECTED
    ISSUED = "issued"  # D: the node has made it; may become PAID or EXPIRED
    EXPIRED = "expired"  # D: final, unless the node finds that it was PAID after all
    AUTHORIZED = "authorized"  # W: debited, the node may pay; may become PAID or FAILED
    REJECTED = "rejected"  # W: final, nothing was debited; if something is after all, it becomes FAILED
    FAILED = "failed"  # W: final, it was never paid and the account is refunded
    PAID = "paid"  # final


_Next = Mapping[InvoiceState, frozenset[InvoiceState]]

TRANSITIONS: Mapping[InvoiceKind, _Next] = {
    InvoiceKind.DEPOSIT: {
        InvoiceState.REQUESTED: frozenset({InvoiceState.ISSUED, InvoiceState.EXPIRED}),
        InvoiceState.ISSUED: frozenset({InvoiceState.PAID, InvoiceState.EXPIRED}),
        InvoiceState.EXPIRED: frozenset({InvoiceState.PAID}),
    },
    InvoiceKind.WITHDRAWAL: {
        InvoiceState.REQUESTED: frozenset({InvoiceState.AUTHORIZED, InvoiceState.REJECTED}),
        InvoiceState.AUTHORIZED: frozenset({InvoiceState.PAID, InvoiceState.FAILED}),
        InvoiceState.REJECTED: frozenset({InvoiceState.FAILED}),
    },
}
"""Which states may follow; from a state that is not listed, none."""


@dataclass(frozen=True)
class Invoice:
    """A deposit or a withdrawal. No two of a kind have the same payment hash, so nothing is paid twice."""

    invoice_id: str
    kind: InvoiceKind
    state: InvoiceState
    account_id: str
    amount_sat: int
    requested_at: datetime
    payment_hash: str | None = None
    """In lower case. It, the payment request and the expiry of a deposit are None until the node made the invoice."""
    payment_request: str | None = None
    expires_at: datetime | None = None
    preimage: str | None = None
    """The proof that a withdrawal was paid."""


def request_deposit(invoice: Invoice | None, command: RequestDeposit, now: datetime) -> Decision[Invoice]:
    """Begin a deposit; the Lightning node is asked for its invoice next."""
    wanted = Invoice(**vars(command), kind=InvoiceKind.DEPOSIT, state=InvoiceState.REQUESTED, requested_at=now)
    if invoice is not None:
        return _asked_again(invoice, wanted, command)
    if objection := _objection(wanted):
        return refuse(command, objection)
    return done(wanted, DepositRequested(**vars(command)))


def issue_invoice(invoice: Invoice | None, command: IssueInvoice, now: datetime) -> Decision[Invoice]:
    """Take what the node has made. If it was asked twice, the first answer stays: nobody sees the other."""
    if not _is_payable(command):
        return refuse(command, Reason.INVALID_PAYMENT_REQUEST)
    return _advance(
        invoice,
        command,
        _Step(InvoiceKind.DEPOSIT, InvoiceState.ISSUED, InvoiceIssued),
        payment_hash=command.payment_hash.lower(),
        payment_request=command.payment_request,
        expires_at=command.expires_at,
    )


def confirm_deposit(invoice: Invoice | None, command: ConfirmDeposit, now: datetime) -> Decision[Invoice]:
    """The money is here, so it is the account's, even if the invoice had expired."""
    if invoice is not None and invoice.kind == InvoiceKind.DEPOSIT and invoice.payment_hash is None:
        return refuse(command, Reason.NOT_ISSUED)
    return _advance(invoice, command, _Step(InvoiceKind.DEPOSIT, InvoiceState.PAID, DepositPaid))


def expire_invoice(invoice: Invoice | None, command: ExpireInvoice, now: datetime) -> Decision[Invoice]:
    """End a deposit that nobody paid."""
    return _advance(invoice, command, _Step(InvoiceKind.DEPOSIT, InvoiceState.EXPIRED, InvoiceExpired))


def request_withdrawal(invoice: Invoice | None, command: RequestWithdrawal, now: datetime) -> Decision[Invoice]:
    """Begin a withdrawal; the account is asked for the money next."""
    facts = {**vars(command), "payment_hash": command.payment_hash.lower()}
    wanted = Invoice(**facts, kind=InvoiceKind.WITHDRAWAL, state=InvoiceState.REQUESTED, requested_at=now)
    if invoice is not None:
        return _asked_again(invoice, wanted, command)
    if objection := _objection(wanted) or _payment_objection(command, now):
        return refuse(command, objection)
    return done(wanted, WithdrawalRequested(**_request(command)))


def authorize_withdrawal(invoice: Invoice | None, command: AuthorizeWithdrawal, now: datetime) -> Decision[Invoice]:
    """Let the node pay. Never for a debit of another account or amount that happens to have the same id.

    If the withdrawal was rejected before, the debit came from a request repeated too late: it is given back.
    """
    if invoice is not None and not _is_for(invoice, command):
        return refuse(command, Reason.NOT_THIS_WITHDRAWAL)
    if invoice is not None and invoice.state == InvoiceState.REJECTED:
        return _give_back(invoice)
    return _advance(invoice, command, _Step(InvoiceKind.WITHDRAWAL, InvoiceState.AUTHORIZED, WithdrawalAuthorized))


def reject_withdrawal(invoice: Invoice | None, command: RejectWithdrawal, now: datetime) -> Decision[Invoice]:
    """End a withdrawal that the account could not pay."""
    if invoice is not None and not _is_for(invoice, command):
        return refuse(command, Reason.NOT_THIS_WITHDRAWAL)
    return _advance(invoice, command, _Step(InvoiceKind.WITHDRAWAL, InvoiceState.REJECTED, InvoiceRejected))


def settle_withdrawal(invoice: Invoice | None, command: SettleWithdrawal, now: datetime) -> Decision[Invoice]:
    """The money has left."""
    paid = _Step(InvoiceKind.WITHDRAWAL, InvoiceState.PAID, WithdrawalPaid)
    return _advance(invoice, command, paid, preimage=command.preimage)


def fail_withdrawal(invoice: Invoice | None, command: FailWithdrawal, now: datetime) -> Decision[Invoice]:
    """The money has not left and never will, so the account gets it back."""
    if invoice is not None and invoice.state == InvoiceState.REJECTED:
        return refuse(command, Reason.INVOICE_REJECTED)
    return _advance(invoice, command, _Step(InvoiceKind.WITHDRAWAL, InvoiceState.FAILED, WithdrawalFailed))


def payment_hash_taken(invoice: Invoice | None, command: RequestWithdrawal | IssueInvoice) -> Decision[Invoice]:
    """Instead of a second invoice of the same kind with the same payment hash.

    If the node gives a hash that is known already, the deposit ends: its invoice could not be told from the other.
    """
    if isinstance(command, IssueInvoice) and invoice is not None:
        expired = replace(invoice, state=InvoiceState.EXPIRED)
        outcome = Outcome(Verdict.REJECTED, Reason.DUPLICATE_PAYMENT_HASH)
        return Decision(outcome, expired, (_announcement(InvoiceExpired, expired, command),))
    return refuse(command, Reason.DUPLICATE_PAYMENT_HASH)


def refuse(command: Command, reason: Reason) -> Decision[Invoice]:
    """Refuse any command of this context. Of a step an event says so; a request has none, its sender is told."""
    if isinstance(command, (RequestDeposit, RequestWithdrawal)):
        return rejected(reason)
    return rejected(reason, InvoiceChangeRejected(invoice_id=command.key, command=command.TYPE.name, reason=reason))


@dataclass(frozen=True)
class _Step:
    """A step of an invoice's life: which kind may take it, where it leads, and what it says."""

    kind: InvoiceKind
    target: InvoiceState
    event: type[Event]


def _advance(invoice: Invoice | None, command: Command, step: _Step, **news: Any) -> Decision[Invoice]:
    """Take the step, or say why not. *news* are the fields that change with it."""
    if invoice is None or invoice.kind != step.kind:
        return refuse(command, Reason.UNKNOWN_INVOICE)
    if invoice.state in _IMPLIED_BY.get(step.target, {step.target}):
        return done(None)
    if step.target not in TRANSITIONS[step.kind].get(invoice.state, ()):
        return refuse(command, _CONTRADICTIONS[step.kind, invoice.state])
    moved = replace(invoice, state=step.target, **news)
    return done(moved, _announcement(step.event, moved, command))


def _give_back(rejected_invoice: Invoice) -> Decision[Invoice]:
    """What was debited for an invoice that will not be paid goes back to its account."""
    failed = replace(rejected_invoice, state=InvoiceState.FAILED)
    event = WithdrawalFailed(
        invoice_id=failed.invoice_id,
        account_id=failed.account_id,
        amount_sat=failed.amount_sat,
        reason=Reason.INVOICE_REJECTED,
    )
    return Decision(Outcome(Verdict.REJECTED, Reason.INVOICE_REJECTED), failed, (event,))


def _announcement(event: type[Event], moved: Invoice, command: Command) -> Event:
    """The event, its fields taken from the invoice and, where that knows nothing of them, from the command."""
    known: dict[str, Any] = {**vars(command), **vars(moved)}
    return event(**{field.name: known[field.name] for field in fields(cast(Any, event))})


_IMPLIED_BY: Mapping[InvoiceState, set[InvoiceState]] = {
    InvoiceState.ISSUED: {InvoiceState.ISSUED, InvoiceState.PAID},
    InvoiceState.AUTHORIZED: {InvoiceState.AUTHORIZED, InvoiceState.PAID, InvoiceState.FAILED},
}
"""Of a state that is passed through: the states in which an invoice is or has been there."""

_CONTRADICTIONS: Mapping[tuple[InvoiceKind, InvoiceState], Reason] = {
    (InvoiceKind.DEPOSIT, InvoiceState.REQUESTED): Reason.NOT_ISSUED,
    (InvoiceKind.DEPOSIT, InvoiceState.EXPIRED): Reason.INVOICE_EXPIRED,
    (InvoiceKind.DEPOSIT, InvoiceState.PAID): Reason.INVOICE_PAID,
    (InvoiceKind.WITHDRAWAL, InvoiceState.REQUESTED): Reason.NOT_AUTHORIZED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.AUTHORIZED): Reason.ALREADY_AUTHORIZED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.REJECTED): Reason.INVOICE_REJECTED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.FAILED): Reason.INVOICE_FAILED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.PAID): Reason.INVOICE_PAID,
}
"""Why an invoice in this state refuses a step; ISSUED refuses none."""


def _objection(wanted: Invoice) -> Reason | None:
    if not is_id(wanted.invoice_id):
        return Reason.INVALID_ID
    if not is_account_id(wanted.account_id):
        return Reason.INVALID_ACCOUNT_ID
    return None if Satoshis.are(wanted.amount_sat) else Reason.INVALID_AMOUNT


def _payment_objection(command: RequestWithdrawal, now: datetime) -> Reason | None:
    if not _is_payable(command):
        return Reason.INVALID_PAYMENT_REQUEST
    return Reason.INVOICE_EXPIRED if command.expires_at <= now else None


def _is_payable(command: RequestWithdrawal | IssueInvoice) -> bool:
    """Whether the payment request and its terms have the right form; a time without a zone could be any."""
    return (
        0 < len(command.payment_request) <= MAX_PAYMENT_REQUEST_LENGTH
        and command.payment_request.isprintable()
        and is_id(command.payment_hash)
        and command.expires_at.tzinfo is not None
    )


def _asked_again(invoice: Invoice, wanted: Invoice, command: RequestDeposit | RequestWithdrawal) -> Decision[Invoice]:
    """A request under a known id: the same one once more changes nothing, another one is refused."""
    asked, known = (
        (one.kind, one.account_id, one.amount_sat, wanted.payment_hash and (one.payment_hash, one.payment_request))
        for one in (wanted, invoice)
    )
    if asked != known:
        return refuse(command, Reason.DUPLICATE_INVOICE)
    return done(None, invoice_state=str(invoice.state))


def _is_for(invoice: Invoice, command: AuthorizeWithdrawal | RejectWithdrawal) -> bool:
    return (invoice.account_id, invoice.amount_sat) == (command.account_id, command.amount_sat)


def _request(command: RequestDeposit | RequestWithdrawal) -> dict[str, Any]:
    return {
        "invoice_id": command.invoice_id,
        "account_id": command.account_id,
        "amount_sat": command.amount_sat,
    }
