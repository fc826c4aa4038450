"""A daemon on a real Lightning network: what it says of money, the channel says too, to the satoshi."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
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
from tests.lab.lightning.network import MACAROON, LightningNetwork

pytestmark = pytest.mark.timeout(300)
numbers = count()
T = TypeVar("T")


@pytest.fixture(scope="module")
def daemon(lightning_network: LightningNetwork) -> Iterator[Daemon]:
    """It pays and is paid over LND's interface, by a channel to the world."""
    with TemporaryDirectory(prefix="spark-real-", ignore_cleanup_errors=True) as folder:
        macaroon = Path(folder) / "macaroon"
        macaroon.write_bytes(MACAROON)
        macaroon.chmod(0o600)
        settings = {
            "SPARK_LIGHTNING__NODE": "lnd",
            "SPARK_LIGHTNING__LND__URL": lightning_network.service.url,
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


def channel_sat(network: LightningNetwork) -> int:
    """What the service's node holds in its channel."""
    return int(network.service.get("/v1/balance/channels")["local_balance"]["sat"])


def state_is(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda view: view["state"] == state


def eventually(happened: Callable[[], bool]) -> Awaitable[None]:
    async def waits() -> None:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(happened):
                await asyncio.sleep(0.1)

    return waits()


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
