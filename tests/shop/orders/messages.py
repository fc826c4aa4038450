"""The published language of the orders context."""

from __future__ import annotations

from dataclasses import dataclass

from spark_actors.kernel.messages import Command, Event, OwnerOf, Sender, command, event


@command("orders.place-order", key="order_id", sent_by=OwnerOf("customer_id"), reasons=("invalid_quantity", "placed"))
@dataclass(frozen=True, kw_only=True)
class PlaceOrder(Command):
    """Order some of an item."""

    order_id: str
    customer_id: str
    item_id: str
    quantity: int


@command("orders.confirm-order", key="order_id", sent_by=Sender.OPERATOR, reasons=("not_open",))
@dataclass(frozen=True, kw_only=True)
class ConfirmOrder(Command):
    """What was ordered is set aside."""

    order_id: str


@command("orders.reject-order", key="order_id", sent_by=Sender.OPERATOR, reasons=("not_open",))
@dataclass(frozen=True, kw_only=True)
class RejectOrder(Command):
    """There is not enough of the item."""

    order_id: str
    reason: str


@command("orders.cancel-order", key="order_id", sent_by=OwnerOf("customer_id"), reasons=("not_confirmed",))
@dataclass(frozen=True, kw_only=True)
class CancelOrder(Command):
    """The customer does not want it any more; what was set aside goes back."""

    order_id: str
    customer_id: str


@event("orders.order-placed", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderPlaced(Event):
    order_id: str
    customer_id: str
    item_id: str
    quantity: int


@event("orders.order-confirmed", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderConfirmed(Event):
    order_id: str


@event("orders.order-rejected", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderRejected(Event):
    order_id: str
    reason: str


@event("orders.order-cancelled", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderCancelled(Event):
    order_id: str
    item_id: str
    quantity: int


MESSAGES = (
    PlaceOrder,
    ConfirmOrder,
    RejectOrder,
    CancelOrder,
    OrderPlaced,
    OrderConfirmed,
    OrderRejected,
    OrderCancelled,
)
