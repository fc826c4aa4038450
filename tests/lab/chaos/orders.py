"""The commands of the load, each with what it must have done to the books in the end, worked out independently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from domain.accounting.messages import Deposit, OpenAccount
from domain.auth.messages import RegisterAccount
from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.crowdfunding.messages import MAX_DESCRIPTION_LENGTH, CreateCampaign, DonateToCampaign
from spark_actors.kernel.messages import Command

LIGHTNING = "@lightning"
IN_TRANSIT = "@in-transit"
FUNDS_SAT = 1_000_000_000
"""What each account is given first, so that nothing is ever refused for want of money."""
GOAL_SAT = 1_000_000
REFUNDED = (Behaviour.FAIL, Behaviour.FAIL_THEN_PAY, Behaviour.UNKNOWN_THEN_FAILED)
ENDING = tuple(each for each in Behaviour if each is not Behaviour.HELD)
"""Nobody releases what is held."""
PASSWORD_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQxMjM0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaDEy"
FAR = timedelta(hours=240)
"""When the invoices of withdrawals expire: farther than any clock jumps. What was perhaps never sent is given back
then, so in the end the daemon's clock is set on by more."""


class Movement(NamedTuple):
    """A row that the ledger must have, by its key."""

    key: str
    debit: str
    credit: str
    amount_sat: int


@dataclass(frozen=True)
class Payment:
    """What the Lightning node must have in its books."""

    payment_hash: str
    is_paid: bool
    """If it was sent: who dies between the permit to send and the call may have sent it or not."""
    refund: Movement
    """If it was not paid."""


@dataclass
class Order:
    """One command, and what came of sending it."""

    message_id: str
    command: Command
    movements: tuple[Movement, ...] = ()
    donation: tuple[str, int] | None = None
    """Campaign and amount."""
    payment: Payment | None = None
    opens: str = ""
    """The account that it opens."""
    fault: int = 0
    """The number of the last fault before it was sent."""
    is_stored: bool = False
    """The broker confirmed it, or it was answered: from then on it must not get lost."""
    is_late: bool = False
    """It was neither confirmed nor answered when the load ended."""
    answers: tuple[str, ...] = ()
    """All that it was answered, different ones only."""


@dataclass(frozen=True)
class Cast:
    """Who takes part."""

    accounts: tuple[str, ...]
    campaigns: tuple[str, ...]

    @classmethod
    def of(cls, prefix: str, accounts: int, campaigns: int) -> Cast:
        return cls(
            tuple(f"{prefix}-account-{n}" for n in range(accounts)),
            tuple(f"{prefix}-campaign-{n}" for n in range(campaigns)),
        )

    @property
    def poor(self) -> str:
        """Has an account and no money: whatever it wants to give or draw is refused."""
        return f"{self.campaigns[0]}-poor"

    @property
    def unowned(self) -> str:
        """A campaign whose owner has no account, so that every gift is given back."""
        return f"{self.campaigns[0]}-unowned"

    def owner_of(self, campaign: str) -> str:
        return f"{campaign}-owner"


