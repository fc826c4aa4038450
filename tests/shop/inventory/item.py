"""The aggregate of the inventory context."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from spark_actors.kernel.decisions import Decision, done, rejected
from tests.shop.inventory.messages import (
    AddItem,
    ItemAdded,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    StockReceived,
    StockRefused,
    StockReleased,
    StockReserved,
)


@dataclass(frozen=True)
class Item:
    """What is sold, how much of it there is, and for which orders some of it is set aside."""

    item_id: str
    label: str
    stock: int
    reserved: dict[str, int] = field(default_factory=dict)
    """By order."""

    @property
    def available(self) -> int:
        """What is to be had."""
        return self.stock - sum(self.reserved.values())


def add(item: Item | None, command: AddItem, now: datetime) -> Decision[Item]:
    if item is not None:
        return rejected("known")
    if command.quantity < 0:
        return rejected("invalid_quantity")
    added = Item(command.item_id, command.label, command.quantity)
    return done(added, ItemAdded(item_id=added.item_id, label=added.label, available=added.available))


def label_taken(item: Item | None, command: AddItem) -> Decision[Item]:
    """Instead of an item whose label another one has."""
    return rejected("label_taken")


def receive(item: Item | None, command: ReceiveStock, now: datetime) -> Decision[Item]:
    if item is None:
        return rejected("unknown_item")
    if command.quantity < 1:
        return rejected("invalid_quantity")
    more = replace(item, stock=item.stock + command.quantity)
    told = StockReceived(item_id=more.item_id, delivery_id=command.delivery_id, available=more.available)
    return done(more, told)


def reserve(item: Item | None, command: ReserveStock, now: datetime) -> Decision[Item]:
    if item is not None and command.order_id in item.reserved:
        return rejected("reserved")
    if item is None or not 1 <= command.quantity <= item.available:
        told = StockRefused(item_id=command.item_id, order_id=command.order_id, reason="out_of_stock")
        return rejected("out_of_stock", told)
    left = replace(item, reserved={**item.reserved, command.order_id: command.quantity})
    return done(left, StockReserved(item_id=left.item_id, order_id=command.order_id, available=left.available))


def release(item: Item | None, command: ReleaseStock, now: datetime) -> Decision[Item]:
    """Whoever asks hears in any case that nothing is set aside any more."""
    if item is None or command.order_id not in item.reserved:
        left = item.available if item else 0
        told = StockReleased(item_id=command.item_id, order_id=command.order_id, available=left)
        return rejected("not_reserved", told)
    kept = {order_id: quantity for order_id, quantity in item.reserved.items() if order_id != command.order_id}
    more = replace(item, reserved=kept)
    return done(more, StockReleased(item_id=more.item_id, order_id=command.order_id, available=more.available))
