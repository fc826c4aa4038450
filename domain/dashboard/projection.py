"""The projection: what each event of the other contexts tells about the rows of the read models. Pure.

What was refused at once has no event and so no row: whatever somebody asks for in vain, under whichever id, changes
nothing here. Money that has moved is the last word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from domain.accounting import messages as accounting
from domain.auth import messages as auth
from domain.bitcoin import messages as bitcoin
from domain.crowdfunding import messages as crowdfunding
from domain.dashboard.rows import (
    AccountSeen,
    ActivitySeen,
    CampaignSeen,
    DonationSeen,
    GiftSeen,
    InvoiceSeen,
    RowSeen,
)
from spark_actors.kernel.messages import Event

PROJECTED: tuple[type[Event], ...] = tuple(
    message
    for context in (auth, accounting, crowdfunding, bitcoin)
    for message in context.MESSAGES
    if issubclass(message, Event) and not message.TYPE.is_former
) + (crowdfunding.DonationRejectedV1,)
"""The events that the read models are made of: all, since the feed shows every one. Of what only earlier releases said,
what ends a donation."""

WITHHELD = ("preimage",)
"""Fields that no feed shows: whoever knows the preimage can claim to have paid."""


class Occurrence(NamedTuple):
    """All that is known about an event besides its content."""

    message_id: str
    correlation_id: str
    causation_id: str
    sequence: int
    """Version of its aggregate afterwards."""
    occurred_at: datetime
    data: str
    """The event as JSON."""


def rows_of(event: Event, seen: Occurrence) -> tuple[RowSeen, ...]:
    """What *event* tells about the rows of the read models; an event of an unknown type is shown in the feed alone."""
    if isinstance(event, crowdfunding.DonationRejectedV1) and not event.has_begun:
        return ()
    told = (reader(event, seen) for reader in _READERS.get(type(event), ()))
    return (*(row for row in told if row is not None), _activity(event, seen))


def feed_account(event: Event) -> str:
    """The account in whose feed an event is shown: the one it names, of a transfer the one whose balance it is about.

    So a donation is in the donor's feed, its arrival and a goal that was reached in the owner's; a credit that was
    refused is in that of the payer, whose money comes back. A gift is in its owner's only once it was paid: what
    strangers ask for is nobody's. Empty if it names no account: only everybody's feed has it.
    """
    if isinstance(event, _INVOICES_OF_DEPOSITS) and event.campaign_id:
        return ""
    if isinstance(event, accounting.TransferCreditRefused):
        return event.from_account_id
    account_id: str = getattr(event, "account_id", event.key if event.TYPE.key_field.endswith("account_id") else "")
    return account_id


@dataclass(frozen=True)
class _State:
    """Where an event puts a donation or an invoice. States of a higher rank are never left for those of a lower."""

    state: str
    rank: int
    kind: str = ""
    """Of an invoice: deposit or withdrawal."""
    has_ended: bool = False
    id_field: str = "invoice_id"


_DONATION_STATES: Mapping[type[Event], _State] = {
    crowdfunding.DonationRequested: _State("requested", 1),
    crowdfunding.DonationRejected: _State("rejected", 2, has_ended=True),
    crowdfunding.DonationRejectedV1: _State("rejected", 2, has_ended=True),
    crowdfunding.DonationRegistered: _State("registered", 3, has_ended=True),
}

_INVOICE_STATES: Mapping[type[Event], _State] = {
    bitcoin.DepositRequested: _State("requested", 1, "deposit"),
    bitcoin.InvoiceIssued: _State("issued", 2, "deposit"),
    bitcoin.DepositFailed: _State("failed", 3, "deposit", has_ended=True),
    bitcoin.InvoiceExpired: _State("expired", 3, "deposit", has_ended=True),
    bitcoin.DepositPaid: _State("paid", 4, "deposit"),
    accounting.Deposited: _State("credited", 5, "deposit", has_ended=True, id_field="deposit_id"),
    bitcoin.WithdrawalRequested: _State("requested", 1, "withdrawal"),
    bitcoin.WithdrawalAuthorized: _State("authorized", 2, "withdrawal"),
    bitcoin.InvoiceRejected: _State("rejected", 3, "withdrawal", has_ended=True),
    bitcoin.WithdrawalFailed: _State("failed", 4, "withdrawal"),
    accounting.WithdrawalRefunded: _State("refunded", 5, "withdrawal", has_ended=True, id_field="withdrawal_id"),
    bitcoin.WithdrawalPaid: _State("paid", 6, "withdrawal", has_ended=True),
}


_GIFT_STATES: Mapping[type[Event], _State] = {
    crowdfunding.GiftRequested: _State("requested", 1),
    bitcoin.InvoiceIssued: _State("issued", 2),
    bitcoin.DepositFailed: _State("failed", 3, has_ended=True),
    bitcoin.InvoiceExpired: _State("expired", 3, has_ended=True),
    bitcoin.DepositPaid: _State("paid", 4),
    crowdfunding.GiftRegistered: _State("registered", 5, has_ended=True),
}
_INVOICES_OF_DEPOSITS = (
    bitcoin.DepositRequested,
    bitcoin.InvoiceIssued,
    bitcoin.DepositFailed,
    bitcoin.InvoiceExpired,
    bitcoin.DepositPaid,
)


def _signed_up(event: auth.AccountRegistered, seen: Occurrence) -> AccountSeen:
    return AccountSeen(account_id=event.account_id, username=event.username)


def _balance(event: Any, seen: Occurrence) -> AccountSeen:
    is_open = isinstance(event, accounting.AccountOpened)
    return AccountSeen(account_id=event.key, is_open=is_open, balance_sat=event.balance_sat, sequence=seen.sequence)


def _campaign(event: crowdfunding.CampaignCreated, seen: Occurrence) -> CampaignSeen:
    return CampaignSeen(
        campaign_id=event.campaign_id,
        account_id=event.account_id,
        title=event.title,
        description=event.description,
        goal_sat=event.goal_sat,
        created_at=seen.occurred_at,
    )


def _totals(event: crowdfunding.DonationRegistered | crowdfunding.GiftRegistered, seen: Occurrence) -> CampaignSeen:
    return CampaignSeen(
        campaign_id=event.campaign_id,
        raised_sat=event.raised_sat,
        donations=event.donations,
        sequence=seen.sequence,
    )


def _goal(event: crowdfunding.CampaignGoalReached, seen: Occurrence) -> CampaignSeen:
    return CampaignSeen(campaign_id=event.campaign_id, goal_reached=True)


def _donation(event: Any, seen: Occurrence) -> DonationSeen:
    state = _DONATION_STATES[type(event)]
    return DonationSeen(
        donation_id=event.donation_id,
        campaign_id=event.campaign_id,
        account_id=event.account_id,
        amount_sat=event.amount_sat,
        state=state.state,
        rank=state.rank,
        has_ended=state.has_ended,
        reason=getattr(event, "reason", ""),
        state_at=seen.occurred_at,
        requested_at=seen.occurred_at,
    )


def _gift(event: Any, seen: Occurrence) -> GiftSeen:
    state = _GIFT_STATES[type(event)]
    return GiftSeen(
        gift_id=crowdfunding.gift_of_invoice(event.invoice_id) if hasattr(event, "invoice_id") else event.gift_id,
        campaign_id=event.campaign_id,
        amount_sat=event.amount_sat,
        state=state.state,
        rank=state.rank,
        has_ended=state.has_ended,
        reason=getattr(event, "reason", ""),
        state_at=seen.occurred_at,
        requested_at=seen.occurred_at,
        name=getattr(event, "name", None),
        message=getattr(event, "message", None),
        payment_request=getattr(event, "payment_request", None),
        payment_hash=getattr(event, "payment_hash", None),
        expires_at=getattr(event, "expires_at", None),
    )


def _deposit(event: Any, seen: Occurrence) -> InvoiceSeen | GiftSeen | None:
    """The invoice of a deposit, which may be a gift; then it is shown as that alone."""
    if not event.campaign_id:
        return _invoice(event, seen)
    return _gift(event, seen) if type(event) in _GIFT_STATES else None


_ARRIVALS = (bitcoin.DepositPaid, accounting.Deposited)
"""Whose amount is what arrived."""


_Booked: TypeAlias = accounting.Deposited | accounting.WithdrawalRefunded


def _booked_invoice(event: _Booked, seen: Occurrence) -> InvoiceSeen | None:
    """What accounting did for an invoice. What somebody had it do under an id of his own is no invoice's matter."""
    return _invoice(event, seen) if event.purpose == accounting.Purpose.INVOICE else None


