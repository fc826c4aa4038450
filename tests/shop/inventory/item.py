"""The aggregate of the inventory context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from spark_actors.kernel.aggregates import Aggregate
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
class Item(Aggregate):
    """What is sold, and how much of it there is to be had."""

    item_id: str
    label: str
    available: int

    @classmethod
    def add(cls, command: AddItem, now: datetime) -> Decision[Item]:
        added = cls(command.item_id, command.label, command.quantity)
        return done(added, ItemAdded(item_id=added.item_id, label=added.label, available=added.available))

    def reserve(self, command: ReserveStock, now: datetime) -> Decision[Item]:
        if self.available < command.quantity:
            return self.out_of_stock(command, now)
        left = replace(self, available=self.available - command.quantity)
        told = StockReserved(item_id=left.item_id, order_id=command.order_id, available=left.available)
        return done(left, told)

    def release(self, command: ReleaseStock, now: datetime) -> Decision[Item]:
        more = replace(self, available=self.available + command.quantity)
        told = StockReleased(item_id=more.item_id, order_id=command.order_id, available=more.available)
        return done(more, told)

    @staticmethod
    def out_of_stock(command: ReserveStock, now: datetime) -> Decision[Item]:
        """There is not enough of the item, or none at all."""
        return rejected("out_of_stock", StockRefused(item_id=command.item_id, order_id=command.order_id))
