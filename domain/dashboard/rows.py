"""What events tell about the rows of the read models, and how such pieces of knowledge merge.

A row seen is partial and absolute: it says what is known after one event, never what is to be added. Two of the same
key merge into one, whatever is newer, higher or known winning over what is older, lower or unknown; to merge again
changes nothing, and neither does the order across aggregates. The store merges by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias


class AccountSeen(NamedTuple):
    """An account; it may be credited before anybody has signed up under its id."""

    account_id: str
    username: str | None = None
    """None until the sign-up is seen."""
    is_open: bool = False
    balance_sat: int = 0
    sequence: int = 0
    """Version of the account that the balance is of; 0: no balance seen."""

    @property
    def key(self) -> str:
        return self.account_id

    def merged(self, other: AccountSeen) -> AccountSeen:
        latest = other if other.sequence > self.sequence else self
        return latest._replace(username=self.username or other.username, is_open=self.is_open or other.is_open)


class CampaignSeen(NamedTuple):
    """A campaign; what it is comes with its creation, how it does with each donation."""

    campaign_id: str
    account_id: str | None = None
    """The owner. It, the title, the description, the goal and the time of creation are None until that is seen."""
    title: str | None = None
    description: str | None = None
    goal_sat: int | None = None
    created_at: datetime | None = None
    goal_reached: bool = False
    raised_sat: int = 0
    donations: int = 0
    sequence: int = 0
    """Version of the campaign that the totals are of; 0: no totals seen."""

    @property
    def key(self) -> str:
        return self.campaign_id

    def merged(self, other: CampaignSeen) -> CampaignSeen:
        totals = other if other.sequence > self.sequence else self
        created = other if self.created_at is None else self
        return created._replace(
            goal_reached=self.goal_reached or other.goal_reached,
            raised_sat=totals.raised_sat,
            donations=totals.donations,
            sequence=totals.sequence,
        )


class Standing(Protocol):
    """A row whose state only rises."""

    @property
    def rank(self) -> int: ...
    @property
    def state_at(self) -> datetime: ...


def outranks(one: Standing, other: Standing) -> bool:
    """Whether *one* takes the place of *other*: the higher rank wins, the earlier among equals.

    Of two in the same instant the one that is there stays.
    """
    return (one.rank, other.state_at) > (other.rank, one.state_at)


class DonationSeen(NamedTuple):
    """A donation as one event tells of it. Whose it is, to what, and how much never changes."""

    donation_id: str
    campaign_id: str
    account_id: str
    amount_sat: int
    state: str
    rank: int
    has_ended: bool
    reason: str
    state_at: datetime
    """When it got into this state."""
    requested_at: datetime
    """The earliest that is known of it."""

    @property
    def key(self) -> str:
        return self.donation_id

    @property
    def terms(self) -> tuple[str, str, int]:
        return (self.campaign_id, self.account_id, self.amount_sat)

    def merged(self, other: DonationSeen) -> DonationSeen:
        if other.terms != self.terms:
            return self
        winner = other if outranks(other, self) else self
        return winner._replace(requested_at=min(self.requested_at, other.requested_at))


class InvoiceSeen(NamedTuple):
    """A deposit or a withdrawal as one event, of the bitcoin or the accounting context, tells of it.

    Whose it is, of which kind, and how much was asked for never changes.
    """

    invoice_id: str
    account_id: str
    kind: str
    amount_sat: int
    """What was asked for; what arrived, where only that is known."""
    state: str
    rank: int
    has_ended: bool
    reason: str
    state_at: datetime
    """When it got into this state."""
    requested_at: datetime
    """The earliest that is known of it."""
    payment_request: str | None = None
    payment_hash: str | None = None
    expires_at: datetime | None = None
    received_sat: int | None = None
    """Of a deposit: what arrived."""
    fee_reserve_sat: int | None = None
    fee_sat: int | None = None
    preimage: str | None = None

    @property
    def key(self) -> str:
        return self.invoice_id

    @property
    def knows_the_amount(self) -> bool:
        """Whether *amount_sat* is surely what was asked for, and not what arrived."""
        return self.amount_sat != self.received_sat

    def is_of(self, other: InvoiceSeen) -> bool:
        """Whether both are of one invoice."""
        is_same_amount = self.amount_sat == other.amount_sat or not (self.knows_the_amount and other.knows_the_amount)
        return (self.account_id, self.kind) == (other.account_id, other.kind) and is_same_amount

    def merged(self, other: InvoiceSeen) -> InvoiceSeen:
        if not other.is_of(self):
            return self
        winner = other if outranks(other, self) else self
        return winner._replace(
            amount_sat=other.amount_sat if other.knows_the_amount else self.amount_sat,
            requested_at=min(self.requested_at, other.requested_at),
            payment_request=self.payment_request or other.payment_request,
            payment_hash=self.payment_hash or other.payment_hash,
            expires_at=self.expires_at or other.expires_at,
            received_sat=_known(self.received_sat, other.received_sat),
            fee_reserve_sat=_known(self.fee_reserve_sat, other.fee_reserve_sat),
            fee_sat=_known(self.fee_sat, other.fee_sat),
            preimage=self.preimage or other.preimage,
        )


class GiftSeen(NamedTuple):
    """A gift of somebody without an account, and its invoice, as one event tells of them.

    To which campaign it is never changes.
    """

    gift_id: str
    campaign_id: str
    amount_sat: int
    """What was asked for; once it was paid, what arrived."""
    state: str
    rank: int
    has_ended: bool
    reason: str
    state_at: datetime
    """When it got into this state."""
    requested_at: datetime
    """The earliest that is known of it."""
    name: str | None = None
    """It and the message are None until the request is seen."""
    message: str | None = None
    payment_request: str | None = None
    """It, the hash and the expiry are None until the invoice was made."""
    payment_hash: str | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> str:
        return self.gift_id

    def merged(self, other: GiftSeen) -> GiftSeen:
        if other.campaign_id != self.campaign_id:
            return self
        winner = other if outranks(other, self) else self
        return winner._replace(
            requested_at=min(self.requested_at, other.requested_at),
            name=other.name if self.name is None else self.name,
            message=other.message if self.message is None else self.message,
            payment_request=self.payment_request or other.payment_request,
            payment_hash=self.payment_hash or other.payment_hash,
            expires_at=self.expires_at or other.expires_at,
        )


def _known(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


class ActivitySeen(NamedTuple):
    """One event as the feed and the timeline show it. It never changes."""

    message_id: str
    occurred_at: datetime
    event: str
    """Wire name."""
    event_key: str
    account_id: str
    """The one account in whose feed it is shown; empty if there is none."""
    correlation_id: str
    causation_id: str
    data: str
    """The event as JSON."""

    @property
    def key(self) -> str:
        return self.message_id

    def merged(self, other: ActivitySeen) -> ActivitySeen:
        return self


RowSeen: TypeAlias = AccountSeen | CampaignSeen | DonationSeen | InvoiceSeen | GiftSeen | ActivitySeen
"""What one event tells about one row."""


def merged_rows(rows: Iterable[RowSeen]) -> Mapping[type[RowSeen], Sequence[RowSeen]]:
    """The rows by type, one for each key, ordered by key."""
    tables: dict[type[RowSeen], dict[str, Any]] = {}
    for row in rows:
        table = tables.setdefault(type(row), {})
        known = table.get(row.key)
        table[row.key] = row if known is None else known.merged(row)
    return {kind: [table[key] for key in sorted(table)] for kind, table in tables.items()}