class Orders:
    """Makes orders; the same seed makes the same ones."""

    def __init__(self, cast: Cast, random: Random, prefix: str) -> None:
        self._cast, self._random, self._prefix = cast, random, prefix
        self._count = 0
        self._kinds: Mapping[Callable[[str, int], Order], float] = {
            self.deposit: 0.34,
            self.donation: 0.30,
            self.returned_donation: 0.04,
            self.refused_donation: 0.03,
            self.payment_in: 0.10,
            self.payment_out: 0.13,
            self.refused_payment_out: 0.03,
            self.sign_up: 0.03,
        }

    def opening(self) -> Iterator[Order]:
        """Accounts with money, and campaigns."""
        for account in self._cast.accounts:
            yield Order(self._fresh(), OpenAccount(account_id=account))
            yield self.deposit(account, FUNDS_SAT)
        for owner in (*map(self._cast.owner_of, self._cast.campaigns), self._cast.poor):
            yield Order(self._fresh(), OpenAccount(account_id=owner), opens=owner)
        for campaign in (*self._cast.campaigns, self._cast.unowned):
            made = CreateCampaign(
                campaign_id=campaign,
                account_id=self._cast.owner_of(campaign),
                title=campaign,
                description="Water for all",
                goal_sat=GOAL_SAT,
            )
            yield Order(self._fresh(), made)

    def any(self) -> Order:
        """Something of anybody."""
        account, amount = self._random.choice(self._cast.accounts), self._random.randint(1, 1000)
        (make,) = self._random.choices(list(self._kinds), list(self._kinds.values()))
        return make(account, amount)

    def sign_up(self, account: str, amount_sat: int) -> Order:
        """Somebody new."""
        name = self._fresh()
        command = RegisterAccount(account_id=name, username=name, password_hash=PASSWORD_HASH)
        return Order(name, command, opens=name)

    def refused_donation(self, account: str, amount_sat: int) -> Order:
        """From somebody who has nothing."""
        order = self.donation(self._cast.poor, amount_sat)
        return Order(order.message_id, order.command)

    def refused_payment_out(self, account: str, amount_sat: int) -> Order:
        """To somebody who has nothing."""
        order = self.payment_out(self._cast.poor, amount_sat)
        refused = replace(order.payment, is_paid=False) if order.payment else None
        return Order(order.message_id, order.command, payment=refused)

    def returned_donation(self, account: str, amount_sat: int) -> Order:
        """To a campaign whose owner cannot be credited."""
        donation_id = self._fresh()
        command = DonateToCampaign(
            campaign_id=self._cast.unowned, donation_id=donation_id, account_id=account, amount_sat=amount_sat
        )
        key = f"transfer/{donation_id}"
        moved = (
            Movement(f"{key}/debit", account, IN_TRANSIT, amount_sat),
            Movement(f"{key}/refund", IN_TRANSIT, account, amount_sat),
        )
        return Order(donation_id, command, moved)

    def deposit(self, account: str, amount_sat: int) -> Order:
        deposit_id = self._fresh()
        command = Deposit(account_id=account, deposit_id=deposit_id, amount_sat=amount_sat)
        return Order(deposit_id, command, (Movement(f"deposit/{deposit_id}", LIGHTNING, account, amount_sat),))

    def newcomer(self) -> str:
        """An account that nothing else is about."""
        return f"{self._fresh()}-newcomer"

    @property
    def owner_of_large(self) -> str:
        return f"{self._prefix}-large"

    def large_campaign(self) -> Order:
        """One with the longest description there may be."""
        campaign_id = self._fresh()
        command = CreateCampaign(
            campaign_id=campaign_id,
            account_id=self.owner_of_large,
            title=campaign_id,
            description="\N{DROPLET}" * MAX_DESCRIPTION_LENGTH,
            goal_sat=GOAL_SAT,
        )
        return Order(campaign_id, command)

    def donation(self, account: str, amount_sat: int, campaign: str = "") -> Order:
        """To this campaign, or to any."""
        donation_id, campaign = self._fresh(), campaign or self._random.choice(self._cast.campaigns)
        command = DonateToCampaign(
            campaign_id=campaign, donation_id=donation_id, account_id=account, amount_sat=amount_sat
        )
        key = f"transfer/{donation_id}"
        moved = (
            Movement(f"{key}/debit", account, IN_TRANSIT, amount_sat),
            Movement(f"{key}/credit", IN_TRANSIT, self._cast.owner_of(campaign), amount_sat),
        )
        return Order(donation_id, command, moved, donation=(campaign, amount_sat))

    def payment_in(self, account: str, amount_sat: int) -> Order:
        invoice_id = self._fresh()
        command = RequestDeposit(invoice_id=invoice_id, account_id=account, amount_sat=amount_sat)
        return Order(invoice_id, command, (Movement(f"invoice/{invoice_id}", LIGHTNING, account, amount_sat),))

    def payment_out(self, account: str, amount_sat: int) -> Order:
        invoice_id, behaviour = self._fresh(), self._random.choice(ENDING)
        asked = simulated_invoice(amount_sat, datetime.now(UTC) + FAR, nonce=invoice_id, behaviour=behaviour)
        command = RequestWithdrawal(
            invoice_id=invoice_id,
            account_id=account,
            amount_sat=amount_sat,
            payment_request=asked.payment_request,
            payment_hash=asked.payment_hash,
            expires_at=asked.expires_at,
        )
        key, fails = f"withdrawal/{invoice_id}", behaviour in REFUNDED
        debit, refund = (
            Movement(f"{key}/debit", account, LIGHTNING, amount_sat),
            Movement(f"{key}/refund", LIGHTNING, account, amount_sat),
        )
        return Order(invoice_id, command, (debit,), payment=Payment(asked.payment_hash, not fails, refund))

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"
