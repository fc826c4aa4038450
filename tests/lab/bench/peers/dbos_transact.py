"""DBOS Transact (PyPI: dbos) on the workloads: one durable workflow a command, its writes in datasource transactions.

Which recommendations of its documentation (docs.dbos.dev/python) this follows:

- "Transactions & Datasources": "Datasources are the recommended approach", so every write is a transaction of a
  `SQLAlchemyDatasource` (`@DBOS.transaction`, the older way, is gone since 3.0). The isolation level is READ COMMITTED,
  which that page offers: with the default SERIALIZABLE, a hot account would only see retries.
- "Workflows": the id of the workflow is the idempotency key, so it is the id of the command: sent twice, done once.
- "Transactional Outbox": "we can use durable workflows instead of an explicit outbox table", so there is none.
- "Widget Store" for the donation: one workflow, one transaction for each step, a branch where the money is short.
- "Queues": two processes with an `executor_id` each. The workflows are called directly, not through a queue: both are
  documented, and a queue adds a claim and a poll to each command.
- "Configuration": pools as large as the threads that use them; default serializer; telemetry off.

What is not comparable: there is no broker in front (a command is durable once its workflow row is written), no
events are published and no dashboard is projected. Both books of a donation are in one database here, so a transfer is
one transaction: three steps a donation, where the runtime takes four turns. The history of the hot account is
preloaded as ledger rows alone, without the workflow rows of so many deposits. All of that favours the peer. What does
not: a plain `@DBOS.step` with a transaction of its own saves round trips, and was 1.2 to 1.8 times as fast when tried;
but it may run twice after a crash, so the application would have to keep an inbox itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

from dbos import DBOS, SetWorkflowID, SQLAlchemyDatasource
from sqlalchemy import URL, text

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

PEER = "DBOS Transact"
PROCESSES = 2
THREADS = 8  # in each process
ISOLATION = "READ COMMITTED"

SCHEMA = """
CREATE TABLE accounts (account text PRIMARY KEY, balance_sat bigint NOT NULL CHECK (balance_sat >= 0),
    version bigint NOT NULL);
