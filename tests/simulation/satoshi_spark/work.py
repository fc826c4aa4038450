"""What producers ask for in a run: a small crowd with campaigns, gifts, deposits, withdrawals and mistakes.

Ids are used again on purpose: people use each other's ids, ask once more for what they have asked for before, and are
refused under ids that are somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

from domain.accounting.messages import Deposit, OpenAccount, RequestTransfer, Withdraw
from domain.auth.messages import RegisterAccount
from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign, RejectDonation
from spark_actors.kernel.messages import Command
from tests.simulation.crowd import Crowd
from tests.simulation.machine import EPOCH

ARGON2 = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2hoYXNo"
PEOPLE = ("ann", "bob", "eve", "joe")


class Donors(Crowd):
    """Draws the commands of one run."""

    junk_subject = "spark.commands.accounting.deposit"

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._people = PEOPLE[: random.choice((2, 2, 3, 4))]
        self._campaigns = [f"c{number}" for number in range(random.randint(1, 2))]
        self._asked: list[Command] = []
        self._to_be_ended: list[DonateToCampaign] = []

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
        behaviour = self._random.choice([*Behaviour, Behaviour.PAY, Behaviour.FAIL_THEN_PAY, Behaviour.FAIL_THEN_PAY])
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