def _invoice(event: Any, seen: Occurrence) -> InvoiceSeen:
    state = _INVOICE_STATES[type(event)]
    return InvoiceSeen(
        invoice_id=getattr(event, state.id_field),
        account_id=event.account_id,
        kind=state.kind,
        amount_sat=event.amount_sat,
        state=state.state,
        rank=state.rank,
        has_ended=state.has_ended,
        reason=getattr(event, "reason", ""),
        state_at=seen.occurred_at,
        requested_at=seen.occurred_at,
        payment_request=getattr(event, "payment_request", None),
        payment_hash=getattr(event, "payment_hash", None),
        expires_at=getattr(event, "expires_at", None),
        received_sat=event.amount_sat if isinstance(event, _ARRIVALS) else None,
        fee_reserve_sat=getattr(event, "fee_reserve_sat", None),
        fee_sat=getattr(event, "fee_sat", None),
        preimage=getattr(event, "preimage", None),
    )


def _activity(event: Event, seen: Occurrence) -> ActivitySeen:
    return ActivitySeen(
        message_id=seen.message_id,
        occurred_at=seen.occurred_at,
        event=event.TYPE.name,
        event_key=event.key,
        account_id=feed_account(event),
        correlation_id=seen.correlation_id,
        causation_id=seen.causation_id,
        data=_fit_to_show(event, seen.data),
    )


