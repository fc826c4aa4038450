"""The shop, as one value that the runtime runs. Two of its contexts need no SQL at all."""

from __future__ import annotations

from spark_actors.application import Application, InstalledContext
from tests.shop.inventory.context import CONTEXT as INVENTORY
from tests.shop.orders.context import CONTEXT as ORDERS
from tests.shop.overview.adapters import INSTALLED as OVERVIEW

APPLICATION = Application(
    name="Shop",
    contexts=(
        InstalledContext(context=ORDERS),
        InstalledContext(context=INVENTORY, unique={"items_label_unique": ("label",)}),
        OVERVIEW,
    ),
)
