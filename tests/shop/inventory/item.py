"""The aggregate of the inventory context."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from spark_actors.kernel.aggregates import Aggregate
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
class Item(Aggregate):
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

    @classmethod
    def add(cls, command: AddItem, now: datetime) -> Decision[Item]:
        if command.quantity < 0:
            return rejected("invalid_quantity")
        added = cls(command.item_id, command.label, command.quantity)
        return done(added, ItemAdded(item_id=added.item_id, label=added.label, available=added.available))

    def receive(self, command: ReceiveStock, now: datetime) -> Decision[Item]:
        if command.quantity < 1:
            return rejected("invalid_quantity")
        more = replace(self, stock=self.stock + command.quantity)
        told = StockReceived(item_id=more.item_id, delivery_id=command.delivery_id, available=more.available)
        return done(more, told)

    def reserve(self, command: ReserveStock, now: datetime) -> Decision[Item]:
        if command.order_id in self.reserved:
            return rejected("reserved")
        if not 1 <= command.quantity <= self.available:
            return self.out_of_stock(command, now)
        left = replace(self, reserved={**self.reserved, command.order_id: command.quantity})
        return done(left, StockReserved(item_id=left.item_id, order_id=command.order_id, available=left.available))

    def release(self, command: ReleaseStock, now: datetime) -> Decision[Item]:
        if command.order_id not in self.reserved:
            return rejected("not_reserved", self._released(command))
        kept = {order_id: quantity for order_id, quantity in self.reserved.items() if order_id != command.order_id}
        more = replace(self, reserved=kept)
        return done(more, more._released(command))

    def _released(self, command: ReleaseStock) -> StockReleased:
        return StockReleased(item_id=self.item_id, order_id=command.order_id, available=self.available)

    @staticmethod
    def out_of_stock(command: ReserveStock, now: datetime) -> Decision[Item]:
        """There is not enough of the item, or none at all."""
        told = StockRefused(item_id=command.item_id, order_id=command.order_id, reason="out_of_stock")
        return rejected("out_of_stock", told)

    @staticmethod
    def nothing_released(command: ReleaseStock, now: datetime) -> Decision[Item]:
        """There is no such item. Whoever asks hears in any case that nothing is set aside any more."""
        return rejected("not_reserved", StockReleased(item_id=command.item_id, order_id=command.order_id, available=0))
