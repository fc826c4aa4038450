"""The library eventsourcing (PyPI: eventsourcing) on the workloads: event-sourced applications that follow each other.

Which recommendations of its documentation (eventsourcing.readthedocs.io) this follows:

- "Domain models": aggregates in the declarative syntax (`@event`), ids derived from names by `create_id`.
- "Applications": a command method gets one aggregate, calls it and saves it. `snapshotting_intervals` keep loading
  short. Aggregates are cached, and `AGGREGATE_CACHE_FASTFORWARD` is off, "only [...] when only one instance of the
  application is being used to evolve the state of the aggregates": each account belongs to one thread of one process
  (the best case for the hot account, which so has one cached writer and no conflicts).
- "Persistence": module `eventsourcing.postgres`, `POSTGRES_*` settings (handed in, not set), pools as large as needed,
  the default transcoder, no compression or encryption.
- "Projections" and "Systems": for the donation, two applications which follow each other, each in its own process by an
  `EventSourcedProjectionRunner`; new events, and the position they were caused by, are recorded in one transaction.
  As in the "Bank accounts" example, a transfer saves payer and payee in one transaction.

What is not comparable: a command is a call in the process; there is no broker, and no inbox, so a command sent twice
has its effect twice (events between the applications have it once). There is no queue in which a command would survive
a crash. No dashboard is projected. A donation takes three transactions, where the runtime takes four turns. All of that
favours the peer. Every save locks the table of events until it is committed, as the library's recorder asks for; this,
not the number of processes, bounds its rate.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatchmethod
from itertools import islice
from multiprocessing.synchronize import Barrier
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate, event
from eventsourcing.projection import EventSourcedProjection, EventSourcedProjectionRunner
from eventsourcing.utils import get_topic

from tests.lab.bench.peers.common import (
    AMOUNT_SAT,
    Deposit,
    Donation,
    PeerResult,
    Sizes,
    Span,
    address_of,
    donations,
    hot_deposits,
    in_processes,
    in_threads,
    lost_or_doubled,
    owner_of,
    rate,
    received,
    uniform_deposits,
)

PEER = "eventsourcing"
PROCESSES = 2
THREADS = 2  # in each process; more only wait for the lock
SNAPSHOT_INTERVAL = 100
SAVED_TOGETHER = 500  # when the accounts are set up
PAGE = 5_000  # events read at once when the books are checked
WATCH_SECONDS = 0.1

Settings = dict[str, str]


class Account(Aggregate):
    """Money of one owner. The caller sees to it that no id of a deposit or donation comes twice."""

    class Paid(Aggregate.Event):
        donation_id: str
        amount_sat: int

    class Received(Aggregate.Event):
        donation_id: str
        campaign: str
        amount_sat: int

    class Refused(Aggregate.Event):
        donation_id: str
        campaign: str

    class Deposited(Aggregate.Event):
        deposit_id: str
        amount_sat: int

    @event("Opened")
    def __init__(self, name: str, balance_sat: int) -> None:
        self.name = name
        self.balance_sat = balance_sat

    @staticmethod
    def create_id(name: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/accounts/{name}")

    @event(Deposited)
    def deposit(self, deposit_id: str, amount_sat: int) -> None:
        self.balance_sat += amount_sat

    @event(Paid)
    def pay(self, donation_id: str, amount_sat: int) -> None:
        self.balance_sat -= amount_sat

    @event(Received)
    def receive(self, donation_id: str, campaign: str, amount_sat: int) -> None:
        self.balance_sat += amount_sat

    @event(Refused)
    def refuse(self, donation_id: str, campaign: str) -> None:
        """Record that the money was short."""


class Campaign(Aggregate):
    """A campaign and what it has raised."""

    @event("Created")
    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self.raised_sat = 0

    @staticmethod
    def create_id(name: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/campaigns/{name}")

    @event("DonationRegistered")
    def register(self, donation_id: str, amount_sat: int) -> None:
        self.raised_sat += amount_sat


class Gift(Aggregate):
    """One donation, from its request to its end."""

    class Requested(Aggregate.Created):
        donation_id: str
        donor: str
        campaign: str
        owner: str
        amount_sat: int

    class Closed(Aggregate.Event):
        state: str

    @event(Requested)
    def __init__(self, donation_id: str, donor: str, campaign: str, owner: str, amount_sat: int) -> None:
        self.state = "requested"

    @staticmethod
    def create_id(donation_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/donations/{donation_id}")

    @event(Closed)
    def close(self, state: str) -> None:
        self.state = state


class Accounting(EventSourcedProjection[UUID]):
    """The accounts; moves the money of the donations that it sees requested."""

    name = "accounting"
    topics: ClassVar[Sequence[str]] = [get_topic(Gift.Requested)]
    snapshotting_intervals: ClassVar[dict[Any, int]] = {Account: SNAPSHOT_INTERVAL}

    def deposit(self, command: Deposit) -> None:
        account = self.repository.get(Account.create_id(command.account))
        account.deposit(command.deposit_id, AMOUNT_SAT)
        self.save(account)

    @singledispatchmethod
    def policy(self, domain_event: Any, processing_event: Any) -> None:
        """Nothing else concerns the accounts."""

    @policy.register(Gift.Requested)
    def _(self, domain_event: Any, processing_event: Any) -> None:
        gift, campaign, amount_sat = domain_event.donation_id, domain_event.campaign, domain_event.amount_sat
        payer = self.repository.get(Account.create_id(domain_event.donor))
        if payer.balance_sat < amount_sat:
            payer.refuse(gift, campaign)
            processing_event.collect_events(payer)
            return
        payee = self.repository.get(Account.create_id(domain_event.owner))
        payer.pay(gift, amount_sat)
        payee.receive(gift, campaign, amount_sat)
        processing_event.collect_events(payer, payee)


class Crowdfunding(EventSourcedProjection[UUID]):
    """The campaigns and their donations; registers those whose money it sees moved."""

    name = "crowdfunding"
    topics: ClassVar[Sequence[str]] = [get_topic(Account.Received), get_topic(Account.Refused)]
    snapshotting_intervals: ClassVar[dict[Any, int]] = {Campaign: SNAPSHOT_INTERVAL}

    def __init__(self, env: Any = None) -> None:
        super().__init__(env)
        self.closed = threading.Semaphore(0)  # released once for each donation that has ended

    def donate(self, command: Donation) -> None:
        campaign = self.repository.get(Campaign.create_id(command.campaign))
        self.save(Gift(command.donation_id, command.donor, command.campaign, campaign.owner, AMOUNT_SAT))

    def notify(self, new_events: Any) -> None:
        """Count what was just recorded: the library's hook after each save."""
        for new in new_events:
            if isinstance(new, Gift.Closed):
                self.closed.release()

    @singledispatchmethod
    def policy(self, domain_event: Any, processing_event: Any) -> None:
        """Nothing else concerns the campaigns."""

    @policy.register(Account.Received)
    def _(self, domain_event: Any, processing_event: Any) -> None:
        campaign = self.repository.get(Campaign.create_id(domain_event.campaign))
        campaign.register(domain_event.donation_id, domain_event.amount_sat)
        gift = self.repository.get(Gift.create_id(domain_event.donation_id))
        gift.close("registered")
        processing_event.collect_events(campaign, gift)

    @policy.register(Account.Refused)
    def _(self, domain_event: Any, processing_event: Any) -> None:
        gift = self.repository.get(Gift.create_id(domain_event.donation_id))
        gift.close("rejected")
        processing_event.collect_events(gift)


