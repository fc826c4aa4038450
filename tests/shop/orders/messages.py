"""The published language of the orders context."""

from __future__ import annotations

from dataclasses import dataclass

from spark_actors.kernel.messages import Command, Event, OwnerOf, Query, Sender, command, event, query


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    """So much of an item."""

    item_id: str
    quantity: int


@command("orders.place-order", key="order_id", sent_by=OwnerOf("customer_id"), reasons=("invalid_lines", "placed"))
@dataclass(frozen=True, kw_only=True)
class PlaceOrder(Command):
    """Order some of one item or several, each on one line. All of it is set aside, or nothing."""

    order_id: str
    customer_id: str
    lines: tuple[OrderLine, ...]


@command("orders.note-reserved", key="order_id", sent_by=Sender.OPERATOR, reasons=("not_open",))
@dataclass(frozen=True, kw_only=True)
class NoteReserved(Command):
    """What one line of the order asks for is set aside."""

    order_id: str
    item_id: str


@command("orders.note-charged", key="order_id", sent_by=Sender.OPERATOR, reasons=("not_awaited",))
@dataclass(frozen=True, kw_only=True)
class NoteCharged(Command):
    """The customer was charged for the order."""

    order_id: str


@command("orders.note-released", key="order_id", sent_by=Sender.OPERATOR, reasons=("not_awaited",))
@dataclass(frozen=True, kw_only=True)
class NoteReleased(Command):
    """Nothing is set aside for one line of the order any more."""

    order_id: str
    item_id: str


@command("orders.reject-order", key="order_id", sent_by=Sender.OPERATOR, reasons=("not_open",))
@dataclass(frozen=True, kw_only=True)
class RejectOrder(Command):
    """Not all of the order can be had, or the customer's card was declined."""

    order_id: str
    reason: str


@command("orders.cancel-order", key="order_id", sent_by=OwnerOf("customer_id"), reasons=("not_confirmed",))
@dataclass(frozen=True, kw_only=True)
class CancelOrder(Command):
    """The customer does not want it any more; what was set aside goes back, and so does what was charged."""

    order_id: str
    customer_id: str


@event("orders.order-placed", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderPlaced(Event):
    """Somebody has ordered something."""

    order_id: str
    customer_id: str
    lines: tuple[OrderLine, ...]


@event("orders.order-reserved", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderReserved(Event):
    """All of an order is set aside; now it is to be paid for."""

    order_id: str
    customer_id: str
    lines: tuple[OrderLine, ...]


@event("orders.order-confirmed", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderConfirmed(Event):
    """All of an order is set aside, and the customer was charged for it."""

    order_id: str


@event("orders.order-rejected", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderRejected(Event):
    """An order cannot be had, or not be paid for; what was set aside goes back."""

    order_id: str
    lines: tuple[OrderLine, ...]
    reason: str


@event("orders.order-cancelled", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderCancelled(Event):
    """A confirmed order is not wanted any more; what was set aside goes back, and so does what was charged."""

    order_id: str
    lines: tuple[OrderLine, ...]


@event("orders.order-closed", key="order_id")
@dataclass(frozen=True, kw_only=True)
class OrderClosed(Event):
    """Nothing is set aside any more for an order that was rejected or cancelled."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class OrderSummary:
    """An order as its customer may see it."""

    order_id: str
    customer_id: str
    state: str
    """placed, reserved, confirmed, rejected or cancelled"""
    reason: str
    """Why it was rejected."""


@query("orders.order", key="order_id", result=OrderSummary, sent_by=OwnerOf("customer_id", of_result=True))
@dataclass(frozen=True, kw_only=True)
class ViewOrder(Query):
    """One order, and what has become of it."""

    order_id: str


MESSAGES = (
    PlaceOrder,
    NoteReserved,
    NoteCharged,
    NoteReleased,
    RejectOrder,
    CancelOrder,
    OrderPlaced,
    OrderReserved,
    OrderConfirmed,
    OrderRejected,
    OrderCancelled,
    OrderClosed,
    ViewOrder,
)
