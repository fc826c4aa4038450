"""What producers ask for in a run: a small crowd with campaigns, gifts, deposits, withdrawals and mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from domain.accounting.messages import Deposit, OpenAccount, RequestTransfer, Withdraw
from domain.auth.messages import RegisterAccount
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign
from domain.shared.messages import Command
from spark_actors.lightning.requests import Behaviour, simulated_invoice
from spark_actors.messaging import cloudevents
from tests.simulation.machine import EPOCH

ARGON2 = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2hoYXNo"
PEOPLE = ("ann", "bob", "eve", "joe")


@dataclass(frozen=True)
class Message:
    """What a producer publishes, and after which pause."""

    pause_seconds: float
    message_id: str
    subject: str
    body: bytes
    copies: int = 1
    """How often the producer itself sends it, without being asked to."""


class Crowd:
    """Draws the commands of one run."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._people = PEOPLE[: random.choice((2, 2, 3, 4))]
        self._campaigns = [f"c{number}" for number in range(random.randint(1, 2))]
        self._numbers: dict[str, int] = {}

    def stories(self) -> list[list[Message]]:
        """What each producer sends, in order; the first sets the scene."""
        count = self._random.randint(10, 40)
        rest = [self._drawn() for _ in range(count)]
        lanes = self._random.randint(1, 3)
        return [self._sent("p0", list(self._scene())), *(self._sent(f"p{n + 1}", rest[n::lanes]) for n in range(lanes))]

    def _sent(self, producer: str, commands: list[Command]) -> list[Message]:
        hurry = self._random.choice((0.01, 0.1, 0.3))
        messages = [self._message(f"{producer}-{number}", command, hurry) for number, command in enumerate(commands)]
        if self._random.random() < 0.2:
            messages.append(Message(0, f"{producer}-junk", "spark.commands.accounting.deposit", b'{"id": NaN}'))
        return messages

    def _message(self, message_id: str, command: Command, hurry: float) -> Message:
        body = cloudevents.command_body(command, message_id=message_id, source="simulation", why="a run")
        copies = self._random.choices((1, 2), (9, 1))[0]
        pause = self._random.expovariate(1 / hurry)
        return Message(pause, message_id, cloudevents.command_subject(command.TYPE), body, copies)

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
        )
        draw = self._random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]
        return draw()

    def _donation(self) -> Command:
        campaign = self._random.choice([*self._campaigns, *self._campaigns, "c-nowhere"])
        return DonateToCampaign(
            campaign_id=campaign, donation_id=self._id("g"), account_id=self._person(), amount_sat=self._amount()
        )

    def _transfer(self) -> Command:
        payee = self._random.choice([*self._people, *self._people, "nobody"])
        return RequestTransfer(
            transfer_id=self._id("t"),
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

    def _deposit_request(self) -> Command:
        return RequestDeposit(invoice_id=self._id("i"), account_id=self._person(), amount_sat=self._amount())

    def _deposit(self) -> Command:
        return Deposit(account_id=self._person(), deposit_id=self._id("d"), amount_sat=self._amount())

    def _plain_withdrawal(self) -> Command:
        return Withdraw(account_id=self._person(), withdrawal_id=self._id("p"), amount_sat=self._amount())

    def _person(self) -> str:
        return self._random.choice(self._people)

    def _amount(self) -> int:
        return self._random.choice((self._random.randint(1, 40), self._random.randint(1, 40), 1_000))

    def _id(self, prefix: str) -> str:
        """A new id; one in twelve is used before."""
        last = self._numbers.get(prefix, 0)
        if last and self._random.random() < 1 / 12:
            return f"{prefix}{self._random.randint(1, last)}"
        self._numbers[prefix] = last + 1
        return f"{prefix}{last + 1}"
