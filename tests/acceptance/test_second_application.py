"""An application of somebody else, on a daemon as users run it: the runtime knows no business."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import pytest

from spark_actors.ingress.client import SparkClient, ViewRefusedError
from spark_actors.kernel.messages import Query
from spark_actors.persistence.connections import make_pool
from tests.architecture.test_imports import BUSINESS
from tests.fixtures.daemon import Daemon, environment, eventually
from tests.fixtures.pages import ROOT, block
from tests.shop.orders.adapters import SimulatedCardCompany
from tests.shop.orders.messages import ViewOrder
from tests.shop.overview.context import ViewItem

HOW_TO = ROOT / "docs" / "how-to-write-an-application.md"
PATIENCE_SECONDS = 30
VARIABLE, SHOP = block(HOW_TO, "export ").text.split()[1].split("=")


@pytest.fixture(scope="module")
def shop() -> Iterator[Daemon]:
    with TemporaryDirectory(prefix="spark-shop-", ignore_cleanup_errors=True) as folder:
        settings = {
            VARIABLE: SHOP,
            "SPARK_LIGHTNING__SIMULATED__PAYMENT_DELAY_SECONDS": None,
        }
        daemon = Daemon(Path(folder), settings)
        try:
            daemon.start()
            yield daemon
            assert daemon.terminate() == 0
        finally:
            daemon.kill()


def told(shop: Daemon, *words: str) -> Any:
    done = shop.cli(*words, "--json")
    return json.loads(done.stdout or done.stderr)


def lines(**quantities: int) -> str:
    """The field of an order that says what is wanted."""
    return f"lines={json.dumps([{'item_id': item, 'quantity': quantity} for item, quantity in quantities.items()])}"


def view(shop: Daemon, query: Query) -> dict[str, Any]:
    """What the view answers; nothing as long as there is no such thing."""

    async def asked() -> dict[str, Any]:
        card = shop.card
        async with await SparkClient.connect(card.nats_url, card.nats_token, identity=card.operator_token) as client:
            try:
                return await client.view(query)
            except ViewRefusedError:
                return {}

    return asyncio.run(asked())


def is_available(shop: Daemon, item_id: str, wanted: int) -> bool:
    """Whether it comes to be so in time."""
    return eventually(lambda: view(shop, ViewItem(item_id=item_id)).get("available") == wanted, PATIENCE_SECONDS)


def is_order(shop: Daemon, order_id: str, state: str) -> bool:
    """Whether it comes to be so in time."""
    return eventually(lambda: view(shop, ViewOrder(order_id=order_id)).get("state") == state, PATIENCE_SECONDS)


def at_the_company(shop: Daemon, ask: Callable[[SimulatedCardCompany], Awaitable[None]]) -> None:
    async def asked() -> None:
        async with make_pool(shop.card.dsn["orders"]) as pool:
            await ask(SimulatedCardCompany(pool))

    asyncio.run(asked())


@pytest.mark.timeout(240)
def test_the_shop_sells_what_it_has_and_takes_back_what_is_not_wanted(shop: Daemon) -> None:
    def send(command: str, *fields: str) -> tuple[str, str]:
        answer = told(shop, "send", command, *fields)
        return answer["outcome"], answer["reason"]

    assert send("inventory.add-item", "item_id=tea", "label=Tea", "quantity=5") == ("done", "")
    assert send("inventory.add-item", "item_id=tee", "label=Tea", "quantity=5") == ("rejected", "label_taken")
    assert send("inventory.add-item", "item_id=milk", "label=Milk", "quantity=1") == ("done", "")
    assert is_available(shop, "tea", 5)
    for order, quantity in (("o1", 3), ("o2", 4)):
        assert send("orders.place-order", f"order_id={order}", "customer_id=ann", lines(tea=quantity)) == ("done", "")
    both = lines(tea=1, milk=2)
    assert send("orders.place-order", "order_id=o3", "customer_id=ann", both) == ("done", "")
    ended = {"o1": "completed", "o2": "failed", "o3": "failed"}
    assert is_order(shop, "o1", "confirmed")
    assert eventually(lambda: {row["saga_id"]: row["state"] for row in told(shop, "sagas", "list")} == ended)
    assert is_available(shop, "tea", 2)
    assert told(shop, "view", "orders.order", "order_id=o3")["reason"] == "out_of_stock"
    assert send("orders.cancel-order", "order_id=o2", "customer_id=ann") == ("rejected", "not_confirmed")
    assert send("orders.cancel-order", "order_id=o1", "customer_id=ann") == ("done", "")
    assert is_available(shop, "tea", 5)
    assert told(shop, "audit")["passed"]


@pytest.mark.timeout(240)
def test_its_demo_is_told_in_a_minute_as_often_as_one_likes_and_ends_with_its_audit(shop: Daemon) -> None:
    began = time.monotonic()
    first = shop.cli("demo")
    assert first.returncode == 0, first.stdout + first.stderr
    assert time.monotonic() - began < 60
    again = shop.cli("demo")
    assert again.stdout == first.stdout
    words = ("confirmed", "rejected", "out_of_stock", "card_declined", "cancelled")
    assert [word for word in words if word not in first.stdout] == []
    assert "every confirmed order has what it asks for" in first.stdout
    assert "The audit has passed." in first.stdout
    summary = told(shop, "demo")
    assert summary["passed"]
    assert summary["audit"]["passed"]
    assert {item: view["available"] for item, view in summary["items"].items()} == {
        "tea": 3,
        "milk": 1,
        "candles": 30,
    }


@pytest.mark.timeout(120)
def test_a_card_company_that_does_not_answer_is_seen_as_a_task_and_asked_until_it_does(shop: Daemon) -> None:
    at_the_company(shop, lambda company: company.silence("eve"))
    assert told(shop, "send", "inventory.add-item", "item_id=salt", "label=Salt", "quantity=2")["outcome"] == "done"
    order = ("order_id=o9", "customer_id=eve", lines(salt=2))
    assert told(shop, "send", "orders.place-order", *order)["outcome"] == "done"

    assert eventually(lambda: told(shop, "tasks", "--failing") != [])
    [task] = told(shop, "tasks", "--failing")
    assert (task["name"], task["key"]) == ("orders.charge-card", "o9")
    assert task["problem"] == "the card company does not answer about eve"
    assert is_order(shop, "o9", "reserved")

    at_the_company(shop, lambda company: company.speak("eve"))
    assert is_order(shop, "o9", "confirmed")
    assert eventually(lambda: told(shop, "tasks") == [])


def test_its_commands_are_its_own(shop: Daemon) -> None:
    assert "campaign_id" not in shop.cli("send", "crowdfunding.create-campaign").stderr
    assert "order_id" in shop.cli("send", "orders.place-order").stderr
    assert shop.cli("login", "ann").returncode == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("status",),
        ("status", "--json"),
        ("sagas", "list"),
        ("audit",),
        ("demo", "--help"),
        ("send", "--help"),
        ("view", "--help"),
    ],
    ids=" ".join,
)
def test_nobody_hears_a_word_of_another_business(shop: Daemon, words: tuple[str, ...]) -> None:
    shown = shop.cli(*words)
    assert shown.returncode == 0, shown.stderr
    assert BUSINESS.findall(shown.stdout + shown.stderr) == []


@pytest.mark.parametrize("words", [(), ("orders.place-order",), ("orders.order",), ("--asyncapi",)], ids=" ".join)
def test_its_messages_are_told_in_its_own_words(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "spark_actors.cli", "messages", *words]
    env = {**environment(), VARIABLE: SHOP}
    shown = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert BUSINESS.findall(shown.stdout) == []
    assert "(item_id:" not in shown.stdout, "every message says in words what it is"
    assert "(order_id:" not in shown.stdout


def test_it_has_a_home_page_though_it_brings_no_pages(shop: Daemon) -> None:
    with urlopen(shop.card.web_url, timeout=PATIENCE_SECONDS) as answer:
        home = answer.read().decode()
    assert "<h1>Shop</h1>" in home
    assert not BUSINESS.search(home)
