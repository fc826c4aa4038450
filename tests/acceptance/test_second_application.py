"""An application of somebody else, on a daemon as users run it: the runtime knows no business."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.fixtures.daemon import Daemon
from tests.fixtures.pages import ROOT, block

HOW_TO = ROOT / "docs" / "how-to-write-an-application.md"
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def shop() -> Iterator[Daemon]:
    with TemporaryDirectory(prefix="spark-shop-", ignore_cleanup_errors=True) as folder:
        name, _, application = block(HOW_TO, "SPARK_APPLICATION=").text.split()[0].partition("=")
        settings = {
            name: application,
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


def available(shop: Daemon, item_id: str) -> int | None:
    found: int | None = told(shop, "view", "overview.item", f"item_id={item_id}").get("available")
    return found


def until_available(shop: Daemon, item_id: str, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := available(shop, item_id)) != wanted:
        assert time.monotonic() < deadline, f"there are {seen} of {item_id}"


@pytest.mark.timeout(240)
def test_the_shop_sells_what_it_has_and_takes_back_what_is_not_wanted(shop: Daemon) -> None:
    def send(command: str, *fields: str) -> tuple[str, str]:
        answer = told(shop, "send", command, *fields)
        return answer["outcome"], answer["reason"]

    assert send("inventory.add-item", "item_id=tea", "label=Tea", "quantity=5") == ("done", "")
    assert send("inventory.add-item", "item_id=tee", "label=Tea", "quantity=5") == ("rejected", "label_taken")
    until_available(shop, "tea", 5)
    for number, quantity in ((1, 3), (2, 4)):
        order = ("customer_id=ann", "item_id=tea", f"quantity={quantity}")
        assert send("orders.place-order", f"order_id=o{number}", *order) == ("done", "")
    until_available(shop, "tea", 2)
    ended = {"o1": "completed", "o2": "failed"}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while {row["saga_id"]: row["state"] for row in told(shop, "sagas", "list")} != ended:
        assert time.monotonic() < deadline
    assert send("orders.cancel-order", "order_id=o2", "customer_id=ann") == ("rejected", "not_confirmed")
    assert send("orders.cancel-order", "order_id=o1", "customer_id=ann") == ("done", "")
    until_available(shop, "tea", 5)
    assert told(shop, "audit")["passed"]


def test_its_commands_are_its_own(shop: Daemon) -> None:
    assert "campaign_id" not in shop.cli("send", "crowdfunding.create-campaign").stderr
    assert "order_id" in shop.cli("send", "orders.place-order").stderr
    assert shop.cli("demo").returncode == 2
