"""What must be true of the shop: at every instant, and when a run is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from spark_actors.kernel.decisions import Verdict
from spark_actors.messaging.envelope import decode_data
from tests.shop.inventory.item import Item
from tests.shop.inventory.messages import AddItem, ReceiveStock
from tests.shop.orders.messages import OrderClosed, OrderConfirmed, OrderPlaced, OrderRejected, OrderReserved
from tests.shop.orders.order import Order, OrderState
from tests.shop.overview.rows import ItemSeen
from tests.simulation.history import Committed, History, Onlooker
from tests.simulation.wiring import Deployment

CHARGES: Mapping[OrderState, tuple[str | None, ...]] = {
    OrderState.PLACED: (None,),
    OrderState.RESERVED: (None, "charged", "declined"),
    OrderState.CONFIRMED: ("charged",),
    OrderState.REJECTED: (None, "declined"),
    OrderState.CANCELLED: ("charged", "refunded"),
}
"""How an order may stand in the card company's books; None: it was not asked."""


class Tables:
    """What is stored."""

    def __init__(self, deployment: Deployment) -> None:
        self.items: dict[str, Item] = _states(deployment, "inventory")
        self.orders: dict[str, Order] = _states(deployment, "orders")
        self.charges: Mapping[str, str] = deployment.outside.states
        """How the orders stand in the card company's books."""

    @property
    def set_aside(self) -> dict[tuple[str, str], int]:
        """By item and order."""
        return {(it.item_id, order): quantity for it in self.items.values() for order, quantity in it.reserved.items()}

    def wanted(self, *states: OrderState) -> dict[tuple[str, str], int]:
        """What the orders in these states ask for, by item and order."""
        orders = (it for it in self.orders.values() if it.state in states)
        return {(line.item_id, it.order_id): line.quantity for it in orders for line in it.lines}


def _states(deployment: Deployment, context: str) -> dict[str, Any]:
    return {key: held.state for key, held in deployment.schema(context).instances.items()}


class Instants(Onlooker):
    """Looks into the tables, and the card company's books, after every transaction."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def committed(self, commit: Committed) -> Iterator[str]:
        tables = Tables(self._deployment)
        yield from (f"{it.item_id} is oversold: {it}" for it in tables.items.values() if it.available < 0)
        set_aside = tables.set_aside
        for (item, order), quantity in tables.wanted(OrderState.RESERVED, OrderState.CONFIRMED).items():
            if set_aside.get((item, order)) != quantity:
                yield f"{order} is reserved, and of {item} it has {set_aside.get((item, order))}, not {quantity}"
        for placed in tables.orders.values():
            charge = tables.charges.get(placed.order_id)
            if charge not in CHARGES[placed.state]:
                yield f"{placed.order_id} is {placed.state}, and its charge {charge}"
        for item, order in set_aside:
            if order not in tables.orders or tables.orders[order].released >= {item}:
                yield f"{item} is set aside for {order}, which has nothing"


def verdict(deployment: Deployment, history: History) -> Iterator[str]:
    """Everything that is wrong when a run is over, in words."""
    tables = Tables(deployment)
    yield from _orders_end(tables, history)
    yield from _cards(tables)
    yield from _stock_adds_up(deployment, tables, history)
    yield from _read_models(deployment, tables)


def _orders_end(tables: Tables, history: History) -> Iterator[str]:
    """Each once, either with all that it asks for or with nothing."""
    if (found := tables.set_aside) != (wanted := tables.wanted(OrderState.CONFIRMED)):
        yield f"{found} is set aside, the confirmed orders ask for {wanted}"
    told = Counter((event.name, event.key) for commit in history.commits for event in commit.events)
    for order in tables.orders.values():
        placed, reserved, confirmed, rejected, closed = (
            told[kind.TYPE.name, order.order_id]
            for kind in (OrderPlaced, OrderReserved, OrderConfirmed, OrderRejected, OrderClosed)
        )
        if order.state in (OrderState.PLACED, OrderState.RESERVED):
            yield f"{order.order_id} is under way for good"
        is_closed = order.state in (OrderState.REJECTED, OrderState.CANCELLED)
        if (placed, confirmed + rejected, closed) != (1, 1, int(is_closed)) or not confirmed <= reserved <= 1:
            yield (
                f"{order.order_id} is {order.state}: placed {placed} ×, reserved {reserved} ×, "
                f"confirmed {confirmed} ×, rejected {rejected} ×, closed {closed} ×"
            )


def _cards(tables: Tables) -> Iterator[str]:
    """Who has what was ordered has paid, and nobody else has."""
    charged = {order_id for order_id, state in tables.charges.items() if state == "charged"}
    confirmed = {it.order_id for it in tables.orders.values() if it.state == OrderState.CONFIRMED}
    if charged != confirmed:
        yield f"{sorted(charged)} are charged and not refunded, {sorted(confirmed)} are confirmed"


def _stock_adds_up(deployment: Deployment, tables: Tables, history: History) -> Iterator[str]:
    """There is what came in: orders only set it aside."""
    came: Counter[str] = Counter()
    for commit in history.commits:
        for envelope, outcome in commit.marks if commit.context == "inventory" else ():
            command = decode_data(deployment.subject.registry, envelope)
            if isinstance(command, (AddItem, ReceiveStock)) and outcome.verdict is Verdict.DONE:
                came[command.item_id] += command.quantity
    for item in tables.items.values():
        if item.stock != came[item.item_id]:
            yield f"there are {item.stock} of {item.item_id}, and {came[item.item_id]} came in"


def _read_models(deployment: Deployment, tables: Tables) -> Iterator[str]:
    """What is shown is what is so."""
    for item in tables.items.values():
        shown = deployment.projection.rows.get((ItemSeen, item.item_id))
        if shown is None or (shown.label, shown.available) != (item.label, item.available):
            yield f"the overview shows {shown} for {item}"
