"""The story that the demo tells, as plain data: who takes part, what they try, and what must come of it.

Nothing here sends anything. Names and amounts follow from the seed; every id ends in a suffix of its own, so that the
story can be told to the same daemon again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from domain.accounting.messages import Deposit
from domain.auth.messages import RegisterAccount
from domain.bitcoin.adapters.requests import Behaviour
from domain.crowdfunding.messages import DonateToCampaign
from domain.shared.money import SUPPLY_SAT
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command

NO_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2F0b3NoaS1zcGFyay1kZW1v$Zm9yLXNob3cgb25seTogbm8gcGFzc3dvcmQgZml0cyE"
"""The form of an argon2 hash, of no password at all."""

DONORS = ("Alice", "Bob", "Carol", "Dave", "Erin")
PLOTS = (
    ("Grace", "A solar roof for the school", "Forty panels, so that the lights stay on after sunset.", 0.6),
    ("Hal", "A node in every library", "Borrow a book, open a channel.", 1.5),
)
"""Owner, title, description, and the goal as a part of what will be given: below 1 it is reached."""
STRANGERS = (("Zoë", "Keep the lights on!"), ("", ""))
"""Names and words of those who give without an account."""
TROUBLEMAKER = "Mallory"
GIFTS = 40
GIFTS_QUICK = 12
MAX_GIFT_SAT = 4_000
RESERVE_SAT = 10_000
"""What donors keep at least, for their withdrawals."""


@dataclass(frozen=True)
class Person:
    """Somebody who signs up and pays in."""

    name: str
    account_id: str
    username: str
    deposit_id: str
    deposit_sat: int
    """0: nothing is paid in."""


@dataclass(frozen=True)
class Campaign:
    """A campaign that somebody opens."""

    campaign_id: str
    owner: Person
    title: str
    description: str
    goal_sat: int


@dataclass(frozen=True)
class Gift:
    """A donation that must arrive; its command is delivered *deliveries* times and must count once."""

    donation_id: str
    donor: Person
    campaign_id: str
    amount_sat: int
    deliveries: int = 1

    @property
    def command(self) -> DonateToCampaign:
        return DonateToCampaign(
            campaign_id=self.campaign_id,
            donation_id=self.donation_id,
            account_id=self.donor.account_id,
            amount_sat=self.amount_sat,
        )


@dataclass(frozen=True)
class OpenGift:
    """A gift of somebody without an account, paid over Lightning."""

    gift_id: str
    campaign_id: str
    amount_sat: int
    name: str
    """Empty: they do not want to be named."""
    message: str = ""


@dataclass(frozen=True)
class Mischief:
    """Something that must be refused."""

    who: str
    what: str
    command: Command
    reason: str
    """Why it must be refused."""
    sender: Person | None = None
    """Whose token it carries; None: nobody's."""
    outcome: Verdict = Verdict.REJECTED
    """failed: the door refuses it, and no aggregate hears of it."""
    ends_later: bool = False
    """Whether the refusal comes in the course of the saga rather than as the command's outcome."""
    after: str = ""
    """The donation that must have ended before."""


@dataclass(frozen=True)
class Payout:
    """A withdrawal and how it must end."""

    invoice_id: str
    person: Person
    amount_sat: int
    what: str
    state: str
    """paid, rejected or refunded"""
    reason: str = ""
    behaviour: Behaviour = Behaviour.PAY
    """What paying the invoice does on the simulated network."""
    is_expired: bool = False
    """Whether the invoice is too old, so that the withdrawal is refused at once."""


@dataclass(frozen=True)
class Cast:
    """Who takes part."""

    donors: Sequence[Person]
    owners: Sequence[Person]
    troublemaker: Person
    suffix: str
    """Ends every id of this telling."""

    @property
    def everybody(self) -> tuple[Person, ...]:
        return (*self.donors, *self.owners, self.troublemaker)