def run(dsn: str, sizes: Sizes) -> list[PeerResult]:
    """Measure all workloads in the empty database at `dsn`, whose role owns it; the tables stay behind."""
    settings = settings_of(dsn)
    in_processes(PEER, _prepare, [({**settings, "CREATE_TABLE": "y"}, sizes)])
    results = [_measure_deposits("uniform", settings, uniform_deposits(sizes))]
    results.append(_measure_deposits("hot", settings, hot_deposits(sizes, "hot")))
    if sizes.hot_history:
        history = sizes.hot_history * AMOUNT_SAT
        results.append(_measure_deposits("hot-history", settings, hot_deposits(sizes, "hot-history"), before=history))
    results.append(_measure_donations(settings, sizes))
    return results


def settings_of(dsn: str) -> Settings:
    """Return the library's settings for the database at `dsn`."""
    address = address_of(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": address.database,
        "POSTGRES_HOST": address.host,
        "POSTGRES_PORT": address.port,
        "POSTGRES_USER": address.user,
        "POSTGRES_PASSWORD": address.password,
        "POSTGRES_POOL_SIZE": str(THREADS + 1),
        "AGGREGATE_CACHE_MAXSIZE": "0",  # no limit
        "AGGREGATE_CACHE_FASTFORWARD": "n",
        "CREATE_TABLE": "n",  # several processes at once would collide; the preparation makes the tables
    }


def _measure_deposits(workload: str, settings: Settings, commands: list[Deposit], *, before: int = 0) -> PeerResult:
    """Measure deposits; `before` was deposited in each of their accounts."""
    accounts = sorted({command.account for command in commands})
    writer_of = {account: n % (PROCESSES * THREADS) for n, account in enumerate(accounts)}
    shards: list[list[Deposit]] = [[] for _ in range(PROCESSES * THREADS)]
    for command in commands:
        shards[writer_of[command.account]].append(command)
    spans = in_processes(PEER, _deposit, [(settings, shards[n::PROCESSES]) for n in range(PROCESSES)])
    (found,) = in_processes(PEER, _read_deposits, [(settings,)])
    expected = {account: before + amount for account, amount in received(c.account for c in commands).items()}
    actual = {account: found.get(str(Account.create_id(account)), 0) for account in expected}
    return PeerResult(workload, rate(len(commands), spans), lost_or_doubled(expected, actual), _note())


