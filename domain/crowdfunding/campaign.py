"""The Campaign aggregate: what it asks for and what it has raised. Donations are rows of their own, no list in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.crowdfunding.messages import (
    MAX_DESCRIPTION_LENGTH,
    MAX_GIFT_ID_LENGTH,
    MAX_MESSAGE_LENGTH,
    MAX_NAME_LENGTH,
    CampaignCreated,
    CampaignGoalReached,
    CreateCampaign,
    DonateToCampaign,
    DonationRegistered,
    DonationRejected,
    DonationRequested,
    GiftRegistered,
    GiftRequested,
    Reason,
    RegisterDonation,
    RegisterGift,
    RejectDonation,
    RequestGift,
)
from domain.shared.accounts import is_account_id
from domain.shared.money import SUPPLY_SAT, Satoshis
from spark_actors.kernel.aggregates import Aggregate
from spark_actors.kernel.decisions import Decision, done, rejected
from spark_actors.kernel.errors import BrokenRuleError
from spark_actors.kernel.ids import is_id, is_key

MAX_TITLE_LENGTH = 200  # characters


@dataclass(frozen=True)
class Campaign(Aggregate):
    """A campaign and its totals, in satoshis. Raises BrokenRuleError for a goal or totals that cannot be."""

    campaign_id: str
    account_id: str
    """The owner, who gets the donations."""
    title: str
    description: str
    goal_sat: int
    created_at: datetime
    raised_sat: int = 0
    donations: int = 0
    """How many were registered, gifts of people without an account among them."""
    goal_reached: bool = False
    """Once true it stays so."""

    def __post_init__(self) -> None:
        if not Satoshis.are(self.goal_sat):
            raise BrokenRuleError("campaigns_goal_is_satoshis", self.goal_sat, f"1 to {SUPPLY_SAT}")
        if not 0 <= self.donations <= self.raised_sat or (self.donations == 0) != (self.raised_sat == 0):
            expected = "a satoshi or more from each donation"
            raise BrokenRuleError("campaigns_each_donation_raises", (self.raised_sat, self.donations), expected)
        if self.goal_reached != (self.raised_sat >= self.goal_sat):
            raise BrokenRuleError("campaigns_goal_reached_by_raising", self.goal_reached, "whether it has raised it")

    @classmethod
    def create(cls, command: CreateCampaign, now: datetime) -> Decision[Campaign]:
        """Open a campaign for donations."""
        if objection := _campaign_objection(command):
            return rejected(objection)
        created = cls(
            campaign_id=command.campaign_id,
            account_id=command.account_id,
            title=command.title,
            description=command.description,
            goal_sat=command.goal_sat,
            created_at=now,
        )
        event = CampaignCreated(
            campaign_id=created.campaign_id,
            account_id=created.account_id,
            title=created.title,
            description=created.description,
            goal_sat=created.goal_sat,
        )
        return done(created, event)

    def created_again(self, command: CreateCampaign, now: datetime) -> Decision[Campaign]:
        """The same request once more changes nothing; another one under its id is refused."""
        asked = (command.account_id, command.title, command.description, command.goal_sat)
        is_repeat = asked == (self.account_id, self.title, self.description, self.goal_sat)
        return done(None) if is_repeat else rejected(Reason.DUPLICATE_CAMPAIGN)

    def donate(self, command: DonateToCampaign, now: datetime) -> Decision[Campaign]:
        """Begin a donation. The campaign itself does not change before the money has moved.

        The store refuses an id that was requested before.
        """
        if objection := _donation_objection(command):
            return rejected(objection)
        if command.account_id == self.account_id:
            return rejected(Reason.OWN_CAMPAIGN)
        amount = Satoshis(command.amount_sat)
        request = DonationRequest(command.donation_id, self.campaign_id, command.account_id, amount, now)
        event = DonationRequested(
            campaign_id=self.campaign_id,
            donation_id=command.donation_id,
            account_id=command.account_id,
            owner_account_id=self.account_id,
            amount_sat=command.amount_sat,
        )
        return done(None, event, records=(request,))

    def register_donation(self, command: RegisterDonation, now: datetime) -> Decision[Campaign]:
        """Count a donation whose money has moved.

        The store refuses one that was counted before, or not requested so.
        """
        if objection := _donation_objection(command):
            return rejected(objection)
        amount = Satoshis(command.amount_sat)
        after = self.donated(amount)
        donation = Donation(command.donation_id, self.campaign_id, command.account_id, amount, now)
        registered = DonationRegistered(
            campaign_id=self.campaign_id,
            donation_id=command.donation_id,
            account_id=command.account_id,
            amount_sat=command.amount_sat,
            raised_sat=after.raised_sat,
            donations=after.donations,
        )
        return done(after, registered, *self._goal_reached_by(after), records=(donation,))

    def reject_donation(self, command: RejectDonation, now: datetime) -> Decision[Campaign]:
        """End a donation whose money did not move."""
        if objection := _donation_objection(command):
            return rejected(objection)
        event = DonationRejected(
            campaign_id=self.campaign_id,
            donation_id=command.donation_id,
            account_id=command.account_id,
            amount_sat=command.amount_sat,
            reason=command.reason,
        )
        return done(None, event)

    def request_gift(self, command: RequestGift, now: datetime) -> Decision[Campaign]:
        """Begin a gift of somebody without an account. The campaign itself does not change before it is paid.

        The store refuses an id that was requested before.
        """
        if objection := _gift_objection(command):
            return rejected(objection)
        request = GiftRequest(command.gift_id, self.campaign_id, Satoshis(command.amount_sat), now)
        event = GiftRequested(
            campaign_id=self.campaign_id,
            gift_id=command.gift_id,
            owner_account_id=self.account_id,
            amount_sat=command.amount_sat,
            name=command.name,
            message=command.message,
        )
        return done(None, event, records=(request,))

    def register_gift(self, command: RegisterGift, now: datetime) -> Decision[Campaign]:
        """Count a gift that was paid. The store refuses one that was counted before, or not requested here."""
        if not is_key(command.gift_id):
            return rejected(Reason.INVALID_ID)
        if not Satoshis.are(command.amount_sat):
            return rejected(Reason.INVALID_AMOUNT)
        amount = Satoshis(command.amount_sat)
        after = self.donated(amount)
        registered = GiftRegistered(
            campaign_id=self.campaign_id,
            gift_id=command.gift_id,
            amount_sat=command.amount_sat,
            raised_sat=after.raised_sat,
            donations=after.donations,
        )
        gift = Gift(command.gift_id, self.campaign_id, amount, now)
        return done(after, registered, *self._goal_reached_by(after), records=(gift,))

    def donated(self, amount: Satoshis) -> Campaign:
        """The campaign once it was given so much more."""
        raised_sat = self.raised_sat + amount
        return replace(
            self,
            raised_sat=raised_sat,
            donations=self.donations + 1,
            goal_reached=self.goal_reached or raised_sat >= self.goal_sat,
        )

    def _goal_reached_by(self, after: Campaign) -> Sequence[CampaignGoalReached]:
        """What is to be told if the goal is reached *after* what has just been given, and was not before."""
        if self.goal_reached or not after.goal_reached:
            return ()
        event = CampaignGoalReached(
            campaign_id=self.campaign_id,
            account_id=self.account_id,
            goal_sat=self.goal_sat,
            raised_sat=after.raised_sat,
        )
        return (event,)


@dataclass(frozen=True)
class DonationRequest:
    """A donation that a campaign has accepted. Its id is requested once, for ever, by whomever."""

    donation_id: str
    campaign_id: str
    account_id: str
    """The donor."""
    amount_sat: Satoshis
    requested_at: datetime

    def __post_init__(self) -> None:
        if not Satoshis.are(self.amount_sat):
            raise BrokenRuleError("donation_requests_amount_is_satoshis", self.amount_sat, f"1 to {SUPPLY_SAT}")


@dataclass(frozen=True)
class Donation:
    """A donation whose money has arrived, just as it was requested. It is registered once, for ever."""

    donation_id: str
    campaign_id: str
    account_id: str
    """The donor."""
    amount_sat: Satoshis
    registered_at: datetime

    def __post_init__(self) -> None:
        if not Satoshis.are(self.amount_sat):
            raise BrokenRuleError("donations_amount_is_satoshis", self.amount_sat, f"1 to {SUPPLY_SAT}")


@dataclass(frozen=True)
class GiftRequest:
    """A gift that a campaign has accepted. Its id is requested once, for ever, by whomever."""

    gift_id: str
    campaign_id: str
    amount_sat: Satoshis
    """What was asked for."""
    requested_at: datetime


@dataclass(frozen=True)
class Gift:
    """A gift that was paid, to the campaign that was asked for it. It is registered once, for ever."""

    gift_id: str
    campaign_id: str
    amount_sat: Satoshis
    """What arrived."""
    registered_at: datetime


def _donation_objection(command: DonateToCampaign | RegisterDonation | RejectDonation) -> Reason | None:
    may_be_id = is_id if isinstance(command, DonateToCampaign) else is_key
    if not may_be_id(command.donation_id):
        return Reason.INVALID_ID
    return None if Satoshis.are(command.amount_sat) else Reason.INVALID_AMOUNT


def _gift_objection(command: RequestGift) -> Reason | None:
    if not is_id(command.gift_id) or len(command.gift_id) > MAX_GIFT_ID_LENGTH:
        return Reason.INVALID_ID
    if not Satoshis.are(command.amount_sat):
        return Reason.INVALID_AMOUNT
    if not command.name.isprintable() or len(command.name) > MAX_NAME_LENGTH:
        return Reason.INVALID_NAME
    is_short = len(command.message) <= MAX_MESSAGE_LENGTH
    return None if command.message.isprintable() and is_short else Reason.INVALID_MESSAGE


def _campaign_objection(command: CreateCampaign) -> Reason | None:
    if not is_id(command.campaign_id):
        return Reason.INVALID_ID
    if not is_account_id(command.account_id):
        return Reason.INVALID_ACCOUNT_ID
    title, description = command.title, command.description
    if not title.strip() or not title.isprintable() or len(title) > MAX_TITLE_LENGTH:
        return Reason.INVALID_TITLE
    if "\0" in description or len(description) > MAX_DESCRIPTION_LENGTH:  # Postgres stores no NUL
        return Reason.INVALID_DESCRIPTION
    return None if Satoshis.are(command.goal_sat) else Reason.INVALID_AMOUNT