@dataclass(frozen=True)
class Story:
    """Everything that happens, act by act."""

    seed: int
    people: Sequence[Person]
    campaigns: Sequence[Campaign]
    gifts: Sequence[Gift]
    open_gifts: Sequence[OpenGift]
    mischief: Sequence[Mischief]
    payouts: Sequence[Payout]

    @property
    def came_in(self) -> int:
        """What has come in over Lightning."""
        paid_in = sum(person.deposit_sat for person in self.people)
        return paid_in + sum(gift.amount_sat for gift in self.open_gifts)

    @property
    def went_out(self) -> int:
        """What has gone out over Lightning, beside fees."""
        return sum(map(self.withdrawn_by, self.people))

    def given_by(self, person: Person) -> int:
        return sum(gift.amount_sat for gift in self.gifts if gift.donor == person)

    def raised_for(self, campaign: Campaign) -> int:
        given: tuple[Gift | OpenGift, ...] = (*self.gifts, *self.open_gifts)
        return sum(gift.amount_sat for gift in given if gift.campaign_id == campaign.campaign_id)

    def received_by(self, person: Person) -> int:
        return sum(self.raised_for(campaign) for campaign in self.campaigns if campaign.owner == person)

    def withdrawn_by(self, person: Person) -> int:
        return sum(payout.amount_sat for payout in self.payouts if payout.person == person and payout.state == "paid")

    def balance_of(self, person: Person) -> int:
        """What *person* must hold when the story is over, and would if routes were free."""
        return person.deposit_sat + self.received_by(person) - self.given_by(person) - self.withdrawn_by(person)


def write_story(seed: int, suffix: str, *, quick: bool = False) -> Story:
    """The story of this *seed*; equal seeds tell the same amounts, and *suffix* tells their ids apart."""
    rng = Random(seed)
    cast = _cast(rng, suffix)
    gifts = _gifts(rng, cast, GIFTS_QUICK if quick else GIFTS)
    campaigns = [_campaign(cast, number, gifts) for number in range(len(PLOTS))]
    story = Story(seed, cast.everybody, campaigns, gifts, _open_gifts(rng, cast), _mischief(cast, gifts), ())
    return replace(story, payouts=_payouts(cast, story))


def _cast(rng: Random, suffix: str) -> Cast:
    return Cast(
        donors=[_person(name, suffix, rng.randrange(60, 200) * 1_000) for name in DONORS],
        owners=[_person(plot[0], suffix, 0) for plot in PLOTS],
        troublemaker=_person(TROUBLEMAKER, suffix, 1_000),
        suffix=suffix,
    )


def _person(name: str, suffix: str, deposit_sat: int) -> Person:
    account_id = f"{name.lower()}-{suffix}"
    return Person(name, account_id, account_id, f"deposit-{account_id}", deposit_sat)


def _campaign_id(cast: Cast, number: int) -> str:
    return f"campaign-{number + 1}-{cast.suffix}"


