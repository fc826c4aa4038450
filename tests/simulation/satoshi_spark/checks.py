"""What must be true of the money when a run is over: the history and the tables held against a simple model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from domain.accounting.account import IN_TRANSIT, ROUTING, Account, Movement
from domain.accounting.messages import (
    Deposited,
    Purpose,
    TransferSucceeded,
    WithdrawalAccepted,
    WithdrawalRefunded,
)
from domain.bitcoin.adapters.simulated import SimulatedBooks
from domain.bitcoin.invoice import Invoice, InvoiceKind, InvoiceState
from domain.bitcoin.ports import PaymentStatus
from domain.crowdfunding.campaign import Campaign, Donation, Gift
from domain.crowdfunding.messages import gift_of_invoice
from domain.dashboard.rows import AccountSeen, ActivitySeen, CampaignSeen, DonationSeen, GiftSeen, InvoiceSeen
from spark_actors.kernel.messages import Event
from spark_actors.messaging.envelope import decode_data
from tests.fixtures.application import REGISTRY, WRITING
from tests.simulation.history import History
from tests.simulation.satoshi_spark.ledger_model import LedgerModel
from tests.simulation.wiring import Deployment


def verdict(deployment: Deployment, history: History, node: SimulatedBooks) -> Iterator[str]:
    """Everything that is wrong with the money, and with what is shown of it, in words."""
    tables, booked = Tables(deployment), Booked(history)
    yield from _model_agrees(tables, history)
    yield from _double_entry(tables)
    yield from _invoices(tables, booked)
    yield from _fees(tables)
    yield from _node_agrees(tables, booked, node)
    yield from _donations(tables, booked)
    yield from _gifts(tables, booked)
    yield from _read_models(deployment, tables, history)


class Tables:
    """What is stored at the end, by type."""

    def __init__(self, deployment: Deployment) -> None:
        schemas = [deployment.schema(name) for name in WRITING]
        states = [held.state for schema in schemas for held in schema.instances.values()]
        self.accounts = {it.account_id: it for it in states if isinstance(it, Account)}
        self.campaigns = {it.campaign_id: it for it in states if isinstance(it, Campaign)}
        self.invoices = {it.invoice_id: it for it in states if isinstance(it, Invoice)}
        records = [record for schema in schemas for record in schema.records]
        self.movements = [it for it in records if isinstance(it, Movement)]
        self.donations = [it for it in records if isinstance(it, Donation)]
        self.gifts = [it for it in records if isinstance(it, Gift)]


def _model_agrees(tables: Tables, history: History) -> Iterator[str]:
    """Each answer of accounting follows from those before it, in the order of commits, and so does each balance."""
    model = LedgerModel()
    for commit in history.commits:
        for envelope, outcome in commit.marks if commit.context == "accounting" else ():
            command: Any = decode_data(REGISTRY, envelope)
            expected = model.answer(command)
            if expected != outcome.reason:
                yield f"{envelope.name} of {envelope.key}: {expected or 'done'} expected, {outcome}"
    balances = {account_id: account.balance_sat for account_id, account in tables.accounts.items()}
    expected_balances = {key: sat for key, sat in model.balances.items() if not key.startswith("@")}
    if +Counter(balances) != +Counter(expected_balances):
        yield f"balances are {balances}, the model says {expected_balances}"
    movements = Counter((it.debit_account, it.credit_account, int(it.amount_sat)) for it in tables.movements)
    if movements != model.movements:
        yield f"movements differ from the model's: {movements - model.movements}, {model.movements - movements}"


def _double_entry(tables: Tables) -> Iterator[str]:
    """Every balance is the sum of its entries and never below zero, and nothing is left between two accounts."""
    sums: Counter[str] = Counter()
    for movement in tables.movements:
        sums[movement.debit_account] -= movement.amount_sat
        sums[movement.credit_account] += movement.amount_sat
    for account_id in sorted({*tables.accounts, *(key for key in sums if not key.startswith("@"))}):
        account = tables.accounts.get(account_id)
        balance = account.balance_sat if account else 0
        if balance != sums[account_id]:
            yield f"{account_id} holds {balance}, its entries sum up to {sums[account_id]}"
        if balance < 0:
            yield f"{account_id} is below zero"
    if sums[IN_TRANSIT]:
        yield f"{sums[IN_TRANSIT]} sat are in transit for good"
    repeated = [key for key, count in Counter(it.idempotency_key for it in tables.movements).items() if count > 1]
    yield from (f"{key} moved money twice" for key in repeated)


_FINAL = (InvoiceState.PAID, InvoiceState.EXPIRED, InvoiceState.REJECTED, InvoiceState.FAILED)


class Booked:
    """What accounting says of the money of invoices and donations, by their ids: account and satoshis of each."""

    def __init__(self, history: History) -> None:
        self.found: dict[tuple[type[Event], str], list[tuple[str, int]]] = defaultdict(list)
        for envelope in (event for commit in history.commits for event in commit.events):
            event: Any = decode_data(REGISTRY, envelope)
            field = _BOOKED.get(type(event))
            if field and event.purpose in (Purpose.INVOICE, Purpose.GIFT, Purpose.DONATION):
                self.found[type(event), getattr(event, field)].append((_owner(event), event.amount_sat))

    def of(self, kind: type[Event], thing_id: str) -> list[tuple[str, int]]:
        return self.found.get((kind, thing_id), [])


_BOOKED: Mapping[type[Event], str] = {
    Deposited: "deposit_id",
    WithdrawalAccepted: "withdrawal_id",
    WithdrawalRefunded: "withdrawal_id",
    TransferSucceeded: "transfer_id",
}


def _owner(event: Any) -> str:
    """Whose money it is, or was."""
    owner: str = event.from_account_id if isinstance(event, TransferSucceeded) else event.account_id
    return owner


def _invoices(tables: Tables, booked: Booked) -> Iterator[str]:
    """What was paid in is credited, what was paid out is debited, what failed is refunded: each once, each exactly."""
    for it in tables.invoices.values():
        whole = [(it.account_id, it.amount_sat)]
        if it.state not in _FINAL:
            yield f"{it.kind} {it.invoice_id} is {it.state} for good"
        found = [booked.of(kind, it.invoice_id) for kind in (Deposited, WithdrawalAccepted, WithdrawalRefunded)]
        is_paid, has_failed = it.state == InvoiceState.PAID, it.state == InvoiceState.FAILED
        if it.kind == InvoiceKind.DEPOSIT:
            expected = [[(it.account_id, it.received_sat or 0)] if is_paid else [], [], []]
        else:
            expected = [[], whole if is_paid or has_failed else [], whole if has_failed else []]
        if found != expected:
            yield f"{it.kind} {it.invoice_id} is {it.state}, credit, debit and refund are {found}"


def _fees(tables: Tables) -> Iterator[str]:
    """What is left with the system for routes is what they have cost: each reserve has come back but for that."""
    held = sum(
        int(it.amount_sat) * ((it.credit_account == ROUTING) - (it.debit_account == ROUTING)) for it in tables.movements
    )
    fees = sum(it.fee_sat or 0 for it in tables.invoices.values())
    if held != fees:
        yield f"{held} sat are held for routes, the withdrawals that were paid have cost {fees}"


def _node_agrees(tables: Tables, booked: Booked, node: SimulatedBooks) -> Iterator[str]:
    """The node has taken in and paid out what the books say: nothing twice, nothing for nothing, no refund besides."""
    withdrawals = [it for it in tables.invoices.values() if it.kind == InvoiceKind.WITHDRAWAL]
    for payment in node.payments:
        states = Counter(it.state for it in withdrawals if it.payment_hash == payment.payment_hash)
        is_paid = payment.status is PaymentStatus.PAID
        if states[InvoiceState.PAID] != int(is_paid) or (not is_paid and not states[InvoiceState.FAILED]):
            yield f"the node says {payment.status} of withdrawals that are {dict(states)}: {payment}"
    paid = sum(it.amount_sat for it in withdrawals if it.state == InvoiceState.PAID)
    if paid != node.paid_sat:
        yield f"the node paid {node.paid_sat} sat, the withdrawals that are paid come to {paid}"
    fees = sum(it.fee_sat or 0 for it in withdrawals)
    if fees != node.fees_sat:
        yield f"the node paid {node.fees_sat} sat for routes, {fees} were charged"
    deposits = [it for it in tables.invoices.values() if it.kind == InvoiceKind.DEPOSIT]
    credited = sum(sat for it in deposits for _, sat in booked.of(Deposited, it.invoice_id))
    if credited != node.received_sat:
        yield f"the node received {node.received_sat} sat, {credited} were credited"


def _donations(tables: Tables, booked: Booked) -> Iterator[str]:
    """Each donation that moved money is registered, each registered one moved it, and totals are their sum."""
    raised: Counter[str] = Counter()
    given: tuple[Donation | Gift, ...] = (*tables.donations, *tables.gifts)
    for it in given:
        raised[it.campaign_id] += it.amount_sat
    registered = Counter((it.donation_id, it.account_id, int(it.amount_sat)) for it in tables.donations)
    paid = Counter(
        (donation_id, account_id, amount_sat)
        for (kind, donation_id), credits in booked.found.items()
        for account_id, amount_sat in credits
        if kind is TransferSucceeded
    )
    yield from (f"donation {' of '.join(name[:2])} is registered and not paid" for name in registered - paid)
    yield from (f"donation {' of '.join(name[:2])} was paid and is not registered" for name in paid - registered)
    for campaign in tables.campaigns.values():
        if campaign.raised_sat != raised[campaign.campaign_id]:
            yield f"{campaign.campaign_id} says {campaign.raised_sat}, its donations are {raised[campaign.campaign_id]}"


def _gifts(tables: Tables, booked: Booked) -> Iterator[str]:
    """Each gift that was paid is its campaign's, whose owner was credited with it, and each registered one was paid."""
    registered = Counter((it.gift_id, it.campaign_id, int(it.amount_sat)) for it in tables.gifts)
    paid = Counter(
        (gift_of_invoice(it.invoice_id), it.campaign_id, sat)
        for it in tables.invoices.values()
        if it.campaign_id
        for owner, sat in booked.of(Deposited, it.invoice_id)
        if owner == tables.campaigns[it.campaign_id].account_id
    )
    yield from (f"gift {name} is registered and not paid to the owner" for name in registered - paid)
    yield from (f"gift {name} was paid and is not registered" for name in paid - registered)


