"""The orders context at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from spark_actors.kernel.aggregates import changes, creates, handlers
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.sagas import SagaKind, SagaMilestone, SagaState
from tests.shop.inventory.messages import StockRefused, StockReleased, StockReserved
from tests.shop.orders.messages import (
    MESSAGES,
    CancelOrder,
    NoteCharged,
    NoteReleased,
    NoteReserved,
    OrderCancelled,
    OrderClosed,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderReserved,
    PlaceOrder,
    RejectOrder,
    ViewOrder,
)
from tests.shop.orders.order import Order
from tests.shop.orders.tasks import ChargeCard, RefundCard, charge_card, refund_card


def note_line_reserved(event: StockReserved) -> Sequence[NoteReserved]:
    return [NoteReserved(order_id=event.order_id, item_id=event.item_id)]


def note_line_released(event: StockReleased) -> Sequence[NoteReleased]:
    return [NoteReleased(order_id=event.order_id, item_id=event.item_id)]


def reject_order(event: StockRefused) -> Sequence[RejectOrder]:
    return [RejectOrder(order_id=event.order_id, reason=event.reason)]


def _order(
    event: OrderPlaced | OrderReserved | OrderRejected | OrderCancelled | OrderClosed | OrderConfirmed,
) -> str:
    return event.order_id


ORDER = SagaKind(
    "order",
    patience=timedelta(minutes=5),
    milestones=(
        SagaMilestone(OrderPlaced, "placed", SagaState.RUNNING, _order),
        SagaMilestone(OrderReserved, "reserved", SagaState.RUNNING, _order),
        SagaMilestone(OrderRejected, "rejected", SagaState.RUNNING, _order),
        SagaMilestone(OrderCancelled, "cancelled", SagaState.RUNNING, _order),
        SagaMilestone(OrderClosed, "closed", SagaState.FAILED, _order),
        SagaMilestone(OrderConfirmed, "confirmed", SagaState.COMPLETED, _order),
    ),
)

CONTEXT = BoundedContext(
    name="orders",
    messages=(*MESSAGES, ChargeCard, RefundCard),
    aggregate=Order,
    commands=handlers(
        creates(PlaceOrder, Order.place, again="placed"),
        changes(NoteReserved, Order.note_reserved, missing="not_open"),
        changes(NoteCharged, Order.note_charged, missing="not_awaited"),
        changes(NoteReleased, Order.note_released, missing="not_awaited"),
        changes(RejectOrder, Order.reject, missing="not_open"),
        changes(CancelOrder, Order.cancel, missing="not_confirmed"),
    ),
    views={ViewOrder: Order.summary},
    steps={StockReserved: note_line_reserved, StockRefused: reject_order, StockReleased: note_line_released},
    sagas=(ORDER,),
    tasks={OrderReserved: charge_card, OrderCancelled: refund_card},
)
