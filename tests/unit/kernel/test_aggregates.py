"""A context's table says what becomes of a command whether or not its instance exists."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spark_actors.kernel.aggregates import Handler, changes, creates, handlers, refuses
from spark_actors.kernel.decisions import Decision, rejected
from spark_actors.kernel.errors import BrokenRuleError
from tests.shop.inventory.item import Item
from tests.shop.inventory.messages import AddItem, ReleaseStock, ReserveStock
from tests.shop.orders.order import Order

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
TEA = Item("tea", "Tea", 5)
ADD = AddItem(item_id="tea", label="Tea", quantity=5)
RESERVE = ReserveStock(item_id="tea", order_id="o1", quantity=2)
RELEASE = ReleaseStock(item_id="tea", order_id="o1")


def handler(entry: tuple[object, Handler]) -> Handler:
    return entry[1]


def added_again(item: Item, command: AddItem, now: datetime) -> Decision[Item]:
    return rejected(f"known as {item.label}")


def nobody_has(command: AddItem, now: datetime) -> Decision[Item]:
    return rejected(f"nobody has {command.label}")


def test_a_command_that_creates_makes_the_instance_once() -> None:
    add = handler(creates(AddItem, Item.add, again="known"))
    assert add.missing(ADD, NOON) == Item.add(ADD, NOON)
    assert add.existing(TEA, ADD, NOON) == rejected("known")
    assert handler(creates(AddItem, Item.add, again=added_again)).existing(TEA, ADD, NOON) == rejected("known as Tea")


def test_a_command_that_changes_is_for_an_instance_that_exists() -> None:
    release = handler(changes(ReleaseStock, Item.release, missing="unknown_item"))
    assert release.existing(TEA, RELEASE, NOON) == TEA.release(RELEASE, NOON)
    assert release.missing(RELEASE, NOON) == rejected("unknown_item")
    reserve = handler(changes(ReserveStock, Item.reserve, missing=Item.out_of_stock))
    assert reserve.missing(RESERVE, NOON) == Item.out_of_stock(RESERVE, NOON)


def test_a_refusal_says_the_same_whether_or_not_the_instance_exists() -> None:
    for refusal, reason in ((refuses("label_taken"), "label_taken"), (refuses(nobody_has), "nobody has Tea")):
        assert refusal.missing(ADD, NOON) == refusal.existing(TEA, ADD, NOON) == rejected(reason)


def test_a_refusal_may_say_something_else_where_the_instance_exists() -> None:
    refusal = refuses(nobody_has, existing=added_again)
    assert refusal.missing(ADD, NOON) == rejected("nobody has Tea")
    assert refusal.existing(TEA, ADD, NOON) == rejected("known as Tea")


def test_a_command_has_one_handler() -> None:
    entry = creates(AddItem, Item.add, again="known")
    assert list(handlers(entry)) == [AddItem]
    with pytest.raises(BrokenRuleError, match="inventory.add-item"):
        handlers(entry, entry)


def test_a_method_for_another_command_or_aggregate_is_refused_by_the_type_checker() -> None:
    """Its complaints are expected here: where one is missing, the checker says so."""
    creates(ReserveStock, Item.add, again="known")  # type: ignore[arg-type]
    creates(AddItem, Item.reserve, again="known")  # type: ignore[arg-type]
    creates(AddItem, Item.add, again=Item.reserve)  # type: ignore[arg-type]
    creates(AddItem, Item.add, again=Order.reject)  # type: ignore[arg-type]
    changes(ReleaseStock, Item.reserve, missing="unknown_item")  # type: ignore[arg-type]
    changes(ReleaseStock, Item.release, missing=Item.out_of_stock)  # type: ignore[arg-type]
    changes(ReleaseStock, Item.release, missing=nobody_has)  # type: ignore[arg-type]
