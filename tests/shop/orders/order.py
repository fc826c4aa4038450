"""The aggregate of the orders context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from spark_actors.kernel.decisions import Decision, done, rejected
from tests.shop.orders.messages import (
    CancelOrder,
    ConfirmOrder,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    PlaceOrder,
    RejectOrder,
)


class OrderState(StrEnum):
    """Where an order stands."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Order:
    """What somebody wants to have."""

    order_id: str
    customer_id: str
    item_id: str
    quantity: int
    state: OrderState = OrderState.PLACED


def place(order: Order | None, command: PlaceOrder, now: datetime) -> Decision[Order]:
    if order is not None:
        return rejected("placed")
    if command.quantity < 1:
        return rejected("invalid_quantity")
    placed = Order(command.order_id, command.customer_id, command.item_id, command.quantity)
    told = OrderPlaced(
        order_id=placed.order_id, customer_id=placed.customer_id, item_id=placed.item_id, quantity=placed.quantity
    )
    return done(placed, told)


def confirm(order: Order | None, command: ConfirmOrder, now: datetime) -> Decision[Order]:
    if order is None or order.state != OrderState.PLACED:
        return rejected("not_open")
    return done(replace(order, state=OrderState.CONFIRMED), OrderConfirmed(order_id=order.order_id))


def reject(order: Order | None, command: RejectOrder, now: datetime) -> Decision[Order]:
    if order is None or order.state != OrderState.PLACED:
        return rejected("not_open")
    told = OrderRejected(order_id=order.order_id, reason=command.reason)
    return done(replace(order, state=OrderState.REJECTED), told)


def cancel(order: Order | None, command: CancelOrder, now: datetime) -> Decision[Order]:
    if order is None or order.state != OrderState.CONFIRMED or order.customer_id != command.customer_id:
        return rejected("not_confirmed")
    told = OrderCancelled(order_id=order.order_id, item_id=order.item_id, quantity=order.quantity)
    return done(replace(order, state=OrderState.CANCELLED), told)
