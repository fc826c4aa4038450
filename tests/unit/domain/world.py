"""All write contexts on the store in memory: real turns, saga steps, deliveries in any order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any, TypeVar

from domain.accounting.account import Account, Movement
from domain.bitcoin.invoice import Invoice
from domain.bitcoin.messages import ConfirmDeposit, ExpireInvoice, FailWithdrawal, IssueInvoice, SettleWithdrawal
from domain.bitcoin.tasks import MakeInvoice, PayInvoice, WatchInvoice
from domain.crowdfunding.campaign import Campaign, Donation, DonationRequest
from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.lookups import HostedContext
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Outcome, Verdict
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import Command, Event, MessageRegistry
from spark_actors.kernel.sagas import SagaProgress, SagaState, progress_of
from spark_actors.kernel.tasks import Task
from spark_actors.messaging.envelope import Envelope, decode_data, encode_data, pack, unpack_replies
from spark_actors.messaging.routing import Slot
from spark_actors.persistence.memory import MemoryStore, MemoryUnitOfWork
from tests.fixtures.application import CONTEXTS, TABLES

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
E = TypeVar("E", bound=Event)
S = TypeVar("S")

_REGISTRY = MessageRegistry(
    (message for context in CONTEXTS for message in context.messages),
    (upcaster for context in CONTEXTS for upcaster in context.upcasters),
)
_WRITING = tuple(context for context in CONTEXTS if context.commands)


@dataclass(frozen=True)
class Delivery:
    """An event on its way to one subscriber."""

    event: Event
    message_id: str
    subscriber: BoundedContext


@dataclass
class World:
    """Runs commands and the sagas that follow. Without *remembers*, no inbox knows what comes again."""

    random: Random = field(default_factory=lambda: Random(0))
    remembers: bool = True
    now: datetime = NOON
    pays: Callable[[str], bool] = lambda invoice_id: True
    """Whether an invoice, of a deposit or a withdrawal, gets paid in the end."""
    fee_of: Callable[[str], int] = lambda invoice_id: 0
    """What the route of a withdrawal costs."""
    received_of: Callable[[str], int | None] = lambda invoice_id: None
    """What arrives for a deposit; None: what was asked for."""
    sagas: dict[tuple[str, str], SagaProgress] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    waiting: dict[tuple[str, str, str], deque[Delivery]] = field(default_factory=dict)
    """By source, key and subscriber: the events of one aggregate reach each subscriber in order."""
    tasks: list[Task] = field(default_factory=list)
    _stores: dict[str, MemoryStore] = field(
        default_factory=lambda: {each.name: MemoryStore(TABLES[each.name]) for each in _WRITING}
    )
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._host = AggregateActor(
            [HostedContext(each, partial(MemoryUnitOfWork, self._stores[each.name])) for each in _WRITING],
            _REGISTRY,
            slot=Slot("shared", 0, 1_000),
            max_attempts=3,
            clock=lambda: self.now,
            telemetry=lambda event: None,
        )

    def send(self, command: Command, message_id: str | None = None) -> Outcome:
        """Handle a command; what follows from it waits for `settle` or `step`."""
        kind, number = command.TYPE, next(self._numbers)
        name = message_id or f"m-{number}"
        name = name if self.remembers else f"{name}-{number}"
        envelope = Envelope(name, kind.name, kind.version, command.key, encode_data(command), "", "", self.now)
        (reply,) = unpack_replies(self._host.take_turn(kind.context, pack([envelope]), 0))
        assert reply.verdict in (Verdict.DONE, Verdict.REJECTED), f"{command}: {reply}"
        assert reply.outcome.reason in ("", *kind.reasons), reply.outcome
        self._emit(self._stores[kind.context])
        return reply.outcome

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

    @property
    def states(self) -> dict[tuple[str, str], Any]:
        """Every instance, by context and key."""
        return {
            (name, key): held.state for name, store in self._stores.items() for key, held in store.instances.items()
        }

    @property
    def ledger(self) -> dict[str, Movement]:
        movements = self._stores["accounting"].records
        return {it.idempotency_key: it for it in movements if isinstance(it, Movement)}

    @property
    def requests(self) -> dict[str, DonationRequest]:
        return {it.donation_id: it for it in self._stores["crowdfunding"].records if isinstance(it, DonationRequest)}

    @property
    def donations(self) -> dict[str, Donation]:
        return {it.donation_id: it for it in self._stores["crowdfunding"].records if isinstance(it, Donation)}

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

    def _emit(self, store: MemoryStore) -> None:
        """Take what a turn has left in the outbox to every subscriber's queue."""
        for _, envelope in sorted(store.outbox.items()):
            event: Any = decode_data(_REGISTRY, envelope)
            assert not event.TYPE.is_former, event
            self.events.append(event)
            for context in _WRITING:
                if type(event) in context.subscriptions:
                    queue = self.waiting.setdefault((event.TYPE.context, event.key, context.name), deque())
                    queue.append(Delivery(event, envelope.message_id, context))
        store.outbox.clear()

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
            self.sagas[told.kind, told.saga_id] = known.merged(told) if known else told

    def _list_task(self, delivery: Delivery) -> None:
        if to_do := delivery.subscriber.tasks.get(type(delivery.event)):
            self.tasks += to_do(delivery.event)

    def _ask_node(self, index: int) -> None:
        """Work off a task; one time in five the worker dies behind it, so that it is done again."""
        task = self.tasks[index]
        self.send(self._answer(task), None)
        if self.random.random() < 0.8:
            self.tasks.pop(index)

    def _answer(self, task: Task) -> Command:
        is_paid = self.pays(task.key)
        match task:
            case MakeInvoice():
                return an_issued(task.invoice_id, payment_hash=hash_of(f"deposit {next(self._numbers)}"))
            case WatchInvoice() if is_paid:
                return ConfirmDeposit(invoice_id=task.invoice_id, received_sat=self.received_of(task.invoice_id))
            case WatchInvoice():
                return ExpireInvoice(invoice_id=task.invoice_id)
            case PayInvoice() if is_paid:
                return SettleWithdrawal(
                    invoice_id=task.invoice_id,
                    preimage=PREIMAGES[task.payment_hash],
                    fee_sat=self.fee_of(task.invoice_id),
                )
            case _:
                return FailWithdrawal(invoice_id=task.key, reason="no_route")


PREIMAGES: dict[str, str] = {}
"""By payment hash, of those that `hash_of` has made: what the payee knows, and the payer once it was paid."""


def preimage_of(word: str) -> str:
    return sha256(word.encode()).hexdigest()


def hash_of(word: str) -> str:
    """The payment hash of an invoice that *word* names; its preimage is `preimage_of` the same word."""
    preimage = preimage_of(word)
    payment_hash = sha256(bytes.fromhex(preimage)).hexdigest()
    PREIMAGES[payment_hash] = preimage
    return payment_hash


def an_issued(invoice_id: str, *, payment_hash: str) -> IssueInvoice:
    """What the node answers when it is asked for an invoice."""
    return IssueInvoice(
        invoice_id=invoice_id,
        payment_hash=payment_hash,
        payment_request=f"lnbc-{payment_hash}",
        expires_at=NOON + timedelta(hours=1),
    )
