"""What of a context does not fit together is said at start-up, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from spark_actors.application import Application, ApplicationError, InstalledContext
from spark_actors.kernel.aggregates import Aggregate, Handler, changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext, mistakes
from spark_actors.kernel.decisions import Decision, done
from spark_actors.kernel.messages import Command
from tests.shop.application import APPLICATION
from tests.shop.inventory.context import CONTEXT as INVENTORY
from tests.shop.inventory.messages import AddItem, ReleaseStock, ReserveStock
from tests.shop.orders.context import CONTEXT as ORDERS
from tests.shop.orders.messages import ConfirmOrder, OrderPlaced, PlaceOrder
from tests.shop.orders.order import Order


def of_wrong_state(command: AddItem, now: datetime) -> Decision[Order]:
    return done(None)


@dataclass
class Shelf(Aggregate):
    """It can be changed in place."""

    item_id: str


@dataclass(frozen=True)
class Drawer:
    """It promises nothing."""

    item_id: str


def of_wrong_event(event: PlaceOrder) -> Sequence[ReserveStock]:
    return []


def sends_anothers(event: OrderPlaced) -> Sequence[ReserveStock | PlaceOrder]:
    return []


def says_not_what(event: OrderPlaced) -> Sequence[Command]:
    return []


def said(context: BoundedContext) -> str:
    return "; ".join(mistakes(context))


@pytest.mark.parametrize("installed", APPLICATION.contexts, ids=lambda installed: str(installed.name))
def test_of_what_fits_together_nothing_is_said(installed: InstalledContext) -> None:
    assert mistakes(installed.context) == []


def test_a_handler_for_another_command_or_aggregate_is_told() -> None:
    wrong = handlers(
        creates(AddItem, of_wrong_state, again="known"), changes(ConfirmOrder, Order.confirm, missing="not_open")
    )
    assert said(replace(INVENTORY, commands=wrong, steps={})) == (
        "of_wrong_state decides on Order, and the aggregate of inventory is Item; "
        "inventory handles orders.confirm-order, which is no message of it; "
        "Order.confirm decides on Order, and the aggregate of inventory is Item"
    )
    mixed_up: dict[type[Command], Handler] = {
        AddItem: ORDERS.commands[PlaceOrder],
        ReserveStock: INVENTORY.commands[ReleaseStock],
    }
    words = said(replace(INVENTORY, commands=mixed_up))
    assert "Order.place takes PlaceOrder, and handles AddItem" in words
    assert "Item.release takes ReleaseStock, and handles ReserveStock" in words


def test_what_decides_where_there_is_no_instance_is_looked_at_as_well() -> None:
    unlike: dict[type[Command], Handler] = {ReleaseStock: INVENTORY.commands[ReserveStock]}
    assert "Item.out_of_stock takes ReserveStock, and handles ReleaseStock" in said(replace(INVENTORY, commands=unlike))


def test_a_refusal_for_another_aggregate_is_told() -> None:
    assert said(replace(INVENTORY, refusals={"items_label_unique": refuses(of_wrong_state)})) == (
        "of_wrong_state decides on Order, and the aggregate of inventory is Item"
    )


def test_an_aggregate_that_is_none_or_can_be_changed_in_place_is_told() -> None:
    nothing = replace(INVENTORY, commands={}, refusals={}, steps={})
    assert said(replace(nothing, aggregate=Shelf)) == "Shelf, the aggregate of inventory, is no frozen dataclass"
    unmarked: Any = Drawer
    assert said(replace(nothing, aggregate=unmarked)) == "Drawer, the aggregate of inventory, is no Aggregate"


def test_a_step_for_another_event_or_that_sends_another_contexts_command_is_told() -> None:
    for step, words in (
        (of_wrong_event, "of_wrong_event takes PlaceOrder, and is a step for OrderPlaced"),
        (sends_anothers, "sends_anothers sends PlaceOrder, which is no command of inventory"),
        (says_not_what, "says_not_what sends Command, which is no command of inventory"),
    ):
        assert said(replace(INVENTORY, steps={OrderPlaced: step})) == words


def test_an_application_whose_parts_do_not_fit_together_is_none() -> None:
    orders, inventory = InstalledContext(context=ORDERS), InstalledContext(context=INVENTORY)
    for contexts, words in (
        ((orders, orders), "two contexts, or the ingress too, are called orders"),
        ((inventory,), "inventory: not both a rule of the table and a refusal of the domain: items_label_unique"),
        ((replace(orders, context=replace(ORDERS, aggregate=None)),), "the aggregate of orders is None"),
    ):
        with pytest.raises(ApplicationError, match=words):
            Application(name="A test", contexts=contexts)
