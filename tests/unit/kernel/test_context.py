"""What of a context does not fit together is said at start-up, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Never

import pytest

from spark_actors.application import Application, ApplicationError, Edge, InstalledContext
from spark_actors.kernel.aggregates import Aggregate, Handler, changes, creates, handlers, refuses
from spark_actors.kernel.context import BoundedContext, View, mistakes, mistakes_of_workers
from spark_actors.kernel.decisions import Decision, done
from spark_actors.kernel.messages import Command, MessageRegistry, Query, query, task
from spark_actors.kernel.tasks import NotYet, Task, Workers
from tests.shop.application import APPLICATION
from tests.shop.inventory.context import CONTEXT as INVENTORY
from tests.shop.inventory.messages import AddItem, ReleaseStock, ReserveStock
from tests.shop.orders.context import CONTEXT
from tests.shop.orders.messages import (
    MESSAGES,
    CancelOrder,
    OrderPlaced,
    OrderSummary,
    PlaceOrder,
    RejectOrder,
    ViewOrder,
)
from tests.shop.orders.order import Order
from tests.shop.overview.context import ViewItem

ORDERS = replace(CONTEXT, messages=MESSAGES, tasks={})
"""Without what it has to do outside."""


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
        creates(AddItem, of_wrong_state, again="known"), changes(RejectOrder, Order.reject, missing="not_open")
    )
    messages = (AddItem,)
    assert said(replace(INVENTORY, messages=messages, commands=wrong, steps={})) == (
        "of_wrong_state decides on Order, and the aggregate of inventory is Item; "
        "inventory handles orders.reject-order, which is no message of it; "
        "Order.reject decides on Order, and the aggregate of inventory is Item"
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


def test_a_command_that_nobody_handles_is_told() -> None:
    commands = {command: handler for command, handler in ORDERS.commands.items() if command is not CancelOrder}
    assert said(replace(ORDERS, commands=commands)) == "nobody handles orders.cancel-order"


def of_an_order(order: Order, query: ViewOrder) -> OrderSummary | None:
    return None


def of_a_shelf(shelf: Shelf, query: ViewOrder) -> OrderSummary:
    raise NotImplementedError


def for_an_item(order: Order, query: ViewItem) -> OrderSummary:
    raise NotImplementedError


def of_itself(order: Order, query: ViewOrder) -> Order:
    return order


@query("orders.anything", result=OrderSummary)
@dataclass(frozen=True)
class ViewAnything(Query):
    pass


def of_anything(order: Order, query: ViewAnything) -> OrderSummary:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("views", "words"),
    [
        ({ViewOrder: of_an_order}, ""),
        ({ViewOrder: of_a_shelf}, "of_a_shelf shows Shelf, and the aggregate of orders is Order"),
        ({ViewOrder: for_an_item}, "for_an_item takes ViewItem, and answers ViewOrder"),
        ({ViewOrder: of_itself}, "of_itself gives Order, and ViewOrder asks for OrderSummary"),
        ({ViewAnything: of_anything}, "orders.anything names no instance: its key is ''"),
    ],
)
def test_a_view_of_something_else_is_told(views: dict[type[Query], View], words: str) -> None:
    assert said(replace(ORDERS, messages=(*ORDERS.messages, ViewAnything), views=views)) == words


def test_a_view_of_anothers_query_is_told() -> None:
    assert said(replace(INVENTORY, views={ViewOrder: of_an_order})) == (
        "inventory answers orders.order, which is no message of it; "
        "of_an_order shows Order, and the aggregate of inventory is Item"
    )


def test_an_aggregate_that_is_none_or_can_be_changed_in_place_is_told() -> None:
    nothing = replace(INVENTORY, messages=(), commands={}, refusals={}, steps={})
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
        ((orders, orders), "two contexts, or the runtime's own too, are called orders"),
        *(
            (
                (InstalledContext(context=BoundedContext(name=taken, messages=())),),
                f"runtime's own too, are called {taken}",
            )
            for taken in ("operations", "ingress")
        ),
        ((inventory,), "inventory: not both a rule of the table and a refusal of the domain: items_label_unique"),
        ((replace(orders, context=replace(ORDERS, aggregate=None)),), "the aggregate of orders is None"),
        ((replace(orders, context=replace(ORDERS, views={})),), "orders: nobody answers orders.order"),
    ):
        with pytest.raises(ApplicationError, match=words):
            Application(name="A test", contexts=contexts)


@task("orders.ask-the-carrier", key="order_id")
@dataclass(frozen=True)
class AskTheCarrier(Task):
    order_id: str


def to_ask(event: OrderPlaced) -> Sequence[AskTheCarrier]:
    return []


def to_add(event: OrderPlaced) -> Sequence[AddItem]:
    return []


def to_ask_about_items(event: PlaceOrder) -> Sequence[AskTheCarrier]:
    return []


async def asks(task: AskTheCarrier) -> Sequence[CancelOrder] | NotYet:
    return []


async def says_nothing(task: AskTheCarrier) -> Sequence[Never] | NotYet:
    return []


async def adds(task: PlaceOrder) -> Sequence[AddItem] | NotYet:
    return []


ASKING = replace(ORDERS, messages=(*ORDERS.messages, AskTheCarrier), tasks={OrderPlaced: to_ask})


def test_what_is_to_be_done_for_another_event_or_is_another_contexts_task_is_told() -> None:
    assert said(ASKING) == ""
    wrong: tuple[tuple[Any, str], ...] = (
        (to_ask_about_items, "to_ask_about_items takes PlaceOrder, and says what to do for OrderPlaced"),
        (to_add, "to_add gives AddItem, which is no task of orders"),
    )
    for to_do, words in wrong:
        assert said(replace(ASKING, tasks={OrderPlaced: to_do})) == words
    assert said(replace(ORDERS, tasks={OrderPlaced: to_ask})) == (
        "to_ask gives AskTheCarrier, which is no task of orders"
    )


def test_a_task_that_nobody_does_or_a_worker_for_another_one_is_told() -> None:
    assert mistakes_of_workers(ASKING, Workers({AskTheCarrier: asks})) == []
    assert mistakes_of_workers(ASKING, Workers({AskTheCarrier: says_nothing})) == []
    assert mistakes_of_workers(ASKING, Workers({})) == ["nobody does orders.ask-the-carrier"]
    assert mistakes_of_workers(ASKING, Workers({AskTheCarrier: adds})) == [
        "adds takes PlaceOrder, and does AskTheCarrier",
        "adds gives AddItem, which is no command and no task of orders",
    ]
    assert mistakes_of_workers(ORDERS, Workers({AskTheCarrier: asks})) == [
        "asks does AskTheCarrier, which is no task of orders"
    ]


def test_tasks_and_who_does_them_come_together() -> None:
    async def nobody(edge: Edge) -> Workers:
        return Workers({})

    for installed in (InstalledContext(context=ASKING), InstalledContext(context=ORDERS, workers=nobody)):
        with pytest.raises(ApplicationError, match="its tasks and who does them"):
            Application(name="A test", contexts=(installed,))


def test_a_task_is_no_part_of_the_published_language_and_can_be_read() -> None:
    registry = MessageRegistry(ASKING.messages)
    assert AskTheCarrier not in set(registry)
    assert registry.find("orders.ask-the-carrier") is AskTheCarrier