def _fit_to_show(event: Event, data: str) -> str:
    if not any(hasattr(event, name) for name in WITHHELD):
        return data
    return json.dumps({name: value for name, value in json.loads(data).items() if name not in WITHHELD})


_Reader: TypeAlias = Callable[[Any, Occurrence], RowSeen | None]

_READERS: Mapping[type[Event], tuple[_Reader, ...]] = {
    auth.AccountRegistered: (_signed_up,),
    accounting.AccountOpened: (_balance,),
    accounting.Deposited: (_balance, _booked_invoice),
    accounting.WithdrawalAccepted: (_balance,),
    accounting.WithdrawalRefunded: (_balance, _booked_invoice),
    accounting.FeeReserveReturned: (_balance,),
    accounting.TransferDebited: (_balance,),
    accounting.TransferSucceeded: (_balance,),
    accounting.TransferRefunded: (_balance,),
    crowdfunding.CampaignCreated: (_campaign,),
    crowdfunding.CampaignGoalReached: (_goal,),
    crowdfunding.DonationRequested: (_donation,),
    crowdfunding.DonationRejected: (_donation,),
    crowdfunding.DonationRejectedV1: (_donation,),
    crowdfunding.DonationRegistered: (_donation, _totals),
    crowdfunding.GiftRequested: (_gift,),
    crowdfunding.GiftRegistered: (_gift, _totals),
    **{event: (_invoice,) for event in _INVOICE_STATES if event.TYPE.context == "bitcoin"},
    **dict.fromkeys(_INVOICES_OF_DEPOSITS, (_deposit,)),
}
