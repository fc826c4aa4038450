"""What producers ask for in a run: a few customers who want more than there is, and change their minds.

Ids are used again on purpose, by the same customer and by others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from spark_actors.kernel.messages import Command
from tests.shop.inventory.messages import AddItem, ReceiveStock
from tests.shop.orders.messages import CancelOrder, OrderLine, PlaceOrder
from tests.simulation.crowd import Crowd

CUSTOMERS = ("ann", "bob", "eve")
ITEMS = ("tea", "milk", "rum")
NOT_SOLD = "gold"


class Customers(Crowd):
    """Draws the commands of one run."""

    junk_subject = "spark.commands.orders.place-order"

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._orders: list[PlaceOrder] = []

    def _scene(self) -> Iterator[Command]:
        for item in ITEMS:
            yield AddItem(item_id=item, label=item.title(), quantity=self._random.randint(0, 12))

    def _drawn(self) -> Command:
        kinds = (
            (10, self._order),
            (5, self._cancellation),
            (3, self._delivery),
            (1, self._item),
            (1, self._impossible_order),
            (2, self._ordered_again),
        )
        draw = self._random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]
        return draw()

    def _order(self) -> PlaceOrder:
        items = self._random.sample([*ITEMS, *((NOT_SOLD,) if self._random.random() < 0.1 else ())], k=2)
        wanted = items[: self._random.choice((1, 2, 2))]
        lines = tuple(OrderLine(item_id=item, quantity=self._random.randint(1, 4)) for item in wanted)
        order = PlaceOrder(order_id=self._id("o"), customer_id=self._random.choice(CUSTOMERS), lines=lines)
        self._orders.append(order)
        return order

    def _cancellation(self) -> Command:
        """Mostly of one's own order, mostly of one that is not long ago, and perhaps under way still."""
        if not self._orders:
            return self._order()
        order = self._random.choice(self._orders[self._random.choice((0, -3)) :])
        customer_id = order.customer_id if self._random.random() < 0.8 else self._random.choice(CUSTOMERS)
        return CancelOrder(order_id=order.order_id, customer_id=customer_id)

    def _delivery(self) -> Command:
        item = self._random.choice([*ITEMS, *ITEMS, NOT_SOLD])
        return ReceiveStock(item_id=item, delivery_id=self._id("d"), quantity=self._random.randint(0, 5))

    def _item(self) -> Command:
        """One that is there, or has the label of one that is."""
        item = self._random.choice([*ITEMS, "copy"])
        return AddItem(item_id=item, label=self._random.choice(ITEMS).title(), quantity=self._random.randint(0, 5))

    def _impossible_order(self) -> Command:
        line = OrderLine(item_id=ITEMS[0], quantity=self._random.choice((0, -1, 1)))
        lines = self._random.choice(((), (line, line)))
        return PlaceOrder(order_id=self._id("o"), customer_id=self._random.choice(CUSTOMERS), lines=lines)

    def _ordered_again(self) -> Command:
        """The same once more, perhaps by somebody else."""
        if not self._orders:
            return self._order()
        return replace(self._random.choice(self._orders), customer_id=self._random.choice(CUSTOMERS))
