"""The account: what is in it, what came in and went out, deposits and withdrawals over Lightning, receipts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.accounting.messages import GiftCredited, Purpose, TransferSucceeded
from domain.bitcoin.messages import PaymentTerms, ReadPaymentRequest, Reason, RequestDeposit, RequestWithdrawal
from domain.dashboard.views import (
    AccountOverview,
    Activity,
    CampaignDetail,
    CampaignList,
    DonationLine,
    InvoiceDetail,
    ViewAccountOverview,
    ViewActivity,
    ViewCampaign,
    ViewCampaigns,
    ViewDonation,
    ViewInvoice,
)
from domain.web.asking import NEW, PRESETS, UNDER_WAY, again_id, amount_of, node, seen
from domain.web.campaigns import UNPROCESSABLE, minutes_left
from domain.web.sentences import DEPOSITS, DONATIONS, WITHDRAWALS, State, problem_of, sentence
from spark_actors.web.pages import Answer, NothingThereError, Page, Redirect, Visit
from spark_actors.web.rendering import address, segment

LINES = 30
"""Of the activity that an account shows."""
FEED_LINES = 100
TITLES_MOST = 100
"""Campaigns whose titles are looked up for it; the newest."""
ARRIVED = State("arrived", "good")


@dataclass(frozen=True)
class Line:
    """One thing that an account did or got."""

    at: datetime
    words: str
    amount_sat: int
    """With its sign: what came in, or went out."""
    state: State
    path: str
    """Where its story is told."""


async def account(visit: Visit) -> Page:
    """What is in the account, and what happened."""
    account_id = visit.visitor.subject
    found: AccountOverview | None = await seen(
        visit, ViewAccountOverview(account_id=account_id, limit=LINES), "account"
    )
    if found is None:
        return UNDER_WAY
    feed: Activity = await visit.daemon.ask(ViewActivity(account_id=account_id, limit=FEED_LINES))
    newest: CampaignList = await visit.daemon.ask(ViewCampaigns(limit=TITLES_MOST))
    titles = {each.campaign_id: each.title for each in (*newest.campaigns, *found.campaigns)}
    return Page("account.html", {"account": found, "lines": lines_of(found, feed, titles)})


def lines_of(found: AccountOverview, feed: Activity, titles: Mapping[str, str]) -> list[Line]:
    """The activity of an account, the newest first; *titles* of campaigns, by their ids, as far as they are known."""
    lines = [*_own_lines(found, titles), *_gifts_received(feed, found.account_id, titles)]
    return sorted(lines, key=lambda line: line.at, reverse=True)[:LINES]


def _own_lines(found: AccountOverview, titles: Mapping[str, str]) -> Iterator[Line]:
    for donation in found.donations:
        to = titles.get(donation.campaign_id, "a campaign")
        path = f"/donations/{segment(donation.donation_id)}"
        yield Line(donation.requested_at, f"Gift to {to}", -donation.amount_sat, DONATIONS[donation.state], path)
    for deposit in found.deposits:
        path, arrived_sat = f"/deposits/{segment(deposit.invoice_id)}", deposit.received_sat or deposit.amount_sat
        yield Line(deposit.requested_at, "Deposit", arrived_sat, DEPOSITS[deposit.state], path)
    for withdrawal in found.withdrawals:
        path = f"/withdrawals/{segment(withdrawal.invoice_id)}"
        yield Line(withdrawal.requested_at, "Withdrawal", -withdrawal.amount_sat, WITHDRAWALS[withdrawal.state], path)


def _gifts_received(feed: Activity, account_id: str, titles: Mapping[str, str]) -> Iterator[Line]:
    """What others gave to campaigns of this account."""
    for line in feed.lines:
        data = line.data
        if line.event == TransferSucceeded.TYPE.name and data.get("purpose") == Purpose.DONATION:
            campaign_id = str(data.get("reference", ""))
        elif line.event == GiftCredited.TYPE.name:
            campaign_id = str(data.get("campaign_id", ""))
        else:
            continue
        words = f"Gift from somebody to {titles.get(campaign_id, 'your campaign')}"
        yield Line(line.at, words, int(data["amount_sat"]), ARRIVED, f"/campaigns/{segment(campaign_id)}")


async def deposit_form(visit: Visit) -> Page:
    """The form for a deposit."""
    return await _deposit_form(visit, visit.query.get("amount", ""))


async def request_deposit(visit: Visit) -> Answer:
    """Ask for an invoice to pay into the account."""
    amount_sat = amount_of(visit.form.get("amount", ""))
    if amount_sat is None:
        return await _deposit_form(visit, visit.form.get("amount", ""), sentence(Reason.INVALID_AMOUNT))
    command = RequestDeposit(
        invoice_id=f"deposit-{visit.message_id}", account_id=visit.visitor.subject, amount_sat=amount_sat
    )
    if problem := problem_of(await visit.daemon.send(command, visit.message_id)):
        return await _deposit_form(visit, visit.form.get("amount", ""), problem)
    return Redirect(address(f"/deposits/{command.invoice_id}", {NEW: 1}))


async def deposit(visit: Visit) -> Page:
    """An invoice to be paid, and then what became of it."""
    found = await _invoice(visit, "deposit")
    if found is None:
        return UNDER_WAY
    values = {
        "deposit": found,
        "state": DEPOSITS[found.state],
        "why": sentence(found.reason) if found.reason else "",
        "minutes_left": minutes_left(found.expires_at, visit.now),
        "again_id": again_id(found.invoice_id),
        "node": await node(visit),
    }
    is_final = found.state in ("credited", "failed")
    return Page("deposit.html", values, is_final=is_final, is_awaited=found.state in ("requested", "issued", "paid"))


async def withdraw_form(visit: Visit) -> Page:
    """The form for an invoice that is to be paid."""
    return await _withdraw_form(visit, "")


async def withdraw(visit: Visit) -> Answer:
    """Show what an invoice would cost, or have it paid."""
    return await (_request_withdrawal(visit) if visit.form.get("step") == "confirm" else _review(visit))


async def _review(visit: Visit) -> Page:
    text = visit.form.get("invoice", "").strip()
    terms: PaymentTerms = await visit.daemon.ask(
        ReadPaymentRequest(account_id=visit.visitor.subject, payment_request=text)
    )
    if terms.objection:
        return await _withdraw_form(visit, text, sentence(terms.objection))
    balance_sat = await _balance(visit)
    total_sat = terms.amount_sat + terms.fee_reserve_sat
    values = {
        "terms": terms,
        "invoice": text,
        "total_sat": total_sat,
        "balance_sat": balance_sat,
        "missing_sat": max(0, total_sat - balance_sat),
    }
    return Page("withdraw_review.html", values)


async def _request_withdrawal(visit: Visit) -> Answer:
    text = visit.form.get("invoice", "")
    command = RequestWithdrawal(
        invoice_id=f"withdrawal-{visit.message_id}",
        account_id=visit.visitor.subject,
        payment_request=text,
        amount_sat=amount_of(visit.form.get("amount", "")),
    )
    if problem := problem_of(await visit.daemon.send(command, visit.message_id)):
        return await _withdraw_form(visit, text, problem)
    return Redirect(address(f"/withdrawals/{command.invoice_id}", {NEW: 1}))


async def withdrawal(visit: Visit) -> Page:
    """What became of a withdrawal."""
    found = await _invoice(visit, "withdrawal")
    if found is None:
        return UNDER_WAY
    values = {
        "withdrawal": found,
        "state": WITHDRAWALS[found.state],
        "why": sentence(found.reason) if found.reason else "",
    }
    has_ended = found.ended_at is not None
    return Page("withdrawal.html", values, is_final=has_ended, is_awaited=not has_ended)


async def donation(visit: Visit) -> Page:
    """What became of a gift from the account."""
    query = ViewDonation(donation_id=visit.path["donation_id"])
    found: DonationLine | None = await seen(visit, query, "gift")
    if found is None:
        return UNDER_WAY
    to: CampaignDetail | None = await visit.daemon.ask(ViewCampaign(campaign_id=found.campaign_id, limit=1))
    values = {
        "donation": found,
        "title": to.campaign.title if to else "a campaign",
        "state": DONATIONS[found.state],
        "why": sentence(found.reason) if found.reason else "",
    }
    has_ended = found.ended_at is not None
    return Page("donation.html", values, is_final=has_ended, is_awaited=not has_ended)


async def _invoice(visit: Visit, kind: str) -> InvoiceDetail | None:
    """Raises NothingThereError."""
    found: InvoiceDetail | None = await seen(visit, ViewInvoice(invoice_id=visit.path["invoice_id"]), kind)
    if found is not None and found.kind != kind:
        raise NothingThereError(kind)
    return found


async def _deposit_form(visit: Visit, amount: str, problem: str = "") -> Page:
    values: dict[str, Any] = {
        "amount": amount,
        "chosen": amount_of(amount),
        "presets": PRESETS,
        "problem_text": problem,
        "node": await node(visit),
    }
    return Page("deposit_form.html", values, status=UNPROCESSABLE if problem else 200)


async def _withdraw_form(visit: Visit, invoice: str, problem: str = "") -> Page:
    values = {
        "invoice": invoice,
        "problem_text": problem,
        "balance_sat": await _balance(visit),
        "node": await node(visit),
    }
    return Page("withdraw.html", values, status=UNPROCESSABLE if problem else 200)


async def _balance(visit: Visit) -> int:
    found: AccountOverview | None = await visit.daemon.ask(
        ViewAccountOverview(account_id=visit.visitor.subject, limit=1)
    )
    return found.balance_sat if found else 0
