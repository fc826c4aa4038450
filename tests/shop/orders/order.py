"""The aggregate of the orders context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from spark_actors.kernel.aggregates import Aggregate
from spark_actors.kernel.decisions import Decision, done, rejected
from tests.shop.orders.messages import (
    CancelOrder,
    NoteCharged,
    NoteReleased,
    NoteReserved,
    OrderCancelled,
    OrderClosed,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderReserved,
    OrderSummary,
    PlaceOrder,
    RejectOrder,
    ViewOrder,
)


class OrderState(StrEnum):
    """Where an order stands. All but the first two are ends, unless a confirmed one is cancelled."""

    PLACED = "placed"
    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Order(Aggregate):
    """What somebody wants to have."""

    order_id: str
    customer_id: str
    lines: tuple[OrderLine, ...]
    since: datetime
    """When it came to stand where it does."""
    state: OrderState = OrderState.PLACED
    reserved: frozenset[str] = frozenset()
    """The items of which all that is wanted is set aside."""
    released: frozenset[str] = frozenset()
    """Of an order that was rejected or cancelled: the items of which nothing is set aside any more."""
    reason: str = ""
    """Why it was rejected."""

    @property
    def items(self) -> frozenset[str]:
        return frozenset(line.item_id for line in self.lines)

    @classmethod
    def place(cls, command: PlaceOrder, now: datetime) -> Decision[Order]:
        placed = cls(command.order_id, command.customer_id, command.lines, now)
        if not placed.lines or len(placed.items) < len(placed.lines) or any(line.quantity < 1 for line in placed.lines):
            return rejected("invalid_lines")
        told = OrderPlaced(order_id=placed.order_id, customer_id=placed.customer_id, lines=placed.lines)
        return done(placed, told)

    def note_reserved(self, command: NoteReserved, now: datetime) -> Decision[Order]:
        """The order is reserved with the last of its lines. Of one that was rejected by then all goes back anyway."""
        if self.state != OrderState.PLACED:
            return rejected("not_open")
        noted = replace(self, reserved=self.reserved | {command.item_id})
        if noted.reserved < noted.items:
            return done(noted)
        told = OrderReserved(order_id=self.order_id, customer_id=self.customer_id, lines=self.lines)
        return done(replace(noted, state=OrderState.RESERVED, since=now), told)

    def note_charged(self, command: NoteCharged, now: datetime) -> Decision[Order]:
        if self.state != OrderState.RESERVED:
            return rejected("not_awaited")
        return done(replace(self, state=OrderState.CONFIRMED, since=now), OrderConfirmed(order_id=self.order_id))

    def note_released(self, command: NoteReleased, now: datetime) -> Decision[Order]:
        """The order is closed with the last of its lines."""
        has_ended = self.state in (OrderState.REJECTED, OrderState.CANCELLED)
        if not has_ended or command.item_id in self.released:
            return rejected("not_awaited")
        noted = replace(self, released=self.released | {command.item_id})
        return done(noted, OrderClosed(order_id=self.order_id)) if noted.released == noted.items else done(noted)

    def reject(self, command: RejectOrder, now: datetime) -> Decision[Order]:
        if self.state not in (OrderState.PLACED, OrderState.RESERVED):
            return rejected("not_open")
        told = OrderRejected(order_id=self.order_id, lines=self.lines, reason=command.reason)
        return done(replace(self, state=OrderState.REJECTED, since=now, reason=command.reason), told)

    def cancel(self, command: CancelOrder, now: datetime) -> Decision[Order]:
        if self.state != OrderState.CONFIRMED or self.customer_id != command.customer_id:
            return rejected("not_confirmed")
        told = OrderCancelled(order_id=self.order_id, lines=self.lines)
        return done(replace(self, state=OrderState.CANCELLED, since=now), told)

    def summary(self, query: ViewOrder) -> OrderSummary:
        return OrderSummary(
            order_id=self.order_id, customer_id=self.customer_id, state=self.state.value, reason=self.reason
        )