def _measure_donations(settings: Settings, sizes: Sizes) -> PeerResult:
    commands = donations(sizes)
    roles = [(settings, "crowdfunding", commands), (settings, "accounting", [])]
    crowdfunding, _ = in_processes(PEER, _donate, roles)
    given, raised = received(d.donor for d in commands), received(d.campaign for d in commands)
    ((balances, totals),) = in_processes(PEER, _read_books, [(settings, sorted(given), sorted(raised))])
    donors = {donor: sizes.donations * AMOUNT_SAT - balances[donor] for donor in given}
    owners = {campaign: balances[owner_of(campaign)] for campaign in raised}
    wrong = max(lost_or_doubled(given, donors), lost_or_doubled(raised, owners), lost_or_doubled(raised, totals))
    return PeerResult("donation", rate(len(commands), [crowdfunding]), wrong, "two applications that follow each other")


def _note() -> str:
    return f"{PROCESSES} processes of {THREADS} threads, each account cached by its one writer, no inbox"


def _prepare(gate: Barrier, settings: Settings, sizes: Sizes) -> None:
    """Make the tables, open the accounts and campaigns, and give the second hot account its history."""
    campaigns = [f"campaign-{n}" for n in range(sizes.campaigns)]
    opened = [f"account-{n}" for n in range(sizes.accounts)] + ["hot", "hot-history"]
    opened += [owner_of(campaign) for campaign in campaigns]
    donors = [f"donor-{n}" for n in range(sizes.donors)]
    with Accounting(settings) as accounting, Crowdfunding(settings) as crowdfunding:
        _save(accounting, (Account(name, 0) for name in opened))
        _save(accounting, (Account(name, sizes.donations * AMOUNT_SAT) for name in donors))
        _save(crowdfunding, (Campaign(name, owner_of(name)) for name in campaigns))
        hot = accounting.repository.get(Account.create_id("hot-history"))
        for number in range(sizes.hot_history):
            hot.deposit(f"old-{number}", AMOUNT_SAT)
            if (number + 1) % SNAPSHOT_INTERVAL == 0:
                accounting.save(hot)
        accounting.save(hot)


def _save(application: Any, aggregates: Iterable[Any]) -> None:
    rest = iter(aggregates)
    while batch := list(islice(rest, SAVED_TOGETHER)):
        application.save(*batch)


def _deposit(gate: Barrier, settings: Settings, shards: Sequence[Sequence[Deposit]]) -> Span:
    def work(shard: Sequence[Deposit]) -> None:
        for command in shard:
            accounting.deposit(command)

    with Accounting(settings) as accounting:
        gate.wait()
        return in_threads(THREADS, work, shards)


def _donate(gate: Barrier, settings: Settings, role: str, commands: Sequence[Donation]) -> Span:
    """Be one of the two applications until all donations have ended."""
    leader, follower = (Accounting, Crowdfunding) if role == Crowdfunding.name else (Crowdfunding, Accounting)
    runner = EventSourcedProjectionRunner(application_class=leader, projection_class=follower, env=settings)
    with runner:
        gate.wait()
        if role == Crowdfunding.name:
            begin, _ = in_threads(THREADS, runner.projection.donate, commands)
            span = begin, _when_closed(gate, runner, len(commands))
            gate.wait()  # at which the other process sees that it may end
            return span
        while gate.n_waiting == 0 and not gate.broken:
            runner.run_forever(timeout=WATCH_SECONDS)  # raises what went wrong in its thread
        gate.wait()
    return 0.0, 0.0


def _when_closed(gate: Barrier, runner: Any, count: int) -> float:
    """Return when `count` donations have ended."""
    for _ in range(count):
        while not runner.projection.closed.acquire(timeout=WATCH_SECONDS):
            runner.run_forever(timeout=0)  # raises what went wrong in its thread
            if gate.broken:
                raise threading.BrokenBarrierError
    return time.monotonic()


def _read_deposits(gate: Barrier, settings: Settings) -> dict[str, int]:
    """Return what was deposited, by the id of the account, as the recorded events say."""
    sums: dict[str, int] = {}
    with Accounting(settings) as accounting:
        for recorded in _events(accounting):
            if isinstance(recorded, Account.Deposited):
                account = str(recorded.originator_id)
                sums[account] = sums.get(account, 0) + recorded.amount_sat
    return sums


def _events(application: Any) -> Iterator[Any]:
    """All events of an application, in order."""
    last = 0
    while page := application.recorder.select_notifications(last, PAGE, inclusive_of_start=False):
        yield from map(application.mapper.to_domain_event, page)
        last = page[-1].id


def _read_books(
    gate: Barrier, settings: Settings, donors: Sequence[str], campaigns: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the balances of donors and owners, and what the campaigns have raised."""
    accounts = [*donors, *map(owner_of, campaigns)]
    with Accounting(settings) as accounting, Crowdfunding(settings) as crowdfunding:
        balances = {name: accounting.repository.get(Account.create_id(name)).balance_sat for name in accounts}
        totals = {name: crowdfunding.repository.get(Campaign.create_id(name)).raised_sat for name in campaigns}
    return balances, totals
