"""The commands of the workloads, as bodies that are ready to be published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from uuid import UUID

from domain.accounting.messages import Deposit, OpenAccount
from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign
from spark_actors.kernel.messages import Command
from spark_actors.messaging import cloudevents
from tests.lab.load.producer import Message

SOURCE = "spark-actors/bench"
DEPOSIT_SAT = 1_000
DONATION_SAT = 10
GOAL_SAT = 1_000_000_000
FUNDS_SAT = 10_000_000
"""What each donor is given."""


def why_of(command: Command) -> str:
    """What money is moved by hand for; nothing for other commands."""
    return "benchmark" if command.TYPE.needs_why else ""


class Commands:
    """Makes commands under random ids, as producers choose them; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def fresh_id(self) -> str:
        """A random UUID."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def deposit(self, account_id: str, amount_sat: int = DEPOSIT_SAT) -> Deposit:
        return Deposit(account_id=account_id, deposit_id=self.fresh_id(), amount_sat=amount_sat)

    def deposits_over(self, prefix: str, accounts: int, count: int) -> list[Message]:
        """Deposits to random ones of the accounts `<prefix>0`, `<prefix>1`, …"""
        randrange = self._random.randrange
        return self.packed(self.deposit(f"{prefix}{randrange(accounts)}") for _ in range(count))

    def deposits_to(self, account_id: str, count: int) -> list[Message]:
        """Deposits to one account."""
        return self.packed(self.deposit(account_id) for _ in range(count))

    def donation(self, donors: int, campaigns: int) -> DonateToCampaign:
        """From a random donor to a random campaign."""
        return DonateToCampaign(
            campaign_id=campaign(self._random.randrange(campaigns)),
            donation_id=self.fresh_id(),
            account_id=donor(self._random.randrange(donors)),
            amount_sat=DONATION_SAT,
        )

    def donations(self, donors: int, campaigns: int, count: int) -> list[Message]:
        return self.packed(self.donation(donors, campaigns) for _ in range(count))

    def opening(self, donors: int, campaigns: int) -> list[Message]:
        """Opens the accounts of donors, gives each money, and opens campaigns with owners of their own."""
        return self.packed(self._opening(donors, campaigns))

    def packed(self, commands: Iterable[Command]) -> list[Message]:
        return [
            (
                cloudevents.command_subject(command.TYPE),
                cloudevents.command_body(command, message_id=self.fresh_id(), source=SOURCE, why=why_of(command)),
            )
            for command in commands
        ]

    def _opening(self, donors: int, campaigns: int) -> Iterator[Command]:
        for number in range(donors):
            yield OpenAccount(account_id=donor(number))
            yield self.deposit(donor(number), FUNDS_SAT)
        for number in range(campaigns):
            yield OpenAccount(account_id=owner(number))
            yield CreateCampaign(
                campaign_id=campaign(number),
                account_id=owner(number),
                title=f"Campaign {number}",
                description="Water for all",
                goal_sat=GOAL_SAT,
            )


def donor(number: int) -> str:
    return f"donor-{number}"


def owner(number: int) -> str:
    return f"owner-{number}"


def campaign(number: int) -> str:
    return f"campaign-{number}"
