"""What producers ask for in a run: a small crowd with campaigns, gifts, deposits, withdrawals and mistakes.

Ids are used again on purpose: producers number from 1 each, now and then one takes an id of its own for something else;
people use each other's ids, ask once more for what they have asked for before, and are refused under ids that are
somebody else's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from domain.accounting.messages import Deposit, OpenAccount, RequestTransfer, Withdraw
from domain.auth.messages import RegisterAccount
from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign, RejectDonation
from spark_actors.kernel.messages import Command
from spark_actors.messaging import cloudevents
from tests.simulation.machine import EPOCH

ARGON2 = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2hoYXNo"
PEOPLE = ("ann", "bob", "eve", "joe")


@dataclass(frozen=True)
class Author:
    """Who sends a message, and from where. A message's id is its own only together with both."""

    sender: str
    source: str


AUTHORS = (Author("boot", "desk"), Author("teller", "desk"), Author("teller", "shop"), Author("robot", "desk"))
"""Of the producers, in their order: two with one sender, two with one source, no two with both."""


@dataclass(frozen=True)
class Message:
    """What a producer publishes, and after which pause."""

    pause_seconds: float
    label: str
    """What a run calls it: no two messages have the same one. A command carries it as its correlation id."""
    author: Author
    message_id: str
    """The id that the producer has given it; it may have given it to something else, too."""
    subject: str
    body: bytes
    copies: int = 1
    """How often the producer itself sends it, without being asked to."""

    @property
    def known_by(self) -> tuple[Author, str, str]:
        """The id with whose it is and for which context: of messages that have it in common only the first counts."""
        return self.author, self.message_id, self.subject.rpartition(".")[0]

    def asks_the_same_as(self, other: Message) -> bool:
        return self.subject == other.subject and _data(self) == _data(other)


def _data(message: Message) -> object:
    return json.loads(message.body)["data"]


