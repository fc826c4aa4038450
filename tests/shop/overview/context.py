"""The overview context at a glance."""

from __future__ import annotations

from dataclasses import dataclass

from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.messages import OwnerOf, Query, Sender, query
from tests.shop.overview.rows import READS


@dataclass(frozen=True, kw_only=True)
class ItemLine:
    """An item as everybody may see it."""

    item_id: str
    label: str
    available: int


@dataclass(frozen=True, kw_only=True)
class OrderSummary:
    """An order as its customer may see it."""

    order_id: str
    customer_id: str
    state: str
    """placed, reserved, confirmed, rejected or cancelled"""
    reason: str = ""
    """Why it was rejected."""


@query("overview.item", result=ItemLine, sent_by=Sender.ANYBODY)
@dataclass(frozen=True, kw_only=True)
class ViewItem(Query):
    """One item, and how much of it is to be had."""

    item_id: str


@query("overview.order", result=OrderSummary, sent_by=OwnerOf("customer_id", of_result=True))
@dataclass(frozen=True, kw_only=True)
class ViewOrder(Query):
    """One order, and what has become of it."""

    order_id: str


CONTEXT = BoundedContext(name="overview", messages=(ViewItem, ViewOrder), reads=READS)
