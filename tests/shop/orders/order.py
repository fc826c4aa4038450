"""The aggregate of the orders context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from spark_actors.kernel.decisions import Decision, done, rejected
from tests.shop.orders.messages import (
    CancelOrder,
    NoteReleased,
    NoteReserved,
    OrderCancelled,
    OrderClosed,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    PlaceOrder,
    RejectOrder,
)


class OrderState(StrEnum):
    """Where an order stands. All but the first are ends, unless a confirmed one is cancelled."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Order:
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

    @property
    def items(self) -> frozenset[str]:
        return frozenset(line.item_id for line in self.lines)


def place(order: Order | None, command: PlaceOrder, now: datetime) -> Decision[Order]:
    if order is not None:
        return rejected("placed")
    placed = Order(command.order_id, command.customer_id, command.lines, now)
    if not placed.lines or len(placed.items) < len(placed.lines) or any(line.quantity < 1 for line in placed.lines):
        return rejected("invalid_lines")
    told = OrderPlaced(order_id=placed.order_id, customer_id=placed.customer_id, lines=placed.lines)
    return done(placed, told)


def note_reserved(order: Order | None, command: NoteReserved, now: datetime) -> Decision[Order]:
    """The order is confirmed with the last of its lines. Of one that was rejected by then all goes back anyway."""
    if order is None or order.state != OrderState.PLACED:
        return rejected("not_open")
    noted = replace(order, reserved=order.reserved | {command.item_id})
    if noted.reserved < noted.items:
        return done(noted)
    return done(replace(noted, state=OrderState.CONFIRMED, since=now), OrderConfirmed(order_id=order.order_id))


def note_released(order: Order | None, command: NoteReleased, now: datetime) -> Decision[Order]:
    """The order is closed with the last of its lines."""
    has_ended = order is not None and order.state in (OrderState.REJECTED, OrderState.CANCELLED)
    if order is None or not has_ended or command.item_id in order.released:
        return rejected("not_awaited")
    noted = replace(order, released=order.released | {command.item_id})
    return done(noted, OrderClosed(order_id=order.order_id)) if noted.released == noted.items else done(noted)


def reject(order: Order | None, command: RejectOrder, now: datetime) -> Decision[Order]:
    if order is None or order.state != OrderState.PLACED:
        return rejected("not_open")
    told = OrderRejected(order_id=order.order_id, lines=order.lines, reason=command.reason)
    return done(replace(order, state=OrderState.REJECTED, since=now), told)


def cancel(order: Order | None, command: CancelOrder, now: datetime) -> Decision[Order]:
    if order is None or order.state != OrderState.CONFIRMED or order.customer_id != command.customer_id:
        return rejected("not_confirmed")
    told = OrderCancelled(order_id=order.order_id, lines=order.lines)
    return done(replace(order, state=OrderState.CANCELLED, since=now), told)
