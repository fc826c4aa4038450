"""What must be true at every instant, not only at rest: of sagas as operators see them, of views, and of answers."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from domain.accounting.messages import (
    AccountOpened,
    Deposit,
    Deposited,
    DepositRejected,
    OpenAccount,
    Purpose,
    RequestTransfer,
    TransferDebited,
    TransferRefunded,
    TransferRejected,
    TransferSucceeded,
    Withdraw,
    WithdrawalAccepted,
    WithdrawalRefunded,
    WithdrawalRejected,
)
from domain.auth.messages import AccountRegistered, RegisterAccount
from domain.bitcoin.invoice import InvoiceKind, InvoiceState
from domain.bitcoin.messages import (
    DepositRequested,
    InvoiceRejected,
    RequestDeposit,
    RequestWithdrawal,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRequested,
)
from domain.crowdfunding.messages import (
    CampaignCreated,
    CreateCampaign,
    DonateToCampaign,
    DonationRejected,
    DonationRequested,
    RejectDonation,
)
from domain.dashboard.rows import AccountSeen, ActivitySeen, DonationSeen, RowSeen
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Command, Event
from spark_actors.kernel.sagas import SagaProgress, SagaState
from spark_actors.messaging.envelope import Envelope, decode_data
from tests.fixtures.application import REGISTRY, WRITING
from tests.simulation.crowd import Message
from tests.simulation.history import Committed, Onlooker, label_of
from tests.simulation.wiring import Deployment

DOES: Mapping[type[Command], type[Event]] = {
    RegisterAccount: AccountRegistered,
    OpenAccount: AccountOpened,
    Deposit: Deposited,
    Withdraw: WithdrawalAccepted,
    RequestTransfer: TransferDebited,
    CreateCampaign: CampaignCreated,
    DonateToCampaign: DonationRequested,
    RejectDonation: DonationRejected,
    RequestDeposit: DepositRequested,
    RequestWithdrawal: WithdrawalRequested,
}
"""What has happened when a command of a producer was done."""

_LEAVES: Mapping[type[Event], str] = {TransferDebited: "transfer_id", WithdrawalAccepted: "withdrawal_id"}
_ARRIVES: Mapping[type[Event], str] = {
    TransferSucceeded: "transfer_id",
    TransferRefunded: "transfer_id",
    WithdrawalRefunded: "withdrawal_id",
    WithdrawalPaid: "invoice_id",
}
_BY_HAND: Mapping[type[Event], str] = _LEAVES
"""What operators move by hand has an id that a donation or a withdrawal may have, too; their deposits are apart."""
_NOT_PAID_OUT = (InvoiceRejected, WithdrawalFailed)


class Instants(Onlooker):
    """Remembers what was announced, and holds against it what people see next."""

    def __init__(self, deployment: Deployment, sent: Mapping[str, Message]) -> None:
        self._deployment, self._sent = deployment, sent
        self._sagas = SagasSeen(deployment)
        self._commits = 0
        self._events: dict[type[Event], list[Any]] = defaultdict(list)
        self._ended: dict[str, int] = {}
        """Withdrawals that were not paid out, and in which transaction that was announced."""
        self._handled: dict[str, int] = {}
        """Label of what was handled, and in which transaction."""
        self._begun: set[tuple[str, str, str]] = set()
        """Campaign, donor and id of every donation that has begun."""
        self._ended_by_hand: set[tuple[str, str, str]] = set()

    def committed(self, commit: Committed) -> Iterator[str]:
        self._commits += 1
        self._handled |= {label: self._commits for command, _ in commit.marks if (label := label_of(command))}
        for envelope in commit.events:
            event: Any = decode_data(REGISTRY, envelope)
            yield from self._begun_once(event, envelope.correlation_id)
            yield from self._taken_by_another(event, envelope.correlation_id)
            self._events[type(event)].append(event)
            self._sagas.announced(event, envelope)
            if isinstance(event, _NOT_PAID_OUT):
                self._ended.setdefault(event.invoice_id, self._commits)
        yield from self._sagas.untrue()
        yield from self._sent_and_given_back()

    def tracked(self, progress: Sequence[SagaProgress]) -> Iterator[str]:
        self._sagas.tracked(progress)
        yield from self._sagas.untrue()

    def shown(self, before: RowSeen | None, now: RowSeen) -> Iterator[str]:
        """A row stays whose it is, and what was refused at once is nothing that others see."""
        if isinstance(now, (AccountSeen, ActivitySeen)):
            return
        owner = before.account_id if before is not None and not isinstance(before, ActivitySeen) else None
        if owner is not None and owner != now.account_id:
            yield f"a row changes its account: {type(now).__name__} {now.key} was {owner}'s, is {now.account_id}'s"
        if isinstance(now, DonationSeen) and _donation(now) not in self._begun | self._ended_by_hand:
            yield f"a donation that was refused at once is shown: {now.donation_id} of {now.account_id}, {now.reason}"

    def answered(self, label: str, body: bytes) -> Iterator[str]:
        """Who is told `done` finds that it was."""
        message = self._sent[label]
        if json.loads(body)["outcome"] != Verdict.DONE:
            return
        command = _command_in(message)
        wanted = DOES[type(command)]
        if not any(_says(event, command) for event in self._events[wanted]):
            yield f"{label} is told `done`, and there is no {wanted.__name__} of {command}"
        elif isinstance(command, RequestWithdrawal) and self._is_too_late(label, command):
            yield f"{label} is told `done`, and withdrawal {command.invoice_id} had ended without being paid"

    def _is_too_late(self, label: str, command: RequestWithdrawal) -> bool:
        """Whether it had ended before this message was handled."""
        ended, handled = self._ended.get(command.invoice_id), self._handled.get(label)
        return ended is not None and handled is not None and ended < handled

    def _sent_and_given_back(self) -> Iterator[str]:
        """What was given up is not sent, now or ever: its owner has it back."""
        invoices: list[Any] = [held.state for held in self._deployment.schema("bitcoin").instances.values()]
        withdrawals = [it for it in invoices if it.kind is InvoiceKind.WITHDRAWAL]
        wanted = {it.payment_hash for it in withdrawals if it.state in (InvoiceState.AUTHORIZED, InvoiceState.PAID)}
        for it in withdrawals:
            is_given_up = it.state is InvoiceState.FAILED and it.payment_hash not in wanted
            if is_given_up and self._deployment.outside.has_sent(it.payment_hash):
                yield f"withdrawal {it.invoice_id} is given back ({it.reason}), and the node has sent it"

    def _begun_once(self, event: Event, story: str) -> Iterator[str]:
        if isinstance(event, DonationRequested):
            if _donation(event) in self._begun:
                yield f"donation {event.donation_id} of {event.account_id} has begun a second time, in story {story}"
            self._begun.add(_donation(event))
        if isinstance(event, DonationRejected) and isinstance(_command_in(self._sent[story]), RejectDonation):
            self._ended_by_hand.add(_donation(event))

    def _taken_by_another(self, event: Any, story: str) -> Iterator[str]:
        """What was begun goes on under an id that nobody can have used but an operator who moved money by hand."""
        is_refused = isinstance(event, (TransferRejected, WithdrawalRejected, DepositRejected))
        if not (is_refused and event.purpose in tuple(Purpose) and event.reason.startswith("duplicate_")):
            return
        if not any(_is_of(event, other) for kind in _BY_HAND for other in self._events[kind]):
            yield f"story {story} was begun, and what follows was refused: {type(event).__name__} {event.reason}"


class SagasSeen:
    """The sagas' rows held against where the money of each story is."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._away: dict[str, Counter[str]] = defaultdict(Counter)
        """Story -> what has left an account and has not arrived anywhere, in satoshis by id."""
        self._told: dict[str, set[tuple[str, str]]] = defaultdict(set)
        """Story -> kind and id of the sagas in the log that it was ever part of."""

    def announced(self, event: Any, envelope: Envelope) -> None:
        story = envelope.correlation_id
        if field := _LEAVES.get(type(event)):
            self._away[story][getattr(event, field)] = event.amount_sat
        if field := _ARRIVES.get(type(event)):
            self._away[story].pop(getattr(event, field), None)

    def tracked(self, progress: Iterable[SagaProgress]) -> None:
        for item in progress:
            self._told[item.correlation_id].add((item.kind, item.saga_id))

    def untrue(self) -> Iterator[str]:
        """While money of a story is away, the story's row says that it is under way, and nothing else."""
        for story, away in self._away.items():
            if away and story in self._told:
                yield from self._untrue_of(story, away)

    def _untrue_of(self, story: str, away: Counter[str]) -> Iterator[str]:
        for kind, saga_id in sorted(self._told[story]):
            found = [row for row in self._rows() if (row.kind, row.saga_id) == (kind, saga_id)]
            mine = [row for row in found if row.correlation_id == story]
            if not mine:
                others = ", ".join(f"{row.state} of story {row.correlation_id}" for row in found)
                yield f"{dict(away)} of story {story} is under way, and {kind} {saga_id} is shown as {others}"
            yield from (
                f"{kind} {saga_id} is shown as {row.state} ({row.step}), and {dict(away)} of story {story} is under way"
                for row in mine
                if row.state is not SagaState.RUNNING
            )

    def _rows(self) -> Iterator[Any]:
        for context in WRITING:
            yield from self._deployment.schema(context).sagas.rows.values()


def _is_of(refused: Any, other: Any) -> bool:
    """Whether *other* tells of money that was moved by hand under the very id that was refused."""
    field = _BY_HAND[type(other)]
    is_same = hasattr(refused, field) and getattr(refused, field) == getattr(other, field)
    return is_same and other.purpose not in tuple(Purpose)


def _donation(it: DonationRequested | DonationRejected | DonationSeen) -> tuple[str, str, str]:
    return it.campaign_id, it.account_id, it.donation_id


def _command_in(message: Message) -> Any:
    """What was asked for; the times in it are as they were sent, which no event repeats."""
    wanted = REGISTRY.find(message.subject.removeprefix("spark.commands."), 1)
    return wanted(**json.loads(message.body)["data"])


def _says(event: Any, command: Command) -> bool:
    """Whether *event* tells of exactly what was asked for."""
    told = vars(event)
    return all(told[name] == value for name, value in vars(command).items() if name in told)
