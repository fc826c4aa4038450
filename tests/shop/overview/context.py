"""The overview context at a glance."""

from __future__ import annotations

from dataclasses import dataclass

from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.messages import Query, Sender, query
from tests.shop.overview.rows import READS


@dataclass(frozen=True, kw_only=True)
class ItemLine:
    """An item as everybody may see it."""

    item_id: str
    label: str
    available: int


@query("overview.item", result=ItemLine, sent_by=Sender.ANYBODY)
@dataclass(frozen=True, kw_only=True)
class ViewItem(Query):
    """One item, and how much of it is to be had."""

    item_id: str


CONTEXT = BoundedContext(name="overview", messages=(ViewItem,), reads=READS)