CREATE TABLE ledger (movement text PRIMARY KEY, account text NOT NULL, amount_sat bigint NOT NULL);
CREATE TABLE campaigns (campaign text PRIMARY KEY, owner text NOT NULL, raised_sat bigint NOT NULL);
CREATE TABLE donations (donation text PRIMARY KEY, campaign text NOT NULL, donor text NOT NULL, state text NOT NULL)
"""
OPEN_ACCOUNT = text("INSERT INTO accounts VALUES (:account, :balance, 0)")
OPEN_CAMPAIGN = text("INSERT INTO campaigns VALUES (:campaign, :owner, 0)")
PRELOAD = text(
    "INSERT INTO ledger SELECT 'old-' || n, :account, :amount FROM generate_series(1, CAST(:count AS integer)) AS n"
)
CREDIT = text("UPDATE accounts SET balance_sat = balance_sat + :amount, version = version + 1 WHERE account = :account")
DEBIT = text(
    "UPDATE accounts SET balance_sat = balance_sat - :amount, version = version + 1"
    " WHERE account = :account AND balance_sat >= :amount"
)
BOOK = text("INSERT INTO ledger VALUES (:movement, :account, :amount)")
BEGIN = text(
    "INSERT INTO donations SELECT :donation, campaign, :donor, 'requested' FROM campaigns WHERE campaign = :campaign"
    " RETURNING (SELECT owner FROM campaigns WHERE campaign = :campaign)"
)
COUNT = text("UPDATE campaigns SET raised_sat = raised_sat + :amount WHERE campaign = :campaign")
CLOSE = text("UPDATE donations SET state = :state WHERE donation = :donation")
BALANCES = text("SELECT account, balance_sat FROM accounts")
LEDGER = text("SELECT account, sum(amount_sat)::bigint FROM ledger GROUP BY account")
TOTALS = text("SELECT campaign, raised_sat FROM campaigns")

Rows = dict[str, int]


@dataclass(frozen=True)
class Workflows:
    """The durable functions of the application, registered with DBOS in this process."""

    deposit: Callable[[str, str], None]
    donate: Callable[[str, str, str], None]


@dataclass(frozen=True)
class Books:
    """What the database says after a workload."""

    balances: Rows
    ledger: Rows
    totals: Rows


def run(dsn: str, sizes: Sizes) -> list[PeerResult]:
    """Measure all workloads in the empty database at `dsn`, whose role owns it; the tables stay behind."""
    url = url_of(dsn)
    in_processes(PEER, _prepare, [(url, sizes)])
    results = [_measure_deposits("uniform", url, uniform_deposits(sizes))]
    results.append(_measure_deposits("hot", url, hot_deposits(sizes, "hot")))
    if sizes.hot_history:
        history = sizes.hot_history * AMOUNT_SAT
        results.append(_measure_deposits("hot-history", url, hot_deposits(sizes, "hot-history"), before=history))
    results.append(_measure_donations(url, sizes))
    return results


def url_of(dsn: str) -> str:
    """Return the DSN as a URL of SQLAlchemy. It holds the password."""
    address = address_of(dsn)
    query = {"host": address.host, "port": address.port}  # where a socket's folder may stand, too
    url = URL.create("postgresql+psycopg", address.user, address.password, database=address.database, query=query)
    return str(url.render_as_string(hide_password=False))


def _measure_deposits(workload: str, url: str, commands: list[Deposit], *, before: int = 0) -> PeerResult:
    """Measure deposits; their accounts had `before` in each."""
    spans = in_processes(PEER, _deposit, [(url, shard, commands[shard::PROCESSES]) for shard in range(PROCESSES)])
    expected = {account: before + amount for account, amount in received(d.account for d in commands).items()}
    (books,) = in_processes(PEER, _read, [(url,)])
    wrong = max(
        lost_or_doubled(expected, {account: found.get(account, 0) for account in expected})
        for found in (books.balances, books.ledger)
    )
    return PeerResult(workload, rate(len(commands), spans), wrong, _note())


def _measure_donations(url: str, sizes: Sizes) -> PeerResult:
    commands = donations(sizes)
    spans = in_processes(PEER, _donate, [(url, shard, commands[shard::PROCESSES]) for shard in range(PROCESSES)])
    given, raised = received(d.donor for d in commands), received(d.campaign for d in commands)
    (books,) = in_processes(PEER, _read, [(url,)])
    donors = {donor: _funds(sizes) - books.balances[donor] for donor in given}
    owners = {campaign: books.balances[owner_of(campaign)] for campaign in raised}
    wrong = max(lost_or_doubled(given, donors), lost_or_doubled(raised, owners), lost_or_doubled(raised, books.totals))
    return PeerResult("donation", rate(len(commands), spans), wrong, _note())


def _note() -> str:
    return f"workflow and datasource transactions, {PROCESSES} processes of {THREADS} threads"


def _funds(sizes: Sizes) -> int:
    return sizes.donations * AMOUNT_SAT


def _datasource(url: str) -> SQLAlchemyDatasource:
    return SQLAlchemyDatasource.create(url, engine_kwargs={"pool_size": THREADS, "max_overflow": 0})


def _prepare(gate: Barrier, url: str, sizes: Sizes) -> None:
    """Make DBOS's tables and the application's, and open the accounts and campaigns."""
    DBOS.migrate(url)
    opened = [f"account-{n}" for n in range(sizes.accounts)] + ["hot"]
    opened += [owner_of(f"campaign-{n}") for n in range(sizes.campaigns)]
    rows = [{"account": account, "balance": 0} for account in opened]
    rows += [{"account": f"donor-{n}", "balance": _funds(sizes)} for n in range(sizes.donors)]
    rows.append({"account": "hot-history", "balance": sizes.hot_history * AMOUNT_SAT})
    campaigns = [f"campaign-{n}" for n in range(sizes.campaigns)]
    engine = _datasource(url).engine
    with engine.begin() as connection:
        connection.execute(text(SCHEMA))
        connection.execute(OPEN_ACCOUNT, rows)
        connection.execute(OPEN_CAMPAIGN, [{"campaign": name, "owner": owner_of(name)} for name in campaigns])
        connection.execute(PRELOAD, {"account": "hot-history", "amount": AMOUNT_SAT, "count": sizes.hot_history})
    engine.dispose()


def _read(gate: Barrier, url: str) -> Books:
    engine = _datasource(url).engine
    with engine.begin() as connection:
        balances, ledger, totals = (
            {row[0]: row[1] for row in connection.execute(query)} for query in (BALANCES, LEDGER, TOTALS)
        )
    engine.dispose()
    return Books(balances, ledger, totals)


def _deposit(gate: Barrier, url: str, shard: int, commands: Sequence[Deposit]) -> Span:
    def one(command: Deposit) -> None:
        with SetWorkflowID(command.deposit_id):
            workflows.deposit(command.deposit_id, command.account)

    with _launched(url, shard) as workflows:
        gate.wait()
        return in_threads(THREADS, one, commands)


def _donate(gate: Barrier, url: str, shard: int, commands: Sequence[Donation]) -> Span:
    def one(command: Donation) -> None:
        with SetWorkflowID(command.donation_id):
            workflows.donate(command.donation_id, command.donor, command.campaign)

    with _launched(url, shard) as workflows:
        gate.wait()
        return in_threads(THREADS, one, commands)


@contextmanager
def _launched(url: str, shard: int) -> Iterator[Workflows]:
    """Launch DBOS in this process, as one executor of the application."""
    config = {
        "name": "peer",
        "system_database_url": url,
        "application_version": "1",
        "executor_id": f"worker-{shard}",
        "log_level": "ERROR",
    }
    DBOS(config=config)
    datasource = _datasource(url)
    workflows = _register(datasource)
    DBOS.launch()
    try:
        yield workflows
    finally:
        DBOS.destroy()
        datasource.engine.dispose()


def _register(datasource: SQLAlchemyDatasource) -> Workflows:
    """Declare the workflows; DBOS knows them by their qualified names, which are the same in every process."""

    @datasource.transaction(isolation_level=ISOLATION)
    def book_deposit(deposit_id: str, account: str) -> None:
        session = datasource.sql_session()
        session.execute(CREDIT, {"account": account, "amount": AMOUNT_SAT})
        session.execute(BOOK, {"movement": deposit_id, "account": account, "amount": AMOUNT_SAT})

    @DBOS.workflow()
    def deposit(deposit_id: str, account: str) -> None:
        book_deposit(deposit_id, account)

    return Workflows(deposit, _register_donation(datasource))


def _register_donation(datasource: SQLAlchemyDatasource) -> Callable[[str, str, str], None]:
    @datasource.transaction(isolation_level=ISOLATION)
    def begin(donation: str, donor: str, campaign: str) -> str:
        values = {"donation": donation, "donor": donor, "campaign": campaign}
        return str(datasource.sql_session().execute(BEGIN, values).scalar_one())

    @datasource.transaction(isolation_level=ISOLATION)
    def transfer(donation: str, donor: str, owner: str) -> bool:
        session = datasource.sql_session()
        if session.execute(DEBIT, {"account": donor, "amount": AMOUNT_SAT}).rowcount == 0:
            return False
        session.execute(CREDIT, {"account": owner, "amount": AMOUNT_SAT})
        session.execute(BOOK, {"movement": f"{donation}/debit", "account": donor, "amount": -AMOUNT_SAT})
        session.execute(BOOK, {"movement": f"{donation}/credit", "account": owner, "amount": AMOUNT_SAT})
        return True

    @datasource.transaction(isolation_level=ISOLATION)
    def close(donation: str, campaign: str, *, moved: bool) -> None:
        session = datasource.sql_session()
        if moved:
            session.execute(COUNT, {"campaign": campaign, "amount": AMOUNT_SAT})
        session.execute(CLOSE, {"donation": donation, "state": "registered" if moved else "rejected"})

    @DBOS.workflow()
    def donate(donation: str, donor: str, campaign: str) -> None:
        owner = begin(donation, donor, campaign)
        moved = transfer(donation, donor, owner)
        close(donation, campaign, moved=moved)

    durable: Callable[[str, str, str], None] = donate
    return durable
