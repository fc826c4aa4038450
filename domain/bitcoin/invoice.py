"""The Invoice aggregate: a deposit that is to come in, or a withdrawal that is to go out, over the Lightning network.

A step that was taken before answers done and changes nothing; a step that contradicts what is known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from domain.bitcoin.bolt11 import read
from domain.bitcoin.messages import (
    MAX_PAYMENT_REQUEST_LENGTH,
    AuthorizeWithdrawal,
    ConfirmDeposit,
    DepositFailed,
    DepositPaid,
    DepositRequested,
    ExpireInvoice,
    FailDeposit,
    FailWithdrawal,
    InvoiceChangeRejected,
    InvoiceExpired,
    InvoiceIssued,
    InvoiceRejected,
    IssueInvoice,
    Reason,
    RejectWithdrawal,
    RequestDeposit,
    RequestGiftDeposit,
    RequestWithdrawal,
    SettleWithdrawal,
    WithdrawalAuthorized,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRequested,
)
from domain.bitcoin.policy import Policy
from domain.bitcoin.ports import InvalidPaymentRequestError, UnsupportedFeaturesError
from domain.shared.accounts import is_account_id
from domain.shared.money import SUPPLY_SAT, Satoshis
from spark_actors.kernel.aggregates import Aggregate
from spark_actors.kernel.decisions import Decision, Outcome, Verdict, done, rejected
from spark_actors.kernel.errors import BrokenRuleError
from spark_actors.kernel.ids import is_id
from spark_actors.kernel.messages import Command

MAX_OPEN_DEPOSITS = 100
"""How many deposits of an account may wait for their invoice or its payer at once, gifts to its campaigns apart. This
and the next are the numbers of a trigger, too: to change one takes a migration."""
MAX_OPEN_GIFTS = 1_000
"""The same of the gifts to one campaign. Whoever gives has no account, so they share it."""

_32_BYTES = re.compile(r"[0-9a-f]{64}")


class InvoiceKind(StrEnum):
    """Which way the money goes."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class InvoiceState(StrEnum):
    """Where an invoice stands. D: of a deposit; W: of a withdrawal."""

    REQUESTED = "requested"  # D: may become ISSUED, EXPIRED or FAILED; W: may become AUTHORIZED or REJECTED
    ISSUED = "issued"  # D: the node has made it; may become PAID or EXPIRED
    EXPIRED = "expired"  # D: final, unless the node finds that it was PAID after all
    AUTHORIZED = "authorized"  # W: debited, the node may pay; may become PAID or FAILED
    REJECTED = "rejected"  # W: final, nothing was debited; if something is after all, it becomes FAILED
    FAILED = "failed"  # final; D: the node never makes it; W: it was never paid and the account is refunded
    PAID = "paid"  # final


_Next = Mapping[InvoiceState, frozenset[InvoiceState]]

