"""The published language of the inventory context."""

from __future__ import annotations

from dataclasses import dataclass

from spark_actors.kernel.messages import Command, Event, Sender, command, event


@command("inventory.add-item", key="item_id", sent_by=Sender.OPERATOR, reasons=("known", "label_taken"))
@dataclass(frozen=True, kw_only=True)
class AddItem(Command):
    """Begin to sell an item, under a label that no other has."""

    item_id: str
    label: str
    quantity: int


@command("inventory.reserve-stock", key="item_id", sent_by=Sender.OPERATOR, reasons=("out_of_stock",))
@dataclass(frozen=True, kw_only=True)
class ReserveStock(Command):
    """Set some aside for an order."""

    item_id: str
    order_id: str
    quantity: int


@command("inventory.release-stock", key="item_id", sent_by=Sender.OPERATOR, reasons=("unknown_item",))
@dataclass(frozen=True, kw_only=True)
class ReleaseStock(Command):
    """Put back what was set aside."""

    item_id: str
    order_id: str
    quantity: int


@event("inventory.item-added", key="item_id")
@dataclass(frozen=True, kw_only=True)
class ItemAdded(Event):
    item_id: str
    label: str
    available: int


@event("inventory.stock-reserved", key="item_id")
@dataclass(frozen=True, kw_only=True)
class StockReserved(Event):
    item_id: str
    order_id: str
    available: int


@event("inventory.stock-refused", key="item_id")
@dataclass(frozen=True, kw_only=True)
class StockRefused(Event):
    item_id: str
    order_id: str


@event("inventory.stock-released", key="item_id")
@dataclass(frozen=True, kw_only=True)
class StockReleased(Event):
    item_id: str
    order_id: str
    available: int


MESSAGES = (AddItem, ReserveStock, ReleaseStock, ItemAdded, StockReserved, StockRefused, StockReleased)
