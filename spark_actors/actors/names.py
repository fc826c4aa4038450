"""Names of actors, `spark/<context or pool>/<kind>/<id>`, and of their namespaces: built here and nowhere else."""

from __future__ import annotations

from spark_actors.messaging.routing import Slot

ROOT = "spark/root/supervisor/0"


def namespace(shared: str, deployment: str, daemon: str) -> str:
    """Where the actors of one daemon live, in the part of a cluster that is called *shared*.

    So a daemon meets no actor of another, and ends none but its own, and those that earlier daemons of its deployment
    have left there.
    """
    return f"{shared}/{deployment}/{daemon}"


def is_of_predecessor(namespace: str, mine: str) -> bool:
    """Whether the actors in *namespace* are of another daemon of the same deployment as those in *mine*."""
    return namespace != mine and "/" in mine and namespace.rpartition("/")[0] == mine.rpartition("/")[0]


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
