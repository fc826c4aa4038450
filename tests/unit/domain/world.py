"""All write contexts in memory: decisions, the constraints of the store, saga steps, deliveries in any order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, TypeVar

from domain.accounting.account import Account, Movement
from domain.auth.user import User
from domain.bitcoin.invoice import Invoice
from domain.bitcoin.lightning import task_for
from domain.bitcoin.messages import ConfirmDeposit, ExpireInvoice, FailWithdrawal, IssueInvoice, SettleWithdrawal
from domain.bitcoin.ports import LightningTask, LightningTaskKind
from domain.contexts import CONTEXTS
from domain.crowdfunding.campaign import Campaign, Donation, DonationRequest
from domain.shared.context import BoundedContext
from domain.shared.decisions import Decision, Outcome
from domain.shared.ids import derived_id
from domain.shared.messages import Command, Event
from domain.shared.sagas import SagaProgress, SagaState, progress_of

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
E = TypeVar("E", bound=Event)
S = TypeVar("S")


@dataclass(frozen=True)
class Delivery:
    """An event on its way to one subscriber."""

    event: Event
    message_id: str
    subscriber: BoundedContext


@dataclass
class World:
    """Runs commands and the sagas that follow. Without *remembers*, no inbox drops what comes again."""

    random: Random = field(default_factory=lambda: Random(0))
    remembers: bool = True
    now: datetime = NOON
    pays: Callable[[str], bool] = lambda invoice_id: True
    """Whether an invoice, of a deposit or a withdrawal, gets paid in the end."""
    states: dict[tuple[str, str], Any] = field(default_factory=dict)
    inboxes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    ledger: dict[str, Movement] = field(default_factory=dict)
    requests: dict[str, DonationRequest] = field(default_factory=dict)
    donations: dict[str, Donation] = field(default_factory=dict)
    sagas: dict[tuple[str, str], SagaProgress] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    waiting: dict[tuple[str, str, str], deque[Delivery]] = field(default_factory=dict)
    """By source, key and subscriber: the events of one aggregate reach each subscriber in order."""
    tasks: list[LightningTask] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def send(self, command: Command, message_id: str | None = None) -> Outcome:
        """Handle a command; what follows from it waits for `settle` or `step`."""
        context = _CONTEXTS[command.TYPE.context]
        message_id = message_id or f"m-{next(self._numbers)}"
        known = self.inboxes.get((context.name, message_id))
        if known is not None and self.remembers:
            return known
        decision = self._decide(context, command)
        assert decision.outcome.reason in ("", *command.TYPE.reasons), decision.outcome
        self._commit(context, command, decision)
        self.inboxes[context.name, message_id] = decision.outcome
        for index, event in enumerate(decision.events):
            self._emit(event, derived_id(message_id, index))
        return decision.outcome

    def step(self) -> bool:
        """Let one thing happen, picked at random: a delivery, perhaps one of many of it, or work of the node."""
        queues = [queue for queue in self.waiting.values() if queue]
        if not queues and not self.tasks:
            return False
        choice = self.random.randrange(len(queues) + len(self.tasks))
        if choice < len(queues):
            self._deliver(queues[choice])
        else:
            self._ask_node(choice - len(queues))
        return True

    def settle(self) -> World:
        """Let everything happen until nothing is left to do."""
        while self.step():
            pass
        return self

    def run(self, *commands: Command) -> World:
        """Send the commands, all that follows from one before the next."""
        for command in commands:
            self.send(command)
            self.settle()
        return self

    def all(self, kind: type[S]) -> list[S]:
        return [state for state in self.states.values() if isinstance(state, kind)]

    def account(self, account_id: str) -> Account:
        account: Account = self.states["accounting", account_id]
        return account

    def campaign(self, campaign_id: str) -> Campaign:
        campaign: Campaign = self.states["crowdfunding", campaign_id]
        return campaign

    def invoice(self, invoice_id: str) -> Invoice:
        invoice: Invoice = self.states["bitcoin", invoice_id]
        return invoice

    def said(self, kind: type[E]) -> list[E]:
        """Every event of this type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def ledger_balances(self) -> Counter[str]:
        """What the ledger says that each account holds, the system's own among them."""
        balances: Counter[str] = Counter()
        for movement in self.ledger.values():
            balances[movement.debit_account] -= movement.amount_sat
            balances[movement.credit_account] += movement.amount_sat
        return balances

    def saga(self, kind: str, saga_id: str) -> tuple[str, SagaState]:
        progress = self.sagas[kind, saga_id]
        return progress.step, progress.state

    def _decide(self, context: BoundedContext, command: Command) -> Decision[Any]:
        state = self.states.get((context.name, command.key))
        decision = context.commands[type(command)](state, command, self.now)
        if constraint := next(self._violated(context, command.key, decision), None):
            decision = context.refusals[constraint](state, command)
            assert next(self._violated(context, command.key, decision), None) is None
        return decision

    def _commit(self, context: BoundedContext, command: Command, decision: Decision[Any]) -> None:
        if decision.state is not None:
            self.states[context.name, command.key] = decision.state
        for record in decision.records:
            if isinstance(record, Movement):
                self.ledger[record.idempotency_key] = record
            elif isinstance(record, DonationRequest):
                self.requests[record.donation_id] = record
            elif isinstance(record, Donation):
                self.donations[record.donation_id] = record

    def _violated(self, context: BoundedContext, key: str, decision: Decision[Any]) -> Iterator[str]:
        """The names of the constraints that a database with the real schema would name."""
        others = [state for (name, other), state in self.states.items() if (name, other) != (context.name, key)]
        if isinstance(decision.state, User) and decision.state.username in _each(others, User, "username"):
            yield "users_username_unique"
        if isinstance(decision.state, Invoice) and _payment(decision.state) in map(_payment, others):
            yield "invoices_payment_hash_unique"
        for record in decision.records:
            if isinstance(record, DonationRequest) and record.donation_id in self.requests:
                yield "donation_requests_pkey"
            if isinstance(record, Donation):
                yield from self._refused_donation(record)
            if isinstance(record, Movement):
                yield from self._violated_by(record)

    def _refused_donation(self, donation: Donation) -> Iterator[str]:
        if donation.donation_id in self.donations:
            yield "donations_pkey"
        request = self.requests.get(donation.donation_id)
        asked = (donation.donation_id, donation.campaign_id, donation.account_id, donation.amount_sat)
        if request is None or request[:4] != asked:
            yield "donations_as_requested"

    def _violated_by(self, movement: Movement) -> Iterator[str]:
        if movement.idempotency_key in self.ledger:
            yield "ledger_idempotency_key_unique"
        if movement.follows is not None and movement.follows not in self.ledger:
            yield "ledger_follows_known_movement"
        if movement.follows is not None and any(it.follows == movement.follows for it in self.ledger.values()):
            yield "ledger_follows_once"

    def _emit(self, event: Event, message_id: str) -> None:
        assert not event.TYPE.is_former, event
        self.events.append(event)
        for context in CONTEXTS:
            if type(event) in context.subscriptions and context.name != "dashboard":
                queue = self.waiting.setdefault((event.TYPE.context, event.key, context.name), deque())
                queue.append(Delivery(event, message_id, context))

    def _deliver(self, queue: deque[Delivery]) -> None:
        """Hand over the first of the queue; one time in five the receipt gets lost, so that it will come again."""
        delivery = queue[0]
        self._track(delivery)
        if step := delivery.subscriber.steps.get(type(delivery.event)):
            for index, command in enumerate(step(delivery.event)):
                self.send(command, derived_id(delivery.message_id, delivery.subscriber.name, index))
        self._list_task(delivery)
        if self.random.random() < 0.8:
            queue.popleft()

    def _track(self, delivery: Delivery) -> None:
        for told in progress_of(delivery.subscriber.sagas, delivery.event, correlation_id="", at=self.now):
            known = self.sagas.get((told.kind, told.saga_id))
            if known is None or told.rank > known.rank:
                self.sagas[told.kind, told.saga_id] = told

    def _list_task(self, delivery: Delivery) -> None:
        if type(delivery.event) in delivery.subscriber.reads:
            task = task_for(delivery.event, message_id=delivery.message_id, correlation_id="", now=self.now)
            assert task is not None
            self.tasks.append(task)

    def _ask_node(self, index: int) -> None:
        """Work off a task; one time in five the worker dies behind it, so that it is done again."""
        task = self.tasks[index]
        self.send(self._answer(task), None)
        if self.random.random() < 0.8:
            self.tasks.pop(index)

    def _answer(self, task: LightningTask) -> Command:
        is_paid = self.pays(task.invoice_id)
        match task.kind:
            case LightningTaskKind.ISSUE:
                return an_issued(task.invoice_id, payment_hash=f"{next(self._numbers):x}")
            case LightningTaskKind.WATCH if is_paid:
                return ConfirmDeposit(invoice_id=task.invoice_id)
            case LightningTaskKind.WATCH:
                return ExpireInvoice(invoice_id=task.invoice_id)
            case LightningTaskKind.PAY if is_paid:
                return SettleWithdrawal(invoice_id=task.invoice_id, preimage="proof")
            case _:
                return FailWithdrawal(invoice_id=task.invoice_id, reason="no_route")


def an_issued(invoice_id: str, *, payment_hash: str) -> IssueInvoice:
    """What the node answers when it is asked for an invoice."""
    return IssueInvoice(
        invoice_id=invoice_id,
        payment_hash=payment_hash,
        payment_request=f"lnbc-{payment_hash}",
        expires_at=NOON + timedelta(hours=1),
    )


def _payment(state: object) -> tuple[str, str]:
    """What must be unique about an invoice; two that know no payment hash yet differ, as two nulls do."""
    if not isinstance(state, Invoice) or state.payment_hash is None:
        return (str(id(state)), "")
    return (state.kind, state.payment_hash)


def _each(states: Sequence[object], kind: type[object], name: str) -> set[object]:
    return {getattr(state, name) for state in states if isinstance(state, kind)}


_CONTEXTS = {context.name: context for context in CONTEXTS}
