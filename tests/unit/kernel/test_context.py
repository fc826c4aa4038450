"""What of a context does not fit together is said at start-up, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from spark_actors.application import Application, ApplicationError, InstalledContext
from spark_actors.kernel.context import BoundedContext, mistakes
from spark_actors.kernel.decisions import Decision, done
from spark_actors.kernel.messages import Command
from tests.shop.application import APPLICATION
from tests.shop.inventory.context import CONTEXT as INVENTORY
from tests.shop.inventory.messages import AddItem, ReserveStock
from tests.shop.orders.context import CONTEXT as ORDERS
from tests.shop.orders.messages import OrderPlaced, PlaceOrder
from tests.shop.orders.order import place


def of_wrong_state(item: int | None, command: AddItem, now: datetime) -> Decision[int]:
    return done(item)


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


def test_a_handler_for_another_command_or_state_is_told() -> None:
    wrong = replace(INVENTORY, commands={AddItem: of_wrong_state, PlaceOrder: place}, steps={})
    assert said(wrong) == (
        "of_wrong_state decides on int | None, and the aggregate of inventory is Item; "
        "place handles orders.place-order, which is no message of inventory; "
        "place decides on tests.shop.orders.order.Order | None, and the aggregate of inventory is Item"
    )
    assert "place takes PlaceOrder, and handles AddItem" in said(replace(INVENTORY, commands={AddItem: place}))


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
