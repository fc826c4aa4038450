"""Names of actors: `spark/<context or pool>/<kind>/<id>`, built here and nowhere else."""

from __future__ import annotations

from spark_actors.messaging.routing import Slot

ROOT = "spark/root/supervisor/0"


def aggregate_actor(slot: Slot) -> str:
    return f"spark/pool/aggregate/{slot.name}"


def context_actor(context: str) -> str:
    return f"spark/{context}/context/0"


def supervisor(context: str) -> str:
    return f"spark/{context}/supervisor/0"


def ingress(group: int) -> str:
    return f"spark/broker/ingress/{group}"


def kind_of(name: str) -> str:
    """The kind in an actor's name: aggregate, context, supervisor or ingress."""
    return name.split("/")[2]
