"""Plays a story against a running daemon, through its public door alone, and writes down what was seen."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from domain.auth.messages import RegisterAccount
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.cli.demo.outsiders import Outsider, SimulatedOutsider
from domain.cli.demo.story import Campaign, Gift, Mischief, OpenGift, Payout, Person, Story
from domain.cli.password import hash_password
from domain.cli.session import log_in
from domain.crowdfunding.messages import CreateCampaign, RequestGift
from domain.dashboard.views import (
    ViewAccountOverview,
    ViewCampaign,
    ViewDonation,
    ViewGift,
    ViewInvoice,
    ViewTimeline,
)
from spark_actors.cli.demo import NOT_THERE, PATIENCE_SECONDS, Expectation, Stage, View, act, told, watch
from spark_actors.ingress.client import SOURCE, Answer, SparkClient, ViewRefusedError
from spark_actors.kernel.messages import Command, Query
from spark_actors.messaging.identity import Role, identity_of

PASSWORD_BYTES = 12


@dataclass
class Performance:
    """What was seen of a story."""

    story: Story
    checks: list[Expectation] = field(default_factory=list)
    accounts: dict[str, View] = field(default_factory=dict)
    """The account overview of each person, by account id."""
    campaigns: dict[str, View] = field(default_factory=dict)
    payouts: dict[str, View] = field(default_factory=dict)
    timeline: list[View] = field(default_factory=list)
    """The events of the story's first donation."""
    commands: int = 0
    """How many were sent."""
    seconds: float = 0.0

    def fees_of(self, person: Person) -> int:
        """What the routes of somebody's withdrawals have cost, as he was told."""
        theirs = (self.payouts.get(payout.invoice_id, {}) for payout in self.story.payouts if payout.person == person)
        return sum(int(view.get("fee_sat") or 0) for view in theirs)

    def balance_of(self, person: Person) -> int:
        """What somebody must hold when the story is over."""
        return self.story.balance_of(person) - self.fees_of(person)

    def check(self, what: str, expected: object, seen: object) -> None:
        self.checks.append(Expectation(what, expected, seen))

    @property
    def failures(self) -> list[Expectation]:
        return [check for check in self.checks if not check.is_met]