_INVOICE_SHOWN: Mapping[tuple[InvoiceKind, InvoiceState], str] = {
    (InvoiceKind.DEPOSIT, InvoiceState.PAID): "credited",
    (InvoiceKind.DEPOSIT, InvoiceState.EXPIRED): "expired",
    (InvoiceKind.DEPOSIT, InvoiceState.FAILED): "failed",
    (InvoiceKind.WITHDRAWAL, InvoiceState.PAID): "paid",
    (InvoiceKind.WITHDRAWAL, InvoiceState.REJECTED): "rejected",
    (InvoiceKind.WITHDRAWAL, InvoiceState.FAILED): "refunded",
}


def _read_models(deployment: Deployment, tables: Tables, history: History) -> Iterator[str]:
    """What views show is what the books say."""
    rows = deployment.projection.rows
    for account in tables.accounts.values():
        shown = rows.get((AccountSeen, account.account_id))
        if shown is None or (shown.balance_sat, shown.is_open) != (account.balance_sat, account.is_open):
            yield f"the dashboard shows {shown} for {account}"
    for campaign in tables.campaigns.values():
        shown = rows.get((CampaignSeen, campaign.campaign_id))
        if shown is None or (shown.raised_sat, shown.donations) != (campaign.raised_sat, campaign.donations):
            yield f"the dashboard shows {shown} for {campaign}"
    for donation in tables.donations:
        shown = rows.get((DonationSeen, donation.donation_id))
        if shown is None or shown.state != "registered":
            yield f"the dashboard shows {shown} for {donation}"
    for gift in tables.gifts:
        shown = rows.get((GiftSeen, gift.gift_id))
        if shown is None or (shown.state, shown.amount_sat) != ("registered", gift.amount_sat):
            yield f"the dashboard shows {shown} for {gift}"
    for invoice in (it for it in tables.invoices.values() if it.campaign_id is None):
        shown = rows.get((InvoiceSeen, invoice.invoice_id))
        if shown is None or shown.state != _INVOICE_SHOWN.get((invoice.kind, invoice.state)):
            yield f"the dashboard shows {shown} for {invoice}"
    happened = {event.message_id for commit in history.commits for event in commit.events}
    shown_events = {key for kind, key in rows if kind is ActivitySeen}
    if happened != shown_events:
        yield f"{len(happened ^ shown_events)} events are not in the feed, or were never committed"
