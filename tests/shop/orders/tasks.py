"""What is to be done at the card company: durable tasks, each the consequence of an event of an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spark_actors.kernel.messages import task
from spark_actors.kernel.tasks import Task
from tests.shop.orders.messages import OrderCancelled, OrderReserved


@task("orders.charge-card", key="order_id")
@dataclass(frozen=True, kw_only=True)
class ChargeCard(Task):
    """Have the customer charged for all pieces of an order."""

    order_id: str
    customer_id: str
    pieces: int


@task("orders.refund-card", key="order_id")
@dataclass(frozen=True, kw_only=True)
class RefundCard(Task):
    """Have the customer given back what was charged for an order."""

    order_id: str


def charge_card(event: OrderReserved) -> Sequence[ChargeCard]:
    pieces = sum(line.quantity for line in event.lines)
    return [ChargeCard(order_id=event.order_id, customer_id=event.customer_id, pieces=pieces)]


def refund_card(event: OrderCancelled) -> Sequence[RefundCard]:
    return [RefundCard(order_id=event.order_id)]