def _gifts(rng: Random, cast: Cast, count: int) -> list[Gift]:
    """Gifts of random size that their donors can afford, each donor in turn; the first is delivered three times."""
    left = {donor: donor.deposit_sat - RESERVE_SAT for donor in cast.donors}
    gifts: list[Gift] = []
    for number in range(count):
        donor = cast.donors[number] if number < len(cast.donors) else rng.choice(cast.donors)
        amount = min(left[donor], rng.randrange(5, MAX_GIFT_SAT // 100) * 100)
        left[donor] -= amount
        campaign_id = _campaign_id(cast, rng.randrange(len(PLOTS)) if number >= len(PLOTS) else number)
        gift = Gift(f"donation-{number + 1}-{cast.suffix}", donor, campaign_id, amount, deliveries=1 if number else 3)
        gifts.append(gift)
    return [gift for gift in gifts if gift.amount_sat]


def _open_gifts(rng: Random, cast: Cast) -> list[OpenGift]:
    amounts = [rng.randrange(2, 20) * 100 for _ in STRANGERS]
    return [
        OpenGift(f"gift-{number + 1}-{cast.suffix}", _campaign_id(cast, number % len(PLOTS)), amount, name, message)
        for number, (amount, (name, message)) in enumerate(zip(amounts, STRANGERS, strict=True))
    ]


def _campaign(cast: Cast, number: int, gifts: Sequence[Gift]) -> Campaign:
    _, title, description, part = PLOTS[number]
    campaign_id = _campaign_id(cast, number)
    raised = sum(gift.amount_sat for gift in gifts if gift.campaign_id == campaign_id)
    return Campaign(campaign_id, cast.owners[number], title, description, max(100, int(raised * part) // 100 * 100))


def _mischief(cast: Cast, gifts: Sequence[Gift]) -> list[Mischief]:
    mallory, hal, erin = cast.troublemaker, cast.owners[1], cast.donors[-1]
    school, library = _campaign_id(cast, 0), _campaign_id(cast, 1)
    impostor = RegisterAccount(
        account_id=f"impostor-{cast.suffix}", username=cast.donors[0].username, password_hash=NO_HASH
    )
    again = replace(gifts[1], amount_sat=gifts[1].amount_sat + 1)
    return [
        Mischief("Mallory", "signs up under Alice's name", impostor, "username_taken"),
        _refused(mallory, "gives less than nothing, to take some", "invalid_amount", cast, school, -5_000),
        _refused(
            mallory, "gives more bitcoin than there will ever be", "invalid_amount", cast, library, SUPPLY_SAT + 1
        ),
        _refused(hal, "gives to his own campaign", "own_campaign", cast, library, 100),
        _refused(
            erin, "gives to a campaign that is not there", "unknown_campaign", cast, f"campaign-404-{cast.suffix}", 100
        ),
        Mischief(
            again.donor.name,
            "uses the id of a donation a second time",
            again.command,
            "already_requested",
            again.donor,
            after=again.donation_id,
        ),
        replace(
            _refused(mallory, "gives a million that she does not have", "insufficient_funds", cast, school, 1_000_000),
            ends_later=True,
        ),
        *_trespasses(cast, school),
    ]


def _trespasses(cast: Cast, campaign_id: str) -> list[Mischief]:
    """What the door does not let in, whatever the books say."""
    mallory, alice, end = cast.troublemaker, cast.donors[0], cast.suffix
    gift, other = (Gift(f"mischief-trespass-{number}-{end}", alice, campaign_id, 100).command for number in (1, 2))
    mint = Deposit(account_id=mallory.account_id, deposit_id=f"mischief-mint-{end}", amount_sat=1_000_000)
    return [
        Mischief("Mallory", "gives Alice's money", gift, "forbidden", mallory, Verdict.FAILED),
        Mischief("Mallory", "says herself that she has paid in a million", mint, "forbidden", mallory, Verdict.FAILED),
        Mischief("Somebody", "gives without logging in", other, "unauthenticated", None, Verdict.FAILED),
    ]


def _refused(donor: Person, what: str, reason: str, cast: Cast, campaign_id: str, amount_sat: int) -> Mischief:
    donation_id = f"mischief-{reason}-{abs(amount_sat)}-{cast.suffix}"
    return Mischief(donor.name, what, Gift(donation_id, donor, campaign_id, amount_sat).command, reason, donor)


def _payouts(cast: Cast, story: Story) -> list[Payout]:
    grace, mallory = cast.owners[0], cast.troublemaker
    alice, bob, carol, dave, *_ = cast.donors
    panels = story.received_by(grace) // 2
    end = cast.suffix
    return [
        Payout(f"panels-{end}", grace, panels, "pays for the first panels", "paid"),
        Payout(f"change-{end}", alice, 5_000, "takes some change home", "paid"),
        Payout(
            f"patience-{end}",
            dave,
            4_000,
            "hears nothing for a while, and is paid once",
            "paid",
            behaviour=Behaviour.UNKNOWN_THEN_PAID,
        ),
        Payout(f"heist-{end}", mallory, 500_000, "withdraws what she does not have", "rejected", "insufficient_funds"),
        Payout(
            f"lost-{end}",
            bob,
            7_000,
            "pays an invoice that no route leads to",
            "refunded",
            "no_route",
            behaviour=Behaviour.FAIL,
        ),
        Payout(f"late-{end}", carol, 3_000, "pays an invoice too late", "rejected", "invoice_expired", is_expired=True),
    ]
