"""A daemon on a real Lightning network: what it says of money, the channel says too, to the satoshi."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import psycopg
import pytest

from domain.accounting.messages import OpenAccount
from domain.bitcoin.invoice import is_proof
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.crowdfunding.messages import CreateCampaign, RequestGift
from domain.dashboard.views import ViewCampaign, ViewGift, ViewInvoice
from spark_actors.cli.demo import watch
from spark_actors.ingress.client import SparkClient
from spark_actors.kernel.messages import Command, Query
from tests.fixtures.daemon import Daemon
from tests.lab.lightning.faulty_proxy import Fault, FaultyProxy
from tests.lab.lightning.network import MACAROON, LightningNetwork, Node, OutsideInvoice

pytestmark = pytest.mark.timeout(300)
numbers = count()
HELD_SECONDS = 120
FAULT_RATE = 0.2
T = TypeVar("T")


@pytest.fixture(scope="module")
def way(lightning_network: LightningNetwork) -> Iterator[FaultyProxy]:
    """From the daemon to its node."""
    with closing(FaultyProxy(lightning_network.service.url)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def daemon(way: FaultyProxy) -> Iterator[Daemon]:
    """It pays and is paid over LND's interface, by a channel to the world."""
    with TemporaryDirectory(prefix="spark-real-", ignore_cleanup_errors=True) as folder:
        macaroon = Path(folder) / "macaroon"
        macaroon.write_bytes(MACAROON)
        macaroon.chmod(0o600)
        settings = {
            "SPARK_LIGHTNING__NODE": "lnd",
            "SPARK_LIGHTNING__LND__URL": way.url,
            "SPARK_LIGHTNING__LND__MACAROON_FILE": str(macaroon),
        }
        started = Daemon(Path(folder) / "data", settings)
        started.start()
        yield started
        started.kill()
        started.left_behind()