TRANSITIONS: Mapping[InvoiceKind, _Next] = {
    InvoiceKind.DEPOSIT: {
        InvoiceState.REQUESTED: frozenset({InvoiceState.ISSUED, InvoiceState.EXPIRED, InvoiceState.FAILED}),
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

_STATES: Mapping[InvoiceKind, frozenset[InvoiceState]] = {
    kind: frozenset().union(following, *following.values()) for kind, following in TRANSITIONS.items()
}
_UNPAYABLE = frozenset({InvoiceState.REJECTED, InvoiceState.FAILED})
"""Where nothing can be paid any more, so that the same payment may be asked for under another id."""


@dataclass(frozen=True)
class Invoice(Aggregate):
    """A deposit or a withdrawal. Raises BrokenRuleError for one that is in no state which the rules allow.

    Of those that may be paid or are, no two of a kind have the same payment hash, so nothing is paid twice.
    """

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
    reason: str | None = None
    """Why it was rejected or failed; None if that was before reasons were kept."""
    settled_at: datetime | None = None
    """When it was known that the money is in, is out, or stays: what the ledger must follow. None if that was before
    it was noted."""
    fee_reserve_sat: int | None = None
    """Of a withdrawal: what is debited beside the amount. None if that was before there were fees."""
    fee_sat: int | None = None
    """Of a withdrawal that was paid: what its payer pays for the route. None if that was before there were fees."""
    received_sat: int | None = None
    """Of a deposit that was paid: what arrived. None if that was before it was noted."""
    campaign_id: str | None = None
    """Of a deposit that is a gift: to which campaign. None for any other."""

    def __post_init__(self) -> None:
        terms = (self.payment_hash, self.payment_request, self.expires_at)
        is_deposit, state = self.kind is InvoiceKind.DEPOSIT, self.state
        is_paid_out = not is_deposit and state is InvoiceState.PAID
        self._must("invoices_amount_is_satoshis", Satoshis.are(self.amount_sat), f"1 to {SUPPLY_SAT} satoshis")
        self._must("invoices_state_of_its_kind", state in _STATES[self.kind], f"a state of a {self.kind}")
        self._must("invoices_terms_come_together", terms.count(None) in (0, 3), "hash, request and expiry, or none")
        may_lack_terms = is_deposit and state not in (InvoiceState.ISSUED, InvoiceState.PAID)
        self._must("invoices_terms_known_once_made", may_lack_terms or terms[0] is not None, "a payment hash")
        self._must("invoices_preimage_proves_payment", (self.preimage is not None) == is_paid_out, "one if paid out")
        self._must("invoices_reason_why_it_ended", self.reason is None or state in _UNPAYABLE, "one if unpayable")
        is_settled = state is InvoiceState.PAID or (not is_deposit and state is InvoiceState.FAILED)
        self._must("invoices_settled_in_the_end", self.settled_at is None or is_settled, "a time if paid or failed")
        reserve, fee, received = self.fee_reserve_sat, self.fee_sat, self.received_sat
        is_reserve = reserve is None or (not is_deposit and 0 <= reserve <= SUPPLY_SAT)
        self._must("invoices_reserve_of_a_withdrawal", is_reserve, f"0 to {SUPPLY_SAT} satoshis of a withdrawal")
        is_fee = fee is None or (is_paid_out and 0 <= fee <= (reserve or 0))
        self._must("invoices_fee_within_its_reserve", is_fee, "at most the reserve, if paid out")
        is_received = received is None or (is_deposit and state is InvoiceState.PAID and Satoshis.are(received))
        self._must(
            "invoices_gifts_are_deposits", self.campaign_id is None or is_deposit, "a campaign of a deposit alone"
        )
        self._must("invoices_received_if_paid", is_received, f"1 to {SUPPLY_SAT} satoshis of a deposit that was paid")

    def _must(self, rule: str, holds: bool, expected: str) -> None:
        if not holds:
            raise BrokenRuleError(rule, f"{self.kind} {self.invoice_id}, {self.state}, {self.amount_sat}", expected)

    @property
    def is_open(self) -> bool:
        """Of a deposit: whether the node is still to be asked about it all the time."""
        return self.kind is InvoiceKind.DEPOSIT and self.state in (InvoiceState.REQUESTED, InvoiceState.ISSUED)

    def may_become(self, state: InvoiceState) -> bool:
        return state in TRANSITIONS[self.kind].get(self.state, ())

    def _leave_for(self, state: InvoiceState) -> None:
        if not self.may_become(state):
            raise BrokenRuleError(f"{self.kind}_transition", f"{self.state} to {state}", "one of TRANSITIONS")

    # Each of these raises BrokenRuleError if the state may not follow.

    def issued(self, payment_hash: str, payment_request: str, expires_at: datetime) -> Invoice:
        self._leave_for(InvoiceState.ISSUED)
        return replace(
            self,
            state=InvoiceState.ISSUED,
            payment_hash=payment_hash.lower(),
            payment_request=payment_request,
            expires_at=expires_at,
        )

    def expired(self) -> Invoice:
        self._leave_for(InvoiceState.EXPIRED)
        return replace(self, state=InvoiceState.EXPIRED)

    def never_made(self, reason: str) -> Invoice:
        """Of a deposit: failed, and there is nothing to be given back."""
        self._leave_for(InvoiceState.FAILED)
        return replace(self, state=InvoiceState.FAILED, reason=reason)

    def received(self, received_sat: int, at: datetime) -> Invoice:
        """Of a deposit: paid."""
        self._leave_for(InvoiceState.PAID)
        return replace(self, state=InvoiceState.PAID, received_sat=received_sat, settled_at=at)

    def authorized(self) -> Invoice:
        self._leave_for(InvoiceState.AUTHORIZED)
        return replace(self, state=InvoiceState.AUTHORIZED)

    def rejected(self, reason: str) -> Invoice:
        self._leave_for(InvoiceState.REJECTED)
        return replace(self, state=InvoiceState.REJECTED, reason=reason)

    def failed(self, reason: str, at: datetime) -> Invoice:
        """Of a withdrawal: the account gets its money back."""
        self._leave_for(InvoiceState.FAILED)
        return replace(self, state=InvoiceState.FAILED, reason=reason, settled_at=at)

    def paid_out(self, preimage: str, fee_sat: int, at: datetime) -> Invoice:
        """Of a withdrawal: paid. Raises BrokenRuleError, too, if the preimage does not prove it.

        The payer pays at most the reserve for the route; what it has cost beyond is the operator's.
        """
        self._leave_for(InvoiceState.PAID)
        if not is_proof(preimage, self.payment_hash):
            raise BrokenRuleError("invoices_preimage_proves_payment", self.payment_hash, "the SHA-256 of the preimage")
        charged = None if self.fee_reserve_sat is None else max(0, min(fee_sat, self.fee_reserve_sat))
        return replace(self, state=InvoiceState.PAID, preimage=preimage.lower(), fee_sat=charged, settled_at=at)

    # What it decides on its commands.

    @classmethod
    def request_deposit(cls, command: RequestDeposit | RequestGiftDeposit, now: datetime) -> Decision[Invoice]:
        """Begin a deposit; the Lightning node is asked for its invoice next."""
        if objection := _objection(command):
            return refuse(command, objection)
        wanted = cls(
            command.invoice_id,
            InvoiceKind.DEPOSIT,
            InvoiceState.REQUESTED,
            command.account_id,
            command.amount_sat,
            requested_at=now,
            campaign_id=_campaign_of(command),
        )
        event = DepositRequested(
            invoice_id=wanted.invoice_id,
            account_id=wanted.account_id,
            amount_sat=wanted.amount_sat,
            campaign_id=wanted.campaign_id or "",
        )
        return done(wanted, event)

    @classmethod
    def too_many_open(cls, command: RequestDeposit | RequestGiftDeposit, now: datetime) -> Decision[Invoice]:
        """What is decided instead if there are too many already. The story of a gift has begun before, so it ends here;
        of a deposit nothing is left, so that its id may be used when there is room."""
        reason = Reason.TOO_MANY_OPEN_DEPOSITS
        wanted = cls.request_deposit(command, now).state
        if isinstance(command, RequestDeposit) or wanted is None:
            return refuse(command, reason)
        failed = wanted.never_made(reason)
        return Decision(Outcome(Verdict.REJECTED, reason), failed, (_deposit_failed(failed, reason),))

    def deposit_requested_again(self, command: RequestDeposit | RequestGiftDeposit, now: datetime) -> Decision[Invoice]:
        """The same request changes nothing; another one under its id is refused."""
        asked = (command.account_id, command.amount_sat, _campaign_of(command))
        known = (self.account_id, self.amount_sat, self.campaign_id)
        is_repeat = self.kind is InvoiceKind.DEPOSIT and known == asked
        return self._stands() if is_repeat else refuse(command, Reason.DUPLICATE_INVOICE)

    def issue(self, command: IssueInvoice, now: datetime) -> Decision[Invoice]:
        """Take what the node has made. If it was asked twice, the first answer stays: nobody sees the other."""
        if not _is_payable(command):
            return refuse(command, Reason.INVALID_PAYMENT_REQUEST)
        if answer := self._answer_instead(command, InvoiceKind.DEPOSIT, InvoiceState.ISSUED):
            return answer
        issued = self.issued(command.payment_hash, command.payment_request, command.expires_at)
        event = InvoiceIssued(
            invoice_id=issued.invoice_id,
            account_id=issued.account_id,
            amount_sat=issued.amount_sat,
            payment_hash=command.payment_hash.lower(),
            payment_request=command.payment_request,
            expires_at=command.expires_at,
            campaign_id=issued.campaign_id or "",
        )
        return done(issued, event)

    def confirm_deposit(self, command: ConfirmDeposit, now: datetime) -> Decision[Invoice]:
        """The money is here, so it is the account's, even if the invoice had expired."""
        if self.kind == InvoiceKind.DEPOSIT and self.payment_hash is None:
            return refuse(command, Reason.NOT_ISSUED)
        if answer := self._answer_instead(command, InvoiceKind.DEPOSIT, InvoiceState.PAID):
            return answer
        received_sat = self.amount_sat if command.received_sat is None else command.received_sat
        if not Satoshis.are(received_sat):
            return refuse(command, Reason.INVALID_AMOUNT)
        event = DepositPaid(
            invoice_id=self.invoice_id,
            account_id=self.account_id,
            amount_sat=received_sat,
            campaign_id=self.campaign_id or "",
        )
        return done(self.received(received_sat, now), event)

    def expire(self, command: ExpireInvoice, now: datetime) -> Decision[Invoice]:
        """End a deposit that nobody paid."""
        if answer := self._answer_instead(command, InvoiceKind.DEPOSIT, InvoiceState.EXPIRED):
            return answer
        event = InvoiceExpired(
            invoice_id=self.invoice_id,
            account_id=self.account_id,
            amount_sat=self.amount_sat,
            campaign_id=self.campaign_id or "",
        )
        return done(self.expired(), event)

    def fail_deposit(self, command: FailDeposit, now: datetime) -> Decision[Invoice]:
        """End a deposit whose invoice the node will never make: nobody can have paid it."""
        if answer := self._answer_instead(command, InvoiceKind.DEPOSIT, InvoiceState.FAILED):
            return answer
        return done(self.never_made(command.reason), _deposit_failed(self, command.reason))

    @classmethod
    def request_withdrawal(cls, command: RequestWithdrawal, now: datetime, policy: Policy) -> Decision[Invoice]:
        """Begin a withdrawal of what the payment request asks for; the account is asked for the money next."""
        if objection := _objection(command):
            return refuse(command, objection)
        try:
            request = read(command.payment_request)
        except UnsupportedFeaturesError:
            return refuse(command, Reason.UNSUPPORTED_FEATURES)
        except InvalidPaymentRequestError:
            return refuse(command, Reason.INVALID_PAYMENT_REQUEST)
        amount_sat = request.amount_sat or 0
        if objection := policy.objection_to(request, now):
            return refuse(command, objection)
        if command.amount_sat not in (None, amount_sat):
            return refuse(command, Reason.AMOUNT_MISMATCH)
        wanted = cls(
            command.invoice_id,
            InvoiceKind.WITHDRAWAL,
            InvoiceState.REQUESTED,
            command.account_id,
            amount_sat,
            requested_at=now,
            payment_hash=request.payment_hash,
            payment_request=request.text,
            expires_at=request.expires_at,
            fee_reserve_sat=(reserve_sat := policy.fee_reserve_sat(amount_sat, command.max_fee_sat)),
        )
        event = WithdrawalRequested(
            invoice_id=wanted.invoice_id,
            account_id=wanted.account_id,
            amount_sat=amount_sat,
            fee_reserve_sat=reserve_sat,
        )
        return done(wanted, event)

    def withdrawal_requested_again(self, command: RequestWithdrawal, now: datetime) -> Decision[Invoice]:
        """The same request changes nothing; another one under its id is refused.

        A repeat may be told to pay more for the route than the first one, which stands; not to pay less.
        """
        is_repeat = (
            self.kind is InvoiceKind.WITHDRAWAL
            and self.account_id == command.account_id
            and _normal(self.payment_request or "") == _normal(command.payment_request)
            and command.amount_sat in (None, self.amount_sat)
            and (command.max_fee_sat is None or command.max_fee_sat >= (self.fee_reserve_sat or 0))
        )
        return self._stands() if is_repeat else refuse(command, Reason.DUPLICATE_INVOICE)

    def authorize_withdrawal(self, command: AuthorizeWithdrawal, now: datetime) -> Decision[Invoice]:
        """Let the node pay. Never for a debit of another account, amount or reserve that happens to have the same id.

        If the withdrawal was rejected before, the debit came from a request repeated too late: it is given back.
        """
        if not self._is_for(command):
            return refuse(command, Reason.NOT_THIS_WITHDRAWAL)
        if self.state == InvoiceState.REJECTED:
            return self._give_back(now)
        if answer := self._answer_instead(command, InvoiceKind.WITHDRAWAL, InvoiceState.AUTHORIZED):
            return answer
        event = WithdrawalAuthorized(
            invoice_id=self.invoice_id,
            account_id=self.account_id,
            amount_sat=self.amount_sat,
            payment_hash=self.payment_hash or "",
            payment_request=self.payment_request or "",
            fee_reserve_sat=self.fee_reserve_sat or 0,
        )
        return done(self.authorized(), event)

    def reject_withdrawal(self, command: RejectWithdrawal, now: datetime) -> Decision[Invoice]:
        """End a withdrawal that the account could not pay."""
        if not self._is_for(command):
            return refuse(command, Reason.NOT_THIS_WITHDRAWAL)
        if answer := self._answer_instead(command, InvoiceKind.WITHDRAWAL, InvoiceState.REJECTED):
            return answer
        event = InvoiceRejected(
            invoice_id=self.invoice_id, account_id=self.account_id, amount_sat=self.amount_sat, reason=command.reason
        )
        return done(self.rejected(command.reason), event)

    def settle_withdrawal(self, command: SettleWithdrawal, now: datetime) -> Decision[Invoice]:
        """The money has left, and the preimage proves it."""
        if answer := self._answer_instead(command, InvoiceKind.WITHDRAWAL, InvoiceState.PAID):
            return answer
        if not is_proof(command.preimage, self.payment_hash):
            return refuse(command, Reason.INVALID_PREIMAGE)
        paid = self.paid_out(command.preimage, command.fee_sat, now)
        event = WithdrawalPaid(
            invoice_id=paid.invoice_id,
            account_id=paid.account_id,
            amount_sat=paid.amount_sat,
            preimage=command.preimage.lower(),
            fee_reserve_sat=paid.fee_reserve_sat or 0,
            fee_sat=paid.fee_sat or 0,
        )
        return done(paid, event)

    def fail_withdrawal(self, command: FailWithdrawal, now: datetime) -> Decision[Invoice]:
        """The money has not left and never will, so the account gets it back."""
        if self.state == InvoiceState.REJECTED:
            return refuse(command, Reason.INVOICE_REJECTED)
        if answer := self._answer_instead(command, InvoiceKind.WITHDRAWAL, InvoiceState.FAILED):
            return answer
        return done(self.failed(command.reason, now), _withdrawal_failed(self, command.reason))

    @staticmethod
    def unknown(command: Command, now: datetime) -> Decision[Invoice]:
        """Refuse a step of an invoice that does not exist."""
        is_malformed = isinstance(command, IssueInvoice) and not _is_payable(command)
        return refuse(command, Reason.INVALID_PAYMENT_REQUEST if is_malformed else Reason.UNKNOWN_INVOICE)

    # What is decided instead of an invoice whose payment hash is that of another of its kind which may be paid or is.

    @staticmethod
    def payment_hash_taken(command: RequestWithdrawal | IssueInvoice, now: datetime) -> Decision[Invoice]:
        return refuse(command, Reason.DUPLICATE_PAYMENT_HASH)

    @staticmethod
    def pays_itself(command: RequestWithdrawal | IssueInvoice, now: datetime) -> Decision[Invoice]:
        """The invoice of a deposit here is not paid by a withdrawal: nodes do not agree on what comes of that."""
        is_withdrawal = isinstance(command, RequestWithdrawal)
        return refuse(command, Reason.OWN_INVOICE if is_withdrawal else Reason.DUPLICATE_PAYMENT_HASH)

    def issued_with_taken_hash(self, command: RequestWithdrawal | IssueInvoice, now: datetime) -> Decision[Invoice]:
        """A deposit ends if the node gives it such a hash: its invoice could not be told from the other."""
        reason = Reason.DUPLICATE_PAYMENT_HASH
        if not (isinstance(command, IssueInvoice) and self.may_become(InvoiceState.FAILED)):
            return refuse(command, reason)
        failed = self.never_made(reason)
        return Decision(Outcome(Verdict.REJECTED, reason), failed, (_deposit_failed(failed, reason),))

    def _answer_instead(self, command: Command, kind: InvoiceKind, target: InvoiceState) -> Decision[Invoice] | None:
        """None if the invoice may take the step to *target*; otherwise that it was taken before, or why it may not."""
        if self.kind != kind:
            return refuse(command, Reason.UNKNOWN_INVOICE)
        if self.state in _IMPLIED_BY.get(target, {target}):
            return done(None)
        if not self.may_become(target):
            return refuse(command, _CONTRADICTIONS[kind, self.state])
        return None

    def _give_back(self, now: datetime) -> Decision[Invoice]:
        """What was debited for an invoice that will not be paid goes back to its account."""
        failed = self.failed(self.reason or Reason.INVOICE_REJECTED, now)
        outcome = Outcome(Verdict.REJECTED, Reason.INVOICE_REJECTED)
        return Decision(outcome, failed, (_withdrawal_failed(failed, Reason.INVOICE_REJECTED),))

    def _stands(self) -> Decision[Invoice]:
        """What the first request has come to: the answer to the same one once more, which changes nothing."""
        stands = {"invoice_state": str(self.state)}
        if self.state not in _ENDED_WITHOUT_MONEY:
            return Decision(Outcome(Verdict.DONE, data=stands))
        if self.reason is not None:
            stands["invoice_reason"] = self.reason
        return Decision(Outcome(Verdict.REJECTED, _ENDED_WITHOUT_MONEY[self.state], stands))

    def _is_for(self, command: AuthorizeWithdrawal | RejectWithdrawal) -> bool:
        said = (command.account_id, command.amount_sat, command.fee_reserve_sat)
        return (self.account_id, self.amount_sat, self.fee_reserve_sat or 0) == said


def is_proof(preimage: str, payment_hash: str | None) -> bool:
    """Whether *preimage*, in hexadecimal digits, shows that somebody was paid for *payment_hash*."""
    digits = preimage.lower()
    return bool(_32_BYTES.fullmatch(digits)) and sha256(bytes.fromhex(digits)).hexdigest() == payment_hash


def refuse(command: Command, reason: Reason) -> Decision[Invoice]:
    """Refuse any command of this context. Of a step an event says so; a request has none, its sender is told."""
    if isinstance(command, (RequestDeposit, RequestWithdrawal)):
        return rejected(reason)
    return rejected(reason, InvoiceChangeRejected(invoice_id=command.key, command=command.TYPE.name, reason=reason))


def _withdrawal_failed(invoice: Invoice, reason: str) -> WithdrawalFailed:
    return WithdrawalFailed(
        invoice_id=invoice.invoice_id,
        account_id=invoice.account_id,
        amount_sat=invoice.amount_sat,
        fee_reserve_sat=invoice.fee_reserve_sat or 0,
        reason=reason,
    )


def _deposit_failed(invoice: Invoice, reason: str) -> DepositFailed:
    return DepositFailed(
        invoice_id=invoice.invoice_id,
        account_id=invoice.account_id,
        amount_sat=invoice.amount_sat,
        reason=reason,
        campaign_id=invoice.campaign_id or "",
    )


_IMPLIED_BY: Mapping[InvoiceState, set[InvoiceState]] = {
    InvoiceState.ISSUED: {InvoiceState.ISSUED, InvoiceState.PAID},
    InvoiceState.AUTHORIZED: {InvoiceState.AUTHORIZED, InvoiceState.PAID, InvoiceState.FAILED},
}
"""Of a state that is passed through: the states in which an invoice is or has been there."""

_CONTRADICTIONS: Mapping[tuple[InvoiceKind, InvoiceState], Reason] = {
    (InvoiceKind.DEPOSIT, InvoiceState.REQUESTED): Reason.NOT_ISSUED,
    (InvoiceKind.DEPOSIT, InvoiceState.ISSUED): Reason.ALREADY_ISSUED,
    (InvoiceKind.DEPOSIT, InvoiceState.FAILED): Reason.INVOICE_FAILED,
    (InvoiceKind.DEPOSIT, InvoiceState.EXPIRED): Reason.INVOICE_EXPIRED,
    (InvoiceKind.DEPOSIT, InvoiceState.PAID): Reason.INVOICE_PAID,
    (InvoiceKind.WITHDRAWAL, InvoiceState.REQUESTED): Reason.NOT_AUTHORIZED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.AUTHORIZED): Reason.ALREADY_AUTHORIZED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.REJECTED): Reason.INVOICE_REJECTED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.FAILED): Reason.INVOICE_FAILED,
    (InvoiceKind.WITHDRAWAL, InvoiceState.PAID): Reason.INVOICE_PAID,
}
"""Why an invoice in this state refuses a step."""

