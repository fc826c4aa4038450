"""The inventory context at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from spark_actors.kernel.aggregates import changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext
from tests.shop.inventory.item import Item
from tests.shop.inventory.messages import MESSAGES, AddItem, ReceiveStock, ReleaseStock, ReserveStock
from tests.shop.orders.messages import OrderCancelled, OrderPlaced, OrderRejected


def reserve_for_order(event: OrderPlaced) -> Sequence[ReserveStock]:
    return [ReserveStock(item_id=line.item_id, order_id=event.order_id, quantity=line.quantity) for line in event.lines]


def release_of_order(event: OrderRejected | OrderCancelled) -> Sequence[ReleaseStock]:
    """The compensation. Of a line that was refused nothing is set aside, and nothing comes of it."""
    return [ReleaseStock(item_id=line.item_id, order_id=event.order_id) for line in event.lines]


CONTEXT = BoundedContext(
    name="inventory",
    messages=MESSAGES,
    aggregate=Item,
    commands=handlers(
        creates(AddItem, Item.add, again="known"),
        changes(ReceiveStock, Item.receive, missing="unknown_item"),
        changes(ReserveStock, Item.reserve, missing=Item.out_of_stock),
        changes(ReleaseStock, Item.release, missing=Item.nothing_released),
    ),
    refusals={"items_label_unique": refuses("label_taken")},
    steps={OrderPlaced: reserve_for_order, OrderRejected: release_of_order, OrderCancelled: release_of_order},
)