class Crowd:
    """Draws the commands of one run."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._people = PEOPLE[: random.choice((2, 2, 3, 4))]
        self._campaigns = [f"c{number}" for number in range(random.randint(1, 2))]
        self._numbers: dict[str, int] = {}
        self._asked: list[Command] = []
        self._to_be_ended: list[DonateToCampaign] = []

    def stories(self) -> list[list[Message]]:
        """What each producer sends, in order; the first sets the scene."""
        count = self._random.randint(10, 40)
        rest = [self._drawn() for _ in range(count)]
        lanes = self._random.randint(1, 3)
        return [self._sent(0, list(self._scene())), *(self._sent(n + 1, rest[n::lanes]) for n in range(lanes))]

    def _sent(self, producer: int, commands: list[Command]) -> list[Message]:
        hurry = self._random.choice((0.01, 0.1, 0.3))
        messages: list[Message] = []
        for number, command in enumerate(commands, 1):
            is_reused = producer > 0 and number > 1 and self._random.random() < 1 / 15
            message_id = str(self._random.randrange(1, number) if is_reused else number)
            messages.append(self._message(producer, number, message_id, command, hurry))
        if self._random.random() < 0.2:
            junk = f"p{producer}-junk"
            subject = "spark.commands.accounting.deposit"
            messages.append(Message(0, junk, AUTHORS[producer], junk, subject, b'{"id": NaN}'))
        return messages

    def _message(self, producer: int, number: int, message_id: str, command: Command, hurry: float) -> Message:
        label, author = f"p{producer}-{number}", AUTHORS[producer]
        body = cloudevents.command_body(
            command, message_id=message_id, source=author.source, correlation_id=label, why="a run"
        )
        copies = self._random.choices((1, 2), (9, 1))[0]
        pause = self._random.expovariate(1 / hurry)
        return Message(pause, label, author, message_id, cloudevents.command_subject(command.TYPE), body, copies)

    def _scene(self) -> Iterator[Command]:
        for person in self._people:
            yield RegisterAccount(account_id=person, username=f"{person}.x", password_hash=ARGON2)
            yield Deposit(account_id=person, deposit_id=f"seed-{person}", amount_sat=self._random.randint(50, 400))
        for campaign in self._campaigns:
            yield CreateCampaign(
                campaign_id=campaign,
                account_id=self._person(),
                title="A new roof",
                description="It rains in.",
                goal_sat=self._random.randint(20, 200),
            )

    def _drawn(self) -> Command:
        kinds = (
            (6, self._donation),
            (4, self._transfer),
            (4, self._withdrawal),
            (4, self._deposit_request),
            (3, self._deposit),
            (1, self._plain_withdrawal),
            (1, lambda: OpenAccount(account_id=self._person())),
            (2, self._refused_donation),
            (1, self._refused_deposit_request),
            (3, self._asked_again),
            (2, self._ended_by_hand),
        )
        draw = self._random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]
        command = draw()
        if draw != self._ended_by_hand:
            self._asked.append(command)
        return command

    def _asked_again(self) -> Command:
        """What was asked for before, perhaps a moment ago, once more, or the same by somebody else."""
        if not self._asked:
            return self._donation()
        command = self._random.choice(self._asked[self._random.choice((0, -3)) :])
        return command if self._random.random() < 0.5 else self._by_somebody_else(command)

    def _ended_by_hand(self) -> Command:
        """A donation that nobody else asks for, or its end by an operator, in another story, while it is under way."""
        if self._to_be_ended:
            return RejectDonation(**vars(self._to_be_ended.pop()), reason="by_hand")
        self._numbers["h"] = number = self._numbers.get("h", 0) + 1
        self._to_be_ended.append(gift := replace(self._donation(), donation_id=f"h{number}"))
        return gift

    def _by_somebody_else(self, command: Command) -> Command:
        if isinstance(command, (DonateToCampaign, RequestDeposit, RequestWithdrawal)):
            return replace(command, account_id=self._person())
        return command

    def _refused_donation(self) -> Command:
        """Refused at once, under an id that may be somebody's."""
        if self._random.random() < 0.5:
            return replace(self._donation(), campaign_id="c-nowhere")
        return replace(self._donation(), amount_sat=self._random.choice((0, -5)))

    def _refused_deposit_request(self) -> Command:
        return replace(self._deposit_request(), amount_sat=-5)

    def _donation(self) -> DonateToCampaign:
        campaign = self._random.choice([*self._campaigns, *self._campaigns, "c-nowhere"])
        return DonateToCampaign(
            campaign_id=campaign, donation_id=self._id("g"), account_id=self._person(), amount_sat=self._amount()
        )

    def _transfer(self) -> Command:
        payee = self._random.choice([*self._people, *self._people, "nobody"])
        return RequestTransfer(
            transfer_id=self._id("t", of="g"),
            from_account_id=self._person(),
            to_account_id=payee,
            amount_sat=self._amount(),
            purpose="rent",
            reference="May",
        )

    def _withdrawal(self) -> Command:
        amount, nonce = self._amount(), self._id("n")
        lives = self._random.choice((2, 60, 60, 60))
        behaviour = self._random.choice([*Behaviour, Behaviour.PAY])
        invoice = simulated_invoice(amount, EPOCH + timedelta(seconds=lives + 10), nonce=nonce, behaviour=behaviour)
        return RequestWithdrawal(
            invoice_id=self._id("w"),
            account_id=self._person(),
            amount_sat=amount + (self._random.random() < 0.1),
            payment_request=invoice.payment_request,
            payment_hash=invoice.payment_hash,
            expires_at=invoice.expires_at,
        )

    def _deposit_request(self) -> RequestDeposit:
        return RequestDeposit(invoice_id=self._id("i"), account_id=self._person(), amount_sat=self._amount())

    def _deposit(self) -> Command:
        return Deposit(account_id=self._person(), deposit_id=self._id("d", of="i"), amount_sat=self._amount())

    def _plain_withdrawal(self) -> Command:
        return Withdraw(account_id=self._person(), withdrawal_id=self._id("p", of="w"), amount_sat=self._amount())

    def _person(self) -> str:
        return self._random.choice(self._people)

    def _amount(self) -> int:
        return self._random.choice((self._random.randint(1, 40), self._random.randint(1, 40), 1_000))

    def _id(self, prefix: str, *, of: str = "") -> str:
        """A new id; one in twelve is used before, for the same kind of thing or for that of the prefix *of*."""
        last = self._numbers.get(prefix, 0)
        if self._random.random() < 1 / 12:
            known = self._random.choice([prefix, of] if of else [prefix])
            if used := self._numbers.get(known, 0):
                return f"{known}{self._random.randint(1, used)}"
        self._numbers[prefix] = last + 1
        return f"{prefix}{last + 1}"
