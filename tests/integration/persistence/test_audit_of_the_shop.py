"""The audit that an application brings is asked with the runtime's: what the shop's contexts say of each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from spark_actors.cli.audit import checks_of
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from tests.fixtures.aggregates import commit, created
from tests.fixtures.business import STOCK
from tests.shop.inventory.item import Item
from tests.shop.orders.messages import OrderLine
from tests.shop.orders.order import Order, OrderState


@pytest.fixture
def shop(emptied_shop_database: str) -> str:
    """Ann's order is confirmed, Bob's is rejected, Cleo's is being paid for."""
    tea, since = (OrderLine(item_id="tea", quantity=2),), datetime.now(UTC) - timedelta(minutes=2)
    orders = [
        Order("o1", "ann", tea, since, OrderState.CONFIRMED),
        Order("o2", "bob", tea, since, OrderState.REJECTED),
        Order("o3", "cleo", tea, since, OrderState.RESERVED),
    ]
    _store(emptied_shop_database, "orders", {order.order_id: order for order in orders})
    _store(emptied_shop_database, "inventory", {"tea": Item("tea", "Tea", 4, {"o1": 2, "o3": 2})})
    return emptied_shop_database


def _store(dsn: str, context: str, states: dict[str, object]) -> None:
    with closing(PostgresUnitOfWorkFactory(dsn, context, STOCK.tables[context])) as factory:
        commit(factory(), [created(key, state) for key, state in states.items()])


def findings(dsn: str, *, stuck_after: timedelta = timedelta(minutes=1)) -> Sequence[tuple[str, str, str]]:
    application = STOCK.application
    checks = checks_of(application, dict.fromkeys(application.schemas, dsn), stuck_after=stuck_after)
    return [(check.name, finding.subject, finding.detail) for check in checks for finding in check.findings]


def set_aside(dsn: str, **quantities: int) -> None:
    with psycopg.connect(dsn) as connection:
        statement = "UPDATE inventory.documents SET state = jsonb_set(state, '{reserved}', %s::jsonb)"
        connection.execute(statement, (json.dumps(quantities),))


def test_a_sound_shop_passes(shop: str) -> None:
    assert findings(shop) == []


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        ({"o1": 5}, ("nothing is sold that is not there", "tea", "of 4 there are set aside 5")),
        (
            {"o1": 2, "o2": 1},
            (
                "what is set aside is an order's that is not over",
                "tea",
                "1 are set aside for o2, which is rejected",
            ),
        ),
        (
            {"o1": 2, "o9": 1},
            ("what is set aside is an order's that is not over", "tea", "1 are set aside for o9, which is unknown"),
        ),
        ({}, ("every confirmed order has what it asks for", "o1", "0 of tea are set aside, not 2")),
        ({"o1": 1}, ("every confirmed order has what it asks for", "o1", "1 of tea are set aside, not 2")),
    ],
)
def test_what_does_not_agree_is_found(shop: str, quantities: dict[str, int], expected: tuple[str, str, str]) -> None:
    set_aside(shop, **quantities)
    assert expected in findings(shop)


def test_what_is_under_way_has_time(shop: str) -> None:
    set_aside(shop, o2=1)
    assert findings(shop, stuck_after=timedelta(minutes=5)) == []
