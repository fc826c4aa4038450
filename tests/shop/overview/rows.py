"""What an event tells of the rows that are shown. Of two that tell of one row the later one wins, in whichever order
they come: what comes twice, or late, changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from spark_actors.kernel.messages import Event
from tests.shop.inventory.messages import ItemAdded, StockReceived, StockReleased, StockReserved
from tests.shop.orders.messages import OrderCancelled, OrderConfirmed, OrderPlaced, OrderRejected, OrderReserved

_STATES: dict[type[Event], str] = {
    OrderPlaced: "placed",
    OrderReserved: "reserved",
    OrderConfirmed: "confirmed",
    OrderRejected: "rejected",
    OrderCancelled: "cancelled",
}
READS: tuple[type[Event], ...] = (ItemAdded, StockReceived, StockReserved, StockReleased, *_STATES)


class ItemSeen(NamedTuple):
    """An item as one event tells of it."""

    item_id: str
    label: str | None
    """None: the event does not say."""
    available: int
    sequence: int
    """Which version of the item that is."""

    @property
    def key(self) -> str:
        return self.item_id

    def merged(self, other: ItemSeen) -> ItemSeen:
        latest = other if other.sequence > self.sequence else self
        return latest._replace(label=self.label or other.label)


class OrderSeen(NamedTuple):
    """An order as one event tells of it."""

    order_id: str
    customer_id: str | None
    """None: the event does not say."""
    state: str
    reason: str
    sequence: int
    """Which version of the order that is."""

    @property
    def key(self) -> str:
        return self.order_id

    def merged(self, other: OrderSeen) -> OrderSeen:
        latest = other if other.sequence > self.sequence else self
        return latest._replace(customer_id=self.customer_id or other.customer_id)


def row_of(event: Event, sequence: int) -> ItemSeen | OrderSeen:
    """The row that one of the events in `READS` tells of; *sequence* is its envelope's."""
    if state := _STATES.get(type(event)):
        customer_id, reason = getattr(event, "customer_id", None), getattr(event, "reason", "")
        return OrderSeen(event.key, customer_id, state, reason, sequence)
    return ItemSeen(event.key, getattr(event, "label", None), getattr(event, "available", 0), sequence)