class Bank:
    """What a client of the daemon does."""

    def __init__(self, client: SparkClient) -> None:
        self._client = client

    async def send(self, command: Command) -> None:
        answer = await self._client.send(command)
        assert answer.is_done, answer

    async def seen(self, query: Query, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        view = await watch(self._client, query, happened, patience_seconds=60)
        assert view != {}
        assert happened(view), view
        return view

    async def deposit(self, account_id: str, amount_sat: int) -> tuple[Query, str]:
        """Gives the query for it, and what is to be paid."""
        query = ViewInvoice(invoice_id=f"d-{next(numbers)}")
        await self.send(RequestDeposit(invoice_id=query.invoice_id, account_id=account_id, amount_sat=amount_sat))
        view = await self.seen(query, lambda view: bool(view["payment_request"]))
        return query, str(view["payment_request"])

    async def withdraw(self, account_id: str, payment_request: str) -> Query:
        query = ViewInvoice(invoice_id=f"w-{next(numbers)}")
        command = RequestWithdrawal(invoice_id=query.invoice_id, account_id=account_id, payment_request=payment_request)
        await self.send(command)
        return query


@asynccontextmanager
async def banking(daemon: Daemon) -> AsyncIterator[Bank]:
    card = daemon.card
    async with await SparkClient.connect(card.nats_url, card.nats_token, identity=card.operator_token) as client:
        yield Bank(client)


async def funded(bank: Bank, world: Node, account_id: str, amount_sat: int) -> None:
    """A new account with so much."""
    await bank.send(OpenAccount(account_id=account_id))
    query, request = await bank.deposit(account_id, amount_sat)
    await in_thread(lambda: world.pay(request))
    await bank.seen(query, state_is("credited"))


def play(daemon: Daemon, scene: Callable[[Bank], Coroutine[Any, Any, T]]) -> T:
    async def played() -> T:
        async with banking(daemon) as bank:
            return await scene(bank)

    return asyncio.run(played())


async def in_thread(call: Callable[[], object]) -> None:
    await asyncio.to_thread(call)


def system_sat(daemon: Daemon) -> int:
    """What the ledger says that has come in over Lightning and not gone out again."""
    with psycopg.connect(daemon.card.dsn["accounting"]) as connection:
        [(came, went)] = connection.execute(
            "SELECT coalesce(sum(amount_sat) FILTER (WHERE debit_account IN ('@lightning', '@routing')), 0),"
            " coalesce(sum(amount_sat) FILTER (WHERE credit_account IN ('@lightning', '@routing')), 0)"
            " FROM accounting.ledger"
        ).fetchall()
    return int(came) - int(went)


@dataclass(frozen=True)
class Booked:
    """What the books say of a withdrawal."""

    state: str
    amount_sat: int
    reserve_sat: int
    is_permitted: bool


def withdrawals(daemon: Daemon, payment_hashes: Iterable[str]) -> dict[str, Booked]:
    with psycopg.connect(daemon.card.dsn["bitcoin"]) as connection:
        rows = connection.execute(
            "SELECT payment_hash, state, amount_sat, fee_reserve_sat,"
            " EXISTS (SELECT FROM bitcoin.permits WHERE permits.payment_hash = invoices.payment_hash)"
            " FROM bitcoin.invoices WHERE kind = 'withdrawal' AND payment_hash = ANY(%s)",
            [list(payment_hashes)],
        ).fetchall()
    return {payment_hash: Booked(*others) for payment_hash, *others in rows}


def is_about_to_pay(daemon: Daemon) -> bool:
    with psycopg.connect(daemon.card.dsn["bitcoin"]) as connection:
        found = connection.execute("SELECT FROM bitcoin.tasks WHERE name = 'bitcoin.pay-invoice' LIMIT 1").fetchone()
    return found is not None


def payments(network: LightningNetwork) -> dict[str, str]:
    """How those stand that the service's node has begun."""
    told = network.service.get("/v1/payments?include_incomplete=true")["payments"]
    return {each["payment_hash"]: each["status"] for each in told}


def channel_sat(network: LightningNetwork) -> int:
    """What the service's node holds in its channel."""
    return int(network.service.get("/v1/balance/channels")["local_balance"]["sat"])


def state_is(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda view: view["state"] == state


async def eventually(happened: Callable[[], bool], *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(happened):
            await asyncio.sleep(0.1)


def test_money_comes_in_is_given_and_goes_out_and_channel_and_books_agree_to_the_satoshi(
    daemon: Daemon, lightning_network: LightningNetwork
) -> None:
    before, booked = channel_sat(lightning_network), system_sat(daemon)
    world = lightning_network.world

    async def scene(bank: Bank) -> None:
        for account_id in ("ada", "owner"):
            await bank.send(OpenAccount(account_id=account_id))
        query, request = await bank.deposit("ada", 20_000)
        await in_thread(lambda: world.pay(request))
        await bank.seen(query, state_is("credited"))

        campaign = CreateCampaign(
            campaign_id="roof", account_id="owner", title="A roof", description="It rains in.", goal_sat=5_000
        )
        await bank.send(campaign)
        await bank.send(RequestGift(campaign_id="roof", gift_id="g-1", amount_sat=5_000, name="Zoë"))
        gift = ViewGift(gift_id="g-1")
        asked = await bank.seen(gift, lambda view: bool(view["payment_request"]))
        await in_thread(lambda: world.pay(asked["payment_request"]))
        await bank.seen(gift, state_is("registered"))
        shown = await bank.seen(ViewCampaign(campaign_id="roof"), lambda view: bool(view["campaign"]["goal_reached"]))
        assert [(line["amount_sat"], line["name"]) for line in shown["recent_donations"]] == [(5_000, "Zoë")]

        outside = await asyncio.to_thread(world.invoice, 3_000)
        paid = await bank.seen(await bank.withdraw("ada", outside.payment_request), state_is("paid"))
        assert is_proof(paid["preimage"], outside.payment_hash)

    play(daemon, scene)
    assert system_sat(daemon) - booked == 20_000 + 5_000 - 3_000
    assert channel_sat(lightning_network) - before == 22_000
    assert daemon.cli("audit").returncode == 0


def test_a_payment_that_is_held_delays_nothing_but_itself_and_is_paid_once_whoever_dies_meanwhile(
    daemon: Daemon, lightning_network: LightningNetwork
) -> None:
    world, before, sends = lightning_network.world, channel_sat(lightning_network), lightning_network.service.sends
    held = world.invoice(4_000, is_held=True)

    async def asks(bank: Bank) -> Query:
        withdrawal = await bank.withdraw("ada", held.payment_request)
        await eventually(lambda: lightning_network.service.sends == sends + 1)
        for _ in range(3):
            query, request = await bank.deposit("ada", 1_000)
            await in_thread(lambda: world.pay(request))  # noqa: B023 - it is called at once
            async with asyncio.timeout(5):
                await bank.seen(query, state_is("credited"))
        await bank.seen(withdrawal, state_is("authorized"))
        return withdrawal

    async def is_paid(bank: Bank) -> None:
        await in_thread(lambda: world.hold(held.payment_hash, is_held=False))
        view = await bank.seen(withdrawal, state_is("paid"))
        assert is_proof(view["preimage"], held.payment_hash)

    withdrawal = play(daemon, asks)
    daemon.interrupt(signal.SIGKILL)
    daemon.start()
    play(daemon, is_paid)
    assert lightning_network.service.sends == sends + 1
    assert channel_sat(lightning_network) - before == 3 * 1_000 - 4_000
    assert daemon.cli("audit").returncode == 0


def test_a_payment_that_is_held_and_then_fails_is_given_back_once_with_its_reserve(
    daemon: Daemon, lightning_network: LightningNetwork
) -> None:
    world, booked, before = lightning_network.world, system_sat(daemon), channel_sat(lightning_network)
    held = world.invoice(4_000, is_held=True)
    sends = lightning_network.service.sends

    async def scene(bank: Bank) -> None:
        withdrawal = await bank.withdraw("ada", held.payment_request)
        await eventually(lambda: lightning_network.service.sends == sends + 1)
        await bank.seen(withdrawal, state_is("authorized"))
        await in_thread(lambda: world.cancel(held.payment_hash))
        await bank.seen(withdrawal, state_is("refunded"))

    play(daemon, scene)
    assert (system_sat(daemon), channel_sat(lightning_network)) == (booked, before)
    assert daemon.cli("audit").returncode == 0


@pytest.mark.parametrize("how_many", [25, pytest.param(200, marks=pytest.mark.long)])
def test_of_random_withdrawals_on_a_way_where_anything_goes_wrong_each_is_sent_once_at_most_and_the_books_are_the_nodes(
    daemon: Daemon, way: FaultyProxy, lightning_network: LightningNetwork, how_many: int
) -> None:
    network, random, luck = lightning_network, Random(how_many), Random(how_many)
    spoilt: list[Fault] = []

    def drawn(_: str) -> Fault | None:
        if luck.random() > FAULT_RATE:
            return None
        spoilt.append(luck.choice(list(Fault)))
        return spoilt[-1]

    amounts = [random.randint(100, 3_000) for _ in range(how_many)]
    account_id = f"random-{how_many}"
    play(daemon, lambda bank: funded(bank, network.world, account_id, 2 * sum(amounts)))
    booked, before = system_sat(daemon), channel_sat(network)
    held: list[OutsideInvoice] = []

    def invoice(amount_sat: int) -> OutsideInvoice:
        match random.choice(("taken", "taken", "taken", "refused", "held")):
            case "refused":
                return network.world.refused_invoice(amount_sat)
            case "held":
                held.append(network.world.invoice(amount_sat, is_held=True))
                return held[-1]
        return network.world.invoice(amount_sat)

    async def scene(bank: Bank) -> None:
        with way.drawing(drawn):
            for amount_sat in amounts:
                made = await asyncio.to_thread(invoice, amount_sat)
                asked[made.payment_hash] = made
                await bank.withdraw(account_id, made.payment_request)
            for each in held:
                is_taken = random.random() < 0.5
                await in_thread(lambda: let_go(network.world, each, is_taken=is_taken))  # noqa: B023 - at once
        await eventually(lambda: is_at_rest(daemon, network, asked), seconds=120)

    asked: dict[str, OutsideInvoice] = {}
    play(daemon, scene)
    books, node, sends = withdrawals(daemon, asked), payments(network), network.service.get("/lab/sends")
    assert len(books) == how_many
    assert spoilt
    assert max(sends.get(payment_hash, 0) for payment_hash in asked) == 1
    paid = {payment_hash for payment_hash, each in books.items() if each.state == "paid"}
    unknown = {payment_hash for payment_hash, each in books.items() if each.state == "authorized"}
    assert paid == {payment_hash for payment_hash in asked if node.get(payment_hash) == "SUCCEEDED"}
    assert len(paid) > how_many / 3
    assert not unknown & set(sends)
    assert channel_sat(network) - before == -sum(books[each].amount_sat for each in paid)
    waiting = sum(books[each].amount_sat + books[each].reserve_sat for each in unknown)
    asyncio.run(eventually(lambda: system_sat(daemon) - booked == channel_sat(network) - before - waiting))
    assert daemon.cli("audit").returncode == 0


def let_go(world: Node, held: OutsideInvoice, *, is_taken: bool) -> None:
    if is_taken:
        world.hold(held.payment_hash, is_held=False)
    else:
        world.cancel(held.payment_hash)


def is_at_rest(daemon: Daemon, network: LightningNetwork, payment_hashes: Iterable[str]) -> bool:
    """Whether nothing is to be expected any more, but that the time of requests whose call was lost runs out."""
    if is_about_to_pay(daemon):
        return False
    books, node = withdrawals(daemon, payment_hashes), payments(network)
    return all(
        booked.state in ("paid", "failed") or (booked.is_permitted and payment_hash not in node)
        for payment_hash, booked in books.items()
    )


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("end", ["paid", "refunded"])
def test_a_payment_that_is_held_for_minutes_ends_once_though_the_daemon_and_the_node_that_holds_it_are_killed(
    daemon: Daemon, lightning_network: LightningNetwork, end: str
) -> None:
    world, service = lightning_network.world, lightning_network.service
    play(daemon, lambda bank: funded(bank, world, f"patient-{end}", 10_000))
    held = world.invoice(4_000, is_held=True)
    booked, before = system_sat(daemon), channel_sat(lightning_network)

    async def asks(bank: Bank) -> Query:
        withdrawal = await bank.withdraw(f"patient-{end}", held.payment_request)
        await eventually(lambda: service.sends_of(held.payment_hash) == 1)
        return withdrawal

    async def ends(bank: Bank) -> None:
        await bank.seen(withdrawal, state_is("authorized"))
        await in_thread(lambda: let_go(world, held, is_taken=end == "paid"))
        await bank.seen(withdrawal, state_is(end))

    withdrawal = play(daemon, asks)
    since = time.monotonic()
    time.sleep(HELD_SECONDS / 2)
    daemon.interrupt(signal.SIGKILL)
    world.restart()
    daemon.start()
    time.sleep(max(0.0, since + HELD_SECONDS - time.monotonic()))
    play(daemon, ends)
    assert service.sends_of(held.payment_hash) == 1
    gone = 4_000 if end == "paid" else 0
    assert (system_sat(daemon), channel_sat(lightning_network)) == (booked - gone, before - gone)
    assert daemon.cli("audit").returncode == 0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_after_the_restore_of_an_older_backup_nothing_is_sent_before_what_the_node_has_paid_is_seen_to(
    daemon: Daemon, lightning_network: LightningNetwork
) -> None:
    world, service = lightning_network.world, lightning_network.service
    play(daemon, lambda bank: funded(bank, world, "restored", 10_000))
    lost, new = world.invoice(4_321), world.invoice(1_000)
    backup, data_dir = str(daemon.data_dir.with_name("backup.tar")), daemon.data_dir
    daemon.terminate()
    subprocess.run(["tar", "--create", "--file", backup, "--directory", data_dir.parent, data_dir.name], check=True)
    daemon.start()

    async def pays(bank: Bank) -> None:
        await bank.seen(await bank.withdraw("restored", lost.payment_request), state_is("paid"))

    play(daemon, pays)
    daemon.terminate()
    shutil.rmtree(data_dir)
    subprocess.run(["tar", "--extract", "--file", backup, "--directory", data_dir.parent], check=True)
    daemon.start()

    def why_nothing_is_sent() -> str:
        return daemon.cli("tasks", "--failing", "--json").stdout

    async def is_hindered(bank: Bank) -> Query:
        withdrawal = await bank.withdraw("restored", new.payment_request)
        await eventually(lambda: lost.payment_hash in why_nothing_is_sent())
        return withdrawal

    withdrawal = play(daemon, is_hindered)
    assert "4321 sat" in why_nothing_is_sent()
    audit = daemon.cli("audit")
    assert audit.returncode == 1
    assert lost.payment_hash in audit.stdout
    assert "4321" in audit.stdout
    assert service.sends_of(new.payment_hash) == 0

    async def is_seen_to(bank: Bank) -> None:
        await pays(bank)
        await bank.seen(withdrawal, state_is("paid"))

    play(daemon, is_seen_to)
    assert (service.sends_of(lost.payment_hash), service.sends_of(new.payment_hash)) == (1, 1)
    assert daemon.cli("audit").returncode == 0
