"""The aggregate of the orders context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from spark_actors.kernel.aggregates import Aggregate
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
class Order(Aggregate):
    """What somebody wants to have."""

    order_id: str
    customer_id: str
    item_id: str
    quantity: int
    state: OrderState = OrderState.PLACED

    @classmethod
    def place(cls, command: PlaceOrder, now: datetime) -> Decision[Order]:
        if command.quantity < 1:
            return rejected("invalid_quantity")
        placed = cls(command.order_id, command.customer_id, command.item_id, command.quantity)
        told = OrderPlaced(
            order_id=placed.order_id, customer_id=placed.customer_id, item_id=placed.item_id, quantity=placed.quantity
        )
        return done(placed, told)

    def confirm(self, command: ConfirmOrder, now: datetime) -> Decision[Order]:
        if self.state != OrderState.PLACED:
            return rejected("not_open")
        return done(replace(self, state=OrderState.CONFIRMED), OrderConfirmed(order_id=self.order_id))

    def reject(self, command: RejectOrder, now: datetime) -> Decision[Order]:
        if self.state != OrderState.PLACED:
            return rejected("not_open")
        told = OrderRejected(order_id=self.order_id, reason=command.reason)
        return done(replace(self, state=OrderState.REJECTED), told)

    def cancel(self, command: CancelOrder, now: datetime) -> Decision[Order]:
        if self.state != OrderState.CONFIRMED or self.customer_id != command.customer_id:
            return rejected("not_confirmed")
        told = OrderCancelled(order_id=self.order_id, item_id=self.item_id, quantity=self.quantity)
        return done(replace(self, state=OrderState.CANCELLED), told)
