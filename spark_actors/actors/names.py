"""Names of places, `spark/<context or pool>/<kind>/<id>`, of the actors that fill them, `<place>@<incarnation>`, and of
their namespaces: built here and nowhere else."""

from __future__ import annotations

from spark_actors.messaging.routing import Slot

ROOT = "spark/root/supervisor/0"
AGGREGATE = "aggregate"
"""The kind of the actors that instances live in."""


def deployment(shared: str, id: str) -> str:
    """What the namespaces of all trees of a deployment begin with, in the part of a cluster that is called *shared*.

    The rest is the epoch: so a tree meets no actor of another, and ends none but its own, and those that earlier trees
    of its deployment have left there.
    """
    return f"{shared}/{id}"


def deployment_of(namespace: str) -> str:
    """The deployment that a tree's namespace belongs to."""
    return namespace.rpartition("/")[0]


def epoch_of(namespace: str) -> int:
    """Which tree of its deployment it is."""
    return int(namespace.rpartition("/")[2])


def is_of_predecessor(namespace: str, mine: str) -> bool:
    """Whether the actors in *namespace* are of another tree of the same deployment as those in *mine*."""
    return namespace != mine and "/" in mine and deployment_of(namespace) == deployment_of(mine)


def incarnation(place: str, number: int) -> str:
    """What Ray calls an actor that fills *place*: no two that ever did have the same name."""
    return f"{place}@{number}"


def aggregate_actor(slot: Slot) -> str:
    return f"spark/pool/{AGGREGATE}/{slot.name}"


def context_actor(context: str) -> str:
    return f"spark/{context}/context/0"


def supervisor(context: str) -> str:
    return f"spark/{context}/supervisor/0"


def ingress(group: int) -> str:
    return f"spark/broker/ingress/{group}"


def kind_of(name: str) -> str:
    """The kind in a place's name: aggregate, context, supervisor or ingress."""
    return name.split("/")[2]
