"""The aggregate of the inventory context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from spark_actors.kernel.decisions import Decision, done, rejected
from tests.shop.inventory.messages import (
    AddItem,
    ItemAdded,
    ReleaseStock,
    ReserveStock,
    StockRefused,
    StockReleased,
    StockReserved,
)


@dataclass(frozen=True)
class Item:
    """What is sold, and how much of it there is to be had."""

    item_id: str
    label: str
    available: int


def add(item: Item | None, command: AddItem, now: datetime) -> Decision[Item]:
    if item is not None:
        return rejected("known")
    added = Item(command.item_id, command.label, command.quantity)
    return done(added, ItemAdded(item_id=added.item_id, label=added.label, available=added.available))


def label_taken(item: Item | None, command: AddItem) -> Decision[Item]:
    """Instead of an item whose label another one has."""
    return rejected("label_taken")


def reserve(item: Item | None, command: ReserveStock, now: datetime) -> Decision[Item]:
    if item is None or item.available < command.quantity:
        return rejected("out_of_stock", StockRefused(item_id=command.item_id, order_id=command.order_id))
    left = replace(item, available=item.available - command.quantity)
    told = StockReserved(item_id=left.item_id, order_id=command.order_id, available=left.available)
    return done(left, told)


def release(item: Item | None, command: ReleaseStock, now: datetime) -> Decision[Item]:
    if item is None:
        return rejected("unknown_item")
    more = replace(item, available=item.available + command.quantity)
    told = StockReleased(item_id=more.item_id, order_id=command.order_id, available=more.available)
    return done(more, told)
