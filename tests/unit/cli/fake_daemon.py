"""A daemon in memory that does what the demo's story expects, so that the play itself can be tested."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

from domain.auth.messages import LogIn
from domain.cli.demo.story import Story
from domain.dashboard.views import (
    ViewAccountOverview,
    ViewCampaign,
    ViewDonation,
    ViewGift,
    ViewInvoice,
    ViewTimeline,
)
from spark_actors.ingress.client import Answer, ViewRefusedError
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command, Query

AT = "2026-01-01T00:00:00+00:00"


class FakeDaemon:
    """Answers as the story wants it. *lies* replaces what a view says of an account's balance; *fee_sat* is what each
    payment has cost its payer."""

    def __init__(self, story: Story, *, lies: dict[str, int] | None = None, fee_sat: int = 1) -> None:
        self._story = story
        self._fee_sat = fee_sat
        self._lies = lies or {}
        self._mischief = {id(each.command): each for each in story.mischief}
        self._later: dict[str, str] = {}
        self._known: set[str] = set()
        self.delivered: Counter[str] = Counter()

    def acting_as(self, identity: str) -> Self:
        return self

    async def send(self, command: Command, *, message_id: str | None = None, timeout: float = 0) -> Answer:
        message_id = message_id or f"message-{len(self._known)}"
        self.delivered[message_id] += 1
        self._known |= {command.key, getattr(command, "donation_id", command.key)}
        mischief = next((each for each in self._story.mischief if each.command == command), None)
        if mischief is not None and not mischief.ends_later:
            return Answer(message_id, mischief.outcome, mischief.reason)
        if mischief is not None:
            self._later[message_id] = mischief.reason
        payout = next((each for each in self._story.payouts if each.invoice_id == command.key), None)
        if payout is not None and payout.is_expired:
            return Answer(message_id, Verdict.REJECTED, payout.reason)
        return Answer(message_id, Verdict.DONE)

    async def view(self, query: Query, *, timeout: float = 0) -> dict[str, Any]:
        match query:
            case LogIn():
                person = next(person for person in self._story.people if person.username == query.username)
                return {"account_id": person.account_id, "token": "t", "expires_at": AT}
            case ViewAccountOverview():
                return self._account(query.account_id)
            case ViewCampaign():
                return self._campaign(query.campaign_id)
            case ViewDonation():
                return {"state": "registered", "ended_at": AT}
            case ViewGift():
                return {"state": "registered", "payment_request": "ln1", "ended_at": AT}
            case ViewInvoice():
                return self._invoice(query.invoice_id)
            case ViewTimeline():
                return self._timeline(query.correlation_id)
        raise ViewRefusedError(query.TYPE.name, "not_found", "no such view")

    def _account(self, account_id: str) -> dict[str, Any]:
        person = next(person for person in self._story.people if person.account_id == account_id)
        payments = [each for each in self._story.payouts if each.person == person and each.state == "paid"]
        balance = self._lies.get(person.name, self._story.balance_of(person) - len(payments) * self._fee_sat)
        return {"is_open": True, "balance_sat": balance}

    def _campaign(self, campaign_id: str) -> dict[str, Any]:
        campaign = next(each for each in self._story.campaigns if each.campaign_id == campaign_id)
        raised = self._story.raised_for(campaign)
        return {
            "campaign": {"raised_sat": raised, "donations": 1, "goal_reached": raised >= campaign.goal_sat},
        }

    def _invoice(self, invoice_id: str) -> dict[str, Any]:
        payout = next((each for each in self._story.payouts if each.invoice_id == invoice_id), None)
        state, reason = (payout.state, payout.reason) if payout else ("credited", "")
        view = {"state": state, "reason": reason, "payment_request": "ln1", "ended_at": AT}
        return (
            {**view, "fee_reserve_sat": 2, "fee_sat": self._fee_sat, "preimage": "proof"} if state == "paid" else view
        )

    def _timeline(self, correlation_id: str) -> dict[str, Any]:
        message_id = correlation_id.rpartition(" ")[2]  # of what began the story
        if message_id in self._later:
            return {"lines": [_line("crowdfunding.donation-rejected", reason=self._later[message_id])]}
        events = (
            "crowdfunding.donation-requested",
            "accounting.transfer-debited",
            "accounting.transfer-succeeded",
            "crowdfunding.donation-registered",
        )
        return {"lines": [_line(event, amount_sat=5) for event in events]}


def _line(event: str, **data: object) -> dict[str, Any]:
    return {"at": AT, "event": event, "key": "k", "data": data}
