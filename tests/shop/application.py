"""The shop, as one value that the runtime runs. Two of its contexts need no SQL for what they store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_actors.application import Application, Edge, InstalledContext
from spark_actors.kernel.tasks import Workers
from tests.shop.inventory.context import CONTEXT as INVENTORY
from tests.shop.orders.context import CONTEXT as ORDERS
from tests.shop.overview.adapters import INSTALLED as OVERVIEW

if TYPE_CHECKING:
    import typer

    from spark_actors.persistence.audit import OwnAudit


async def _card_workers(edge: Edge) -> Workers:
    from tests.shop.orders.adapters import CardWorker, SimulatedCardCompany

    return Workers(CardWorker(SimulatedCardCompany(await edge.pool())).by_task)


def _audit() -> OwnAudit:
    from spark_actors.persistence.audit import OwnAudit
    from tests.shop.audit import ORDER, checks

    return OwnAudit(ORDER, checks)


def _add_commands(app: typer.Typer) -> None:
    from tests.shop.cli import add_commands

    add_commands(app)


APPLICATION = Application(
    name="Shop",
    contexts=(
        InstalledContext(context=ORDERS, migrations="tests.shop.orders", workers=_card_workers),
        InstalledContext(context=INVENTORY, unique={"items_label_unique": ("label",)}),
        OVERVIEW,
    ),
    example_words={
        "label": "Green tea",
        "quantity": 2,
        "available": 40,
        "reason": "out_of_stock",
        "state": "confirmed",
    },
    audit=_audit,
    add_commands=_add_commands,
)
