"""The inventory context at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from spark_actors.kernel.aggregates import changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext
from tests.shop.inventory.item import Item
from tests.shop.inventory.messages import MESSAGES, AddItem, ReleaseStock, ReserveStock
from tests.shop.orders.messages import OrderCancelled, OrderPlaced


def reserve_for_order(event: OrderPlaced) -> Sequence[ReserveStock]:
    return [ReserveStock(item_id=event.item_id, order_id=event.order_id, quantity=event.quantity)]


def release_of_order(event: OrderCancelled) -> Sequence[ReleaseStock]:
    return [ReleaseStock(item_id=event.item_id, order_id=event.order_id, quantity=event.quantity)]


CONTEXT = BoundedContext(
    name="inventory",
    messages=MESSAGES,
    aggregate=Item,
    commands=handlers(
        creates(AddItem, Item.add, again="known"),
        changes(ReserveStock, Item.reserve, missing=Item.out_of_stock),
        changes(ReleaseStock, Item.release, missing="unknown_item"),
    ),
    refusals={"items_label_unique": refuses("label_taken")},
    steps={OrderPlaced: reserve_for_order, OrderCancelled: release_of_order},
)
