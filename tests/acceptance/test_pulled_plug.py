"""`kill -9` of the whole daemon under load, and a restart: nothing lost, nothing doubled.

The producer is a raw NATS client, as anybody would write it: JSON on a subject, no code of ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from tests.fixtures.daemon import Daemon, eventually

ACCOUNTS = 40
DEPOSITS = 1_600
DONATIONS = 220
AMOUNT = 1_000
GIFT = 10
CAMPAIGN = "plug-c"


def account(number: int) -> str:
    """Of a name that no other test on the same daemon uses."""
    return f"plug-a{number}"


def an_event(kind: str, message_id: str, key: str, **data: Any) -> tuple[str, bytes]:
    context, _, name = kind.partition(".")
    body = {
        "specversion": "1.0",
        "id": message_id,
        "source": "tests/raw-client",
        "why": "a test",
        "type": f"spark.{context}.{name}.v1",
        "subject": key,
        "data": data,
    }
    return f"spark.commands.{kind}", json.dumps(body).encode()


def a_deposit(n: int) -> tuple[str, bytes]:
    key = account(n % ACCOUNTS)
    return an_event(
        "accounting.deposit", f"deposit-{n}", key, account_id=key, deposit_id=f"plug-d{n}", amount_sat=AMOUNT
    )


def the_opening() -> Iterator[tuple[str, bytes]]:
    """Accounts with something in them, and a campaign of the first one.

    Order is promised for each key, not between two: a donation that comes before its donor's deposit is refused.
    """
    for n in range(ACCOUNTS):
        yield an_event("accounting.open-account", f"open-{n}", account(n), account_id=account(n))
        yield a_deposit(n)
    yield an_event(
        "crowdfunding.create-campaign",
        "campaign",
        CAMPAIGN,
        campaign_id=CAMPAIGN,
        account_id=account(0),
        title="A well",
        description="Water for all",
        goal_sat=100,
    )


def the_load() -> Iterator[tuple[str, bytes]]:
    """Deposits all over, and donations between them."""
    for n in range(ACCOUNTS, DEPOSITS):
        key = account(n % ACCOUNTS)
        yield a_deposit(n)
        if n % (DEPOSITS // DONATIONS) == 0 and key != account(0):
            yield an_event(
                "crowdfunding.donate-to-campaign",
                f"donate-{n}",
                CAMPAIGN,
                campaign_id=CAMPAIGN,
                donation_id=f"plug-g{n}",
                account_id=key,
                amount_sat=GIFT,
            )


def authorization(daemon: Daemon) -> dict[str, str]:
    return {"Spark-Authorization": f"Bearer {daemon.card.operator_token}"}


async def connected(daemon: Daemon) -> Client:
    return await nats.connect(
        daemon.card.nats_url, token=daemon.card.nats_token, allow_reconnect=False, connect_timeout=5
    )


async def publish(daemon: Daemon, messages: list[tuple[str, bytes]], *, kill_after: int | None = None) -> None:
    """Publish all, in order, and wait for the broker's word; or pull the plug on the way."""
    connection = await connected(daemon)
    headers = authorization(daemon)
    jetstream = connection.jetstream()
    for number, (subject, body) in enumerate(messages):
        await jetstream.publish_async(subject, body, headers=headers.copy())
        if number == kill_after:
            daemon.kill()
            break
    else:
        await asyncio.wait_for(jetstream.publish_async_completed(), 60)
    with suppress(OSError):  # the plug may have been pulled
        await connection.close()


async def ask(daemon: Daemon, view: str, **query: Any) -> dict[str, Any]:
    connection = await connected(daemon)
    try:
        reply = await connection.request(
            f"spark.queries.dashboard.{view}", json.dumps(query).encode(), timeout=10, headers=authorization(daemon)
        )
        answer: dict[str, Any] = json.loads(reply.data)
        return answer
    finally:
        await connection.close()


def balance(daemon: Daemon, account_id: str) -> int:
    return int(asyncio.run(ask(daemon, "account-overview", account_id=account_id)).get("balance_sat", -1))


def campaign(daemon: Daemon) -> dict[str, Any]:
    return dict(asyncio.run(ask(daemon, "campaign", campaign_id=CAMPAIGN)).get("campaign", {}))


@pytest.mark.timeout(240)
def test_a_pulled_plug_loses_nothing_and_doubles_nothing(running: Daemon) -> None:
    messages = list(the_load())
    donations = sum(subject.endswith("donate-to-campaign") for subject, _ in messages)

    def books() -> list[int]:
        return [balance(running, account(n)) for n in range(ACCOUNTS)]

    asyncio.run(publish(running, list(the_opening())))
    assert eventually(lambda: books() == [AMOUNT] * ACCOUNTS, 30), books()
    for kill_after in (len(messages) // 3, 2 * len(messages) // 3):
        asyncio.run(publish(running, messages, kill_after=kill_after))
        assert running.left_behind() == []
        running.start()
    # What the broker did not confirm may or may not be there; a producer sends it again under the same ids.
    asyncio.run(publish(running, messages))

    def all_done() -> bool:
        return campaign(running).get("donations") == donations

    assert eventually(all_done, 90), f"{campaign(running)} {running.cli('sagas', 'list', '--state', 'failed').stdout}"
    given = donations * GIFT
    assert campaign(running)["raised_sat"] == given
    assert eventually(lambda: sum(books()) == DEPOSITS * AMOUNT, 30), books()
    assert balance(running, account(0)) == DEPOSITS // ACCOUNTS * AMOUNT + given
    audit = running.cli("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
