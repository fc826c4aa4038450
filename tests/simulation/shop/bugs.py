"""Bugs of the shop put in on purpose, each the mistake that somebody could make at that place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from spark_actors.kernel.decisions import Decision, done, rejected
from spark_actors.kernel.tasks import NotYet
from tests.shop.inventory.context import CONTEXT as INVENTORY
from tests.shop.inventory.item import Item
from tests.shop.inventory.messages import ReleaseStock, ReserveStock, StockRefused, StockReleased, StockReserved
from tests.shop.orders.adapters import CardWorker
from tests.shop.orders.context import CONTEXT as ORDERS
from tests.shop.orders.messages import NoteReserved, OrderCancelled, OrderRejected, OrderReserved, RejectOrder
from tests.shop.orders.order import Order, OrderState
from tests.shop.orders.tasks import ChargeCard, RefundCard
from tests.simulation.bugs import RUNTIME_BUGS, Bug


def _never(event: OrderRejected | OrderCancelled) -> Sequence[ReleaseStock]:
    return []


def _twice(event: OrderRejected | OrderCancelled) -> Sequence[ReleaseStock]:
    return [ReleaseStock(item_id=line.item_id, order_id=event.order_id) for line in (*event.lines, *event.lines)]


def _without_memory(item: Item | None, command: ReleaseStock, now: datetime) -> Decision[Item]:
    if item is None:
        return rejected("not_reserved")
    more = replace(item, stock=item.stock + item.reserved.get(command.order_id, 0))
    return done(more, StockReleased(item_id=more.item_id, order_id=command.order_id, available=more.available))


def _from_what_others_have(item: Item | None, command: ReserveStock, now: datetime) -> Decision[Item]:
    if item is None or not 1 <= command.quantity <= item.stock:
        told = StockRefused(item_id=command.item_id, order_id=command.order_id, reason="out_of_stock")
        return rejected("out_of_stock", told)
    left = replace(item, reserved={**item.reserved, command.order_id: command.quantity})
    return done(left, StockReserved(item_id=left.item_id, order_id=command.order_id, available=left.available))


def _with_the_first_line(order: Order | None, command: NoteReserved, now: datetime) -> Decision[Order]:
    if order is None or order.state != OrderState.PLACED:
        return rejected("not_open")
    told = OrderReserved(order_id=order.order_id, customer_id=order.customer_id, lines=order.lines)
    return done(replace(order, state=OrderState.RESERVED, since=now), told)


_charge = CardWorker.charge


async def _give_up_on_silence(self: CardWorker, task: ChargeCard) -> Any:
    answer = await _charge(self, task)
    return [RejectOrder(order_id=task.order_id, reason="card_declined")] if isinstance(answer, NotYet) else answer


_refund = CardWorker.refund


async def _refund_once(self: CardWorker, task: RefundCard) -> Any:
    await _refund(self, task)
    return []


BUGS: Mapping[str, Bug] = {
    **RUNTIME_BUGS,
    "compensation-not-sent": Bug(
        "What was set aside for an order that is rejected or cancelled stays so.",
        ((INVENTORY.steps, OrderRejected, _never), (INVENTORY.steps, OrderCancelled, _never)),
    ),
    "compensation-twice": Bug(
        "Each line of such an order is released twice.",
        ((INVENTORY.steps, OrderRejected, _twice), (INVENTORY.steps, OrderCancelled, _twice)),
    ),
    "stock-out-of-nothing": Bug(
        "What is released is put to the stock, and stays set aside.",
        ((INVENTORY.commands, ReleaseStock, _without_memory),),
    ),
    "oversold": Bug(
        "An order takes what is set aside for others.", ((INVENTORY.commands, ReserveStock, _from_what_others_have),)
    ),
    "charged-too-early": Bug(
        "An order is charged for with the first of its lines.", ((ORDERS.commands, NoteReserved, _with_the_first_line),)
    ),
    "silence-is-a-decline": Bug(
        "A card company that does not answer counts as one that declines.",
        ((CardWorker, "charge", _give_up_on_silence),),
    ),
    "refund-not-repeated": Bug(
        "A refund of which nothing is heard counts as done.", ((CardWorker, "refund", _refund_once),)
    ),
}
