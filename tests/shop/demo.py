"""The story of the shop's demo: orders, one that cannot be had, one not paid for, and one that is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from spark_actors.cli.demo import Expectation, Stage, View, act, make_table, render_failures, told, watch
from spark_actors.ingress.client import SparkClient
from spark_actors.kernel.messages import Command
from tests.shop.inventory.messages import AddItem
from tests.shop.orders.messages import CancelOrder, OrderLine, PlaceOrder, ViewOrder
from tests.shop.overview.context import ViewItem

STOCK = {"tea": 5, "milk": 2, "candles": 30}
ORDERS: Mapping[str, Mapping[str, int]] = {
    "Ann": {"tea": 2, "milk": 1},
    "Bob": {"tea": 2, "milk": 2},
    "Cleo": {"tea": 1},
    "Dan": {"candles": 25},
}
ENDS = {
    "Ann": ("confirmed", ""),
    "Bob": ("rejected", "out_of_stock"),
    "Cleo": ("cancelled", ""),
    "Dan": ("rejected", "card_declined"),
}
"""How each order ends, and why."""
LEFT = {"tea": 3, "milk": 1, "candles": 30}
"""What is to be had in the end: only Ann has something."""
DELIVERIES = 3
"""How often Ann's order is sent, under one message id: it counts once."""


@dataclass
class Performance:
    """What was seen."""

    checks: list[Expectation] = field(default_factory=list)
    orders: dict[str, View] = field(default_factory=dict)
    """By customer."""
    items: dict[str, View] = field(default_factory=dict)

    @property
    def failures(self) -> Sequence[Expectation]:
        return [check for check in self.checks if not check.is_met]

    @property
    def summary(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "passed": not self.failures,
            "orders": self.orders,
            "items": self.items,
            "checks": len(self.checks),
            "failures": [vars(check) for check in self.failures],
        }

    def render(self) -> RenderableType:
        """For people."""
        orders = make_table("The orders", "who", "what", "ended", "why")
        for who in ENDS:
            view = self.orders.get(who, {})
            what = ", ".join(f"{quantity} {item}" for item, quantity in ORDERS[who].items())
            orders.add_row(who, what, str(view.get("state", "?")), str(view.get("reason", "")))
        items = make_table("The shelves", "what", ">came in", ">to be had")
        for item in LEFT:
            view = self.items.get(item, {})
            items.add_row(item, str(STOCK[item]), str(view.get("available", "?")))
        parts: list[RenderableType] = [orders, Text(), items]
        return Group(*parts, *([render_failures(self.failures)] if self.failures else []))


class Play:
    """One telling; *suffix* tells its ids from those of others."""

    def __init__(self, client: SparkClient, stage: Stage, suffix: str) -> None:
        self._client, self._stage, self._suffix = client, stage, suffix
        self._seen = Performance()

    async def perform(self) -> Performance:
        """Play all acts. Raises ClientError if the daemon goes away."""
        await act(self._stage, "Filling the shelves", map(self._add, STOCK))
        await act(self._stage, "Ann orders", [self._order("Ann", DELIVERIES, "confirmed")])
        others = {"Bob": "rejected", "Cleo": "confirmed", "Dan": "rejected"}
        orders = [self._order(who, 1, state) for who, state in others.items()]
        await act(self._stage, "Bob, Cleo and Dan order, at once", orders)
        await act(self._stage, "Cleo changes her mind", [self._cancel("Cleo")])
        await act(self._stage, "Looking at it", [*map(self._look_at_order, ENDS), *map(self._look_at_item, LEFT)])
        return self._seen

    async def _add(self, item: str) -> None:
        label = f"{item} of {self._suffix}"
        command = AddItem(item_id=self._id(item), label=label, quantity=STOCK[item])
        await self._send(f"{item} comes in", command)

    async def _order(self, who: str, deliveries: int, state: str) -> None:
        """Send the order, perhaps more than once, and wait until it has come to stand so."""
        lines = tuple(OrderLine(item_id=self._id(item), quantity=quantity) for item, quantity in ORDERS[who].items())
        command = PlaceOrder(order_id=self._id(who), customer_id=who, lines=lines)
        sent = (self._send(f"{who} orders", command, self._id(f"order of {who}")) for _ in range(deliveries))
        await asyncio.gather(*sent)
        view = await self._watch_order(who, state)
        self._check(f"{who}'s order", state, view.get("state"))

    async def _cancel(self, who: str) -> None:
        await self._send(f"{who} cancels", CancelOrder(order_id=self._id(who), customer_id=who))

    async def _look_at_order(self, who: str) -> None:
        state, why = ENDS[who]
        self._seen.orders[who] = view = await self._watch_order(who, state)
        self._check(f"{who}'s order in the end", state, view.get("state"))
        self._check(f"why {who}'s order ended so", why, view.get("reason"))

    async def _look_at_item(self, item: str) -> None:
        query = ViewItem(item_id=self._id(item))
        self._seen.items[item] = view = await watch(self._client, query, lambda it: it["available"] == LEFT[item])
        self._check(f"what is left of {item}", LEFT[item], view.get("available"))

    async def _watch_order(self, who: str, state: str) -> View:
        return await watch(self._client, ViewOrder(order_id=self._id(who)), lambda view: view["state"] == state)

    async def _send(self, what: str, command: Command, message_id: str | None = None) -> None:
        self._check(what, "done", told(await self._client.send(command, message_id=message_id)))

    def _check(self, what: str, expected: object, seen: object) -> None:
        self._seen.checks.append(Expectation(what, expected, seen))

    def _id(self, name: str) -> str:
        return f"{name.lower()}-{self._suffix}".replace(" ", "-")
