"""What an event tells of the rows that are shown. Of two that tell of one row the later one wins, in whichever order
they come: what comes twice, or late, changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from spark_actors.kernel.messages import Event
from tests.shop.inventory.messages import ItemAdded, StockReceived, StockReleased, StockReserved

READS: tuple[type[Event], ...] = (ItemAdded, StockReceived, StockReserved, StockReleased)


class ItemSeen(NamedTuple):
    """An item as one event tells of it."""

    item_id: str
    label: str | None
    """None: the event does not say."""
    available: int
    sequence: int
    """Which version of the item that is."""

    @property
    def key(self) -> str:
        return self.item_id

    def merged(self, other: ItemSeen) -> ItemSeen:
        latest = other if other.sequence > self.sequence else self
        return latest._replace(label=self.label or other.label)


def row_of(event: Event, sequence: int) -> ItemSeen:
    """The row that one of the events in `READS` tells of; *sequence* is its envelope's."""
    return ItemSeen(event.key, getattr(event, "label", None), getattr(event, "available", 0), sequence)