class Play:
    """One telling of a story. Nothing that goes otherwise than expected stops it: that becomes an unmet check.

    Everybody signs up with a password, logs in with it, and acts with the token that they get for it. *client* is an
    operator's, who alone may look at everything.
    """

    def __init__(
        self,
        client: SparkClient,
        story: Story,
        stage: Stage,
        *,
        outsider: Outsider | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        hashed: Callable[[str], str] = hash_password,
    ) -> None:
        self._client = client
        self._hashed = hashed
        self._stranger = client.acting_as("")
        self._sessions: dict[str, SparkClient] = {}
        """By account id."""
        self._story = story
        self._stage = stage
        self._outsider = outsider or SimulatedOutsider()
        self._patience_seconds = patience_seconds
        self._seen = Performance(story)

    async def perform(self) -> Performance:
        """Play all acts. Raises ClientError if the daemon goes away."""
        start = time.monotonic()
        await self._act("Signing up", (self._sign_up(person) for person in self._story.people))
        await self._act("Paying in over Lightning", (self._pay_in(p) for p in self._story.people if p.deposit_sat))
        await self._act("Opening campaigns", map(self._open, self._story.campaigns))
        await self._donate()
        await self._act("Giving without an account", map(self._give_openly, self._story.open_gifts))
        await self._act("Withdrawing over Lightning", map(self._withdraw, self._story.payouts))
        await self._look_around()
        self._seen.seconds = time.monotonic() - start
        return self._seen

    async def _act(self, title: str, steps: Iterable[Coroutine[Any, Any, None]]) -> None:
        await act(self._stage, title, steps)

    async def _sign_up(self, person: Person) -> None:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        hashed = await asyncio.to_thread(self._hashed, password)
        command = RegisterAccount(account_id=person.account_id, username=person.username, password_hash=hashed)
        await self._send(f"{person.name} signs up", command, None)
        await self._log_in(person, password)
        query = ViewAccountOverview(account_id=person.account_id)
        account = await self._watch(query, lambda view: view["is_open"], person)
        self._seen.check(f"{person.name}'s account is open", True, account.get("is_open", NOT_THERE))

    async def _log_in(self, person: Person, password: str) -> None:
        try:
            session = await log_in(self._stranger, person.username, password, timeout=self._patience_seconds)
        except ViewRefusedError as refusal:
            self._seen.check(f"{person.name} logs in", person.account_id, refusal.code)
            return
        self._seen.check(f"{person.name} logs in", person.account_id, session.account_id)
        self._sessions[person.account_id] = self._client.acting_as(session.token)

    async def _pay_in(self, person: Person) -> None:
        """Ask for an invoice, have it paid, and wait until the money is there."""
        command = RequestDeposit(
            invoice_id=person.deposit_id, account_id=person.account_id, amount_sat=person.deposit_sat
        )
        await self._send(f"{person.name} asks for an invoice", command, person)
        query = ViewInvoice(invoice_id=person.deposit_id)
        invoice = await self._watch(query, lambda view: bool(view["payment_request"]), person)
        self._seen.check(f"{person.name} gets an invoice", True, bool(invoice.get("payment_request")))
        await self._outsider.pay(invoice.get("payment_request", ""))
        invoice = await self._watch(query, _has_ended, person)
        self._seen.check(f"{person.name}'s deposit", "credited", invoice.get("state", NOT_THERE))

    async def _open(self, campaign: Campaign) -> None:
        command = CreateCampaign(
            campaign_id=campaign.campaign_id,
            account_id=campaign.owner.account_id,
            title=campaign.title,
            description=campaign.description,
            goal_sat=campaign.goal_sat,
        )
        await self._send(f"{campaign.owner.name} opens “{campaign.title}”", command, campaign.owner)

    async def _donate(self) -> None:
        """All gifts and all mischief at once."""
        ended = {gift.donation_id: asyncio.Event() for gift in self._story.gifts}
        gifts = [self._give(gift, ended[gift.donation_id]) for gift in self._story.gifts]
        mischief = [self._misbehave(each, ended.get(each.after)) for each in self._story.mischief]
        await self._act("Donating, all at once", [*gifts, *mischief])

    async def _give(self, gift: Gift, ended: asyncio.Event) -> None:
        """Send the command as often as it is delivered, under one message id, and wait for the saga's end."""
        what = f"{gift.donor.name} gives {gift.amount_sat:,} sat"
        message_id = _message_id(gift)
        deliveries = (self._send(what, gift.command, gift.donor, message_id=message_id) for _ in range(gift.deliveries))
        await asyncio.gather(*deliveries)
        donation = await self._watch(ViewDonation(donation_id=gift.donation_id), _has_ended, gift.donor)
        self._seen.check(f"{what} ({gift.donation_id})", "registered", donation.get("state", NOT_THERE))
        ended.set()

    async def _give_openly(self, gift: OpenGift) -> None:
        """A stranger asks for an invoice, pays it, and has a receipt."""
        what = f"{gift.name or 'Somebody'} gives {gift.amount_sat:,} sat without an account"
        command = RequestGift(
            campaign_id=gift.campaign_id,
            gift_id=gift.gift_id,
            amount_sat=gift.amount_sat,
            name=gift.name,
            message=gift.message,
        )
        await self._send(what, command, None)
        query = ViewGift(gift_id=gift.gift_id)
        asked = await self._watch(query, lambda view: bool(view["payment_request"]))
        await self._outsider.pay(asked.get("payment_request", ""))
        receipt = await self._watch(query, _has_ended)
        self._seen.check(what, "registered", receipt.get("state", NOT_THERE))

    async def _misbehave(self, mischief: Mischief, ready: asyncio.Event | None) -> None:
        if ready is not None:
            await ready.wait()
        what = f"{mischief.who} {mischief.what}"
        answer = await self._answer(mischief.command, mischief.sender)
        if not mischief.ends_later:
            self._seen.check(what, f"{mischief.outcome}: {mischief.reason}", told(answer))
            return
        self._seen.check(f"{what} (at first)", "done", told(answer))
        lines = await self._watch_timeline(
            _story_of(mischief.sender, answer.message_id), "crowdfunding.donation-rejected"
        )
        reasons = [line["data"].get("reason") for line in lines if line["event"] == "crowdfunding.donation-rejected"]
        self._seen.check(what, [mischief.reason], reasons)

    async def _withdraw(self, payout: Payout) -> None:
        what = f"{payout.person.name} {payout.what}"
        command = RequestWithdrawal(
            invoice_id=payout.invoice_id,
            account_id=payout.person.account_id,
            amount_sat=payout.amount_sat,
            payment_request=await self._outsider.invoice(payout, datetime.now(UTC)),
        )
        answer = await self._answer(command, payout.person)
        expected = f"rejected: {payout.reason}" if payout.is_expired else "done"
        self._seen.check(f"{what} (at first)", expected, told(answer))
        if payout.is_expired:  # refused at once: it is told in the answer, and nothing is kept of it
            self._seen.payouts[payout.invoice_id] = {"state": str(answer.outcome), "reason": answer.reason}
            return
        invoice = await self._watch(ViewInvoice(invoice_id=payout.invoice_id), _has_ended, payout.person)
        self._seen.payouts[payout.invoice_id] = invoice
        self._seen.check(what, payout.state, invoice.get("state", NOT_THERE))
        if payout.reason:
            why = self._outsider.no_route if payout.state == "refunded" else payout.reason
            self._seen.check(f"{what}: why", why, invoice.get("reason", NOT_THERE))
        if payout.state == "paid":
            reserve_sat, fee_sat = (invoice.get(name) or 0 for name in ("fee_reserve_sat", "fee_sat"))
            self._seen.check(f"{what}: the fee is within its reserve", True, 0 <= fee_sat <= reserve_sat)
            self._seen.check(f"{what}: there is a proof", True, bool(invoice.get("preimage")))

    async def _look_around(self) -> None:
        """Wait until the views have caught up with all that happened, and compare them with the story."""
        story = self._story
        steps = [
            *(self._look_at_account(person) for person in story.people),
            *(self._look_at_campaign(campaign) for campaign in story.campaigns),
            self._look_back(story.gifts[0]),
        ]
        await self._act("Counting every satoshi", steps)

    async def _look_at_account(self, person: Person) -> None:
        expected = self._seen.balance_of(person)
        query = ViewAccountOverview(account_id=person.account_id, limit=200)
        account = await self._watch(query, lambda view: view["balance_sat"] == expected, person)
        self._seen.accounts[person.account_id] = account
        self._seen.check(f"{person.name}'s balance", expected, account.get("balance_sat", NOT_THERE))

    async def _look_at_campaign(self, campaign: Campaign) -> None:
        raised = self._story.raised_for(campaign)
        is_reached = raised >= campaign.goal_sat
        view = await self._watch(
            ViewCampaign(campaign_id=campaign.campaign_id),
            lambda view: view["campaign"]["raised_sat"] == raised and view["campaign"]["goal_reached"] == is_reached,
        )
        seen = view.get("campaign", {})
        self._seen.campaigns[campaign.campaign_id] = seen
        self._seen.check(f"raised for “{campaign.title}”", raised, seen.get("raised_sat", NOT_THERE))
        self._seen.check(f"goal of “{campaign.title}” reached", is_reached, seen.get("goal_reached", NOT_THERE))

    async def _look_back(self, gift: Gift) -> None:
        lines = await self._watch_timeline(_story_of(gift.donor, _message_id(gift)), "crowdfunding.donation-registered")
        self._seen.timeline = lines
        happened = [line["event"] for line in lines]
        for event in (
            "crowdfunding.donation-requested",
            "accounting.transfer-debited",
            "accounting.transfer-succeeded",
        ):
            self._seen.check(f"the first donation was {gift.deliveries} × sent; {event}", 1, happened.count(event))

    def _session(self, person: Person | None) -> SparkClient:
        """What somebody acts with; who has not logged in, and nobody, acts as a stranger."""
        return self._sessions.get(person.account_id, self._stranger) if person else self._stranger

    async def _send(self, what: str, command: Command, sender: Person | None, *, message_id: str | None = None) -> None:
        self._seen.check(what, "done", told(await self._answer(command, sender, message_id=message_id)))

    async def _answer(self, command: Command, sender: Person | None, *, message_id: str | None = None) -> Answer:
        self._seen.commands += 1
        return await self._session(sender).send(command, message_id=message_id, timeout=self._patience_seconds)

    async def _watch_timeline(self, correlation_id: str, event: str) -> list[View]:
        query = ViewTimeline(correlation_id=correlation_id)
        view = await self._watch(query, lambda view: any(line["event"] == event for line in view["lines"]))
        lines: list[View] = view.get("lines", [])
        return lines

    async def _watch(self, query: Query, happened: Callable[[View], bool], asker: Person | None = None) -> View:
        """As `watch` does it; without an *asker* it is the operator who looks."""
        client = self._session(asker) if asker else self._client
        return await watch(client, query, happened, patience_seconds=self._patience_seconds)


def _story_of(sender: Person | None, message_id: str) -> str:
    """The correlation id of all that a command has brought about."""
    return identity_of(f"{Role.USER} {sender.account_id}" if sender else "nobody", SOURCE, message_id)


def _message_id(gift: Gift) -> str:
    return f"{gift.donation_id}-command"


def _has_ended(view: View) -> bool:
    return view["ended_at"] is not None
