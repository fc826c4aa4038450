"""The published language of the inventory context."""

from __future__ import annotations

from dataclasses import dataclass

from spark_actors.kernel.messages import Command, Event, Sender, command, event


@command(
    "inventory.add-item", key="item_id", sent_by=Sender.OPERATOR, reasons=("invalid_quantity", "known", "label_taken")
)
@dataclass(frozen=True, kw_only=True)
class AddItem(Command):
    """Begin to sell an item, under a label that no other has."""

    item_id: str
    label: str
    quantity: int


@command(
    "inventory.receive-stock", key="item_id", sent_by=Sender.OPERATOR, reasons=("invalid_quantity", "unknown_item")
)
@dataclass(frozen=True, kw_only=True)
class ReceiveStock(Command):
    """More of an item has come in."""

    item_id: str
    delivery_id: str
    quantity: int


@command("inventory.reserve-stock", key="item_id", sent_by=Sender.OPERATOR, reasons=("out_of_stock", "reserved"))
@dataclass(frozen=True, kw_only=True)
class ReserveStock(Command):
    """Set some aside for an order."""

    item_id: str
    order_id: str
    quantity: int


@command("inventory.release-stock", key="item_id", sent_by=Sender.OPERATOR, reasons=("not_reserved",))
@dataclass(frozen=True, kw_only=True)
class ReleaseStock(Command):
    """Put back what was set aside for an order, if anything was."""

    item_id: str
    order_id: str


@event("inventory.item-added", key="item_id")
@dataclass(frozen=True, kw_only=True)
class ItemAdded(Event):
    """There is something new to be had."""

    item_id: str
    label: str
    available: int


@event("inventory.stock-received", key="item_id")
@dataclass(frozen=True, kw_only=True)
class StockReceived(Event):
    """There is more of an item to be had."""

    item_id: str
    delivery_id: str
    available: int


@event("inventory.stock-reserved", key="item_id")
@dataclass(frozen=True, kw_only=True)
class StockReserved(Event):
    """Some of an item is set aside for an order."""

    item_id: str
    order_id: str
    available: int


@event("inventory.stock-refused", key="item_id")
@dataclass(frozen=True, kw_only=True)
class StockRefused(Event):
    """There is not as much of an item as an order asks for."""

    item_id: str
    order_id: str
    reason: str


@event("inventory.stock-released", key="item_id")
@dataclass(frozen=True, kw_only=True)
class StockReleased(Event):
    """Nothing is set aside for an order any more; what was is to be had again."""

    item_id: str
    order_id: str
    available: int


MESSAGES = (
    AddItem,
    ReceiveStock,
    ReserveStock,
    ReleaseStock,
    ItemAdded,
    StockReceived,
    StockReserved,
    StockRefused,
    StockReleased,
)