_ENDED_WITHOUT_MONEY: Mapping[InvoiceState, Reason] = {
    InvoiceState.EXPIRED: Reason.INVOICE_EXPIRED,
    InvoiceState.REJECTED: Reason.INVOICE_REJECTED,
    InvoiceState.FAILED: Reason.INVOICE_FAILED,
}
"""What is answered to a request whose first one ended so; why it did, where that was kept, is told beside it."""


def _campaign_of(command: RequestDeposit | RequestGiftDeposit) -> str | None:
    return command.campaign_id if isinstance(command, RequestGiftDeposit) else None


def _objection(command: RequestDeposit | RequestGiftDeposit | RequestWithdrawal) -> Reason | None:
    if isinstance(command, RequestGiftDeposit):  # its ids are those of a story that has begun
        return None if Satoshis.are(command.amount_sat) else Reason.INVALID_AMOUNT
    if not is_id(command.invoice_id):
        return Reason.INVALID_ID
    if not is_account_id(command.account_id):
        return Reason.INVALID_ACCOUNT_ID
    if isinstance(command, RequestWithdrawal):
        return None if (command.max_fee_sat or 0) >= 0 else Reason.INVALID_AMOUNT
    return None if Satoshis.are(command.amount_sat) else Reason.INVALID_AMOUNT


def _normal(payment_request: str) -> str:
    """The form in which the same request has the same text, for one that may never have been read here."""
    return payment_request.strip().lower().removeprefix("lightning:")


def _is_payable(command: IssueInvoice) -> bool:
    """Whether the payment request and its terms have the right form; a time without a zone could be any."""
    return (
        0 < len(command.payment_request) <= MAX_PAYMENT_REQUEST_LENGTH
        and command.payment_request.isprintable()
        and bool(_32_BYTES.fullmatch(command.payment_hash.lower()))
        and command.expires_at.tzinfo is not None
    )
