"""The orders context at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from spark_actors.kernel.aggregates import changes, creates, handlers
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.sagas import SagaKind, SagaMilestone, SagaState
from tests.shop.inventory.messages import StockRefused, StockReserved
from tests.shop.orders.messages import (
    MESSAGES,
    CancelOrder,
    ConfirmOrder,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    PlaceOrder,
    RejectOrder,
)
from tests.shop.orders.order import Order


def confirm_order(event: StockReserved) -> Sequence[ConfirmOrder]:
    return [ConfirmOrder(order_id=event.order_id)]


def reject_order(event: StockRefused) -> Sequence[RejectOrder]:
    return [RejectOrder(order_id=event.order_id, reason="out_of_stock")]


def _order(event: OrderPlaced | OrderConfirmed | OrderRejected) -> str:
    return event.order_id


ORDER = SagaKind(
    "order",
    patience=timedelta(minutes=5),
    milestones=(
        SagaMilestone(OrderPlaced, "placed", SagaState.RUNNING, _order),
        SagaMilestone(OrderRejected, "rejected", SagaState.FAILED, _order),
        SagaMilestone(OrderConfirmed, "confirmed", SagaState.COMPLETED, _order),
    ),
)

CONTEXT = BoundedContext(
    name="orders",
    messages=MESSAGES,
    aggregate=Order,
    commands=handlers(
        creates(PlaceOrder, Order.place, again="placed"),
        changes(ConfirmOrder, Order.confirm, missing="not_open"),
        changes(RejectOrder, Order.reject, missing="not_open"),
        changes(CancelOrder, Order.cancel, missing="not_confirmed"),
    ),
    steps={StockReserved: confirm_order, StockRefused: reject_order},
    sagas=(ORDER,),
)
