"""How large a deployment is: where its instances live, and how many sessions it needs of Postgres. Knows no Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from config.settings import Settings
from domain.contexts import CONTEXTS
from spark_actors.messaging.routing import Placement
from spark_actors.persistence.connections import POOL_SIZE

SPARE_SESSIONS = 5
"""For operators' commands, audits and migrations beside the daemon."""
READ_MODELS, REFUSED, USERS = "dashboard", "ingress", "auth"
"""Whose tables an Ingress reads for views, writes what it refused to, and finds logins in."""


def placement_of(settings: Settings) -> Placement:
    """Where instances live."""
    wanted = settings.placement
    kinds = {str(kind): actors for kind, actors in wanted.dedicated_kinds.items()}
    return Placement(wanted.aggregate_actors, wanted.resident_instances, kinds, wanted.dedicated_instances)


def sessions_needed(settings: Settings, dsn: Mapping[str, str], listen_dsn: Mapping[str, str]) -> dict[str, int]:
    """By DSN: how many sessions the deployment opens there when all of it is at work.

    A context whose `listen_dsn` is another than its `dsn` reaches its tables through a pooler, which has limits of its
    own: of it only what goes past the pooler counts.
    """
    need: Counter[str] = Counter()
    for context in CONTEXTS:
        own, direct = dsn[context.name], listen_dsn[context.name]
        need[own] += POOL_SIZE  # its ContextActor
        if context.commands:
            need[own] += len(placement_of(settings).slots) + POOL_SIZE  # the turns of each slot; its Supervisor
            need[direct] += 1  # the wake-ups of its relay
    for _ in settings.ingress.groups:
        need[dsn[REFUSED]] += POOL_SIZE
        need[dsn[READ_MODELS]] += POOL_SIZE
        need[dsn[USERS]] += POOL_SIZE
        for elsewhere in {dsn[context.name] for context in CONTEXTS if context.commands} - {dsn[REFUSED]}:
            need[elsewhere] += POOL_SIZE  # a look at how far the relays are behind
    for direct in set(listen_dsn.values()):
        need[direct] += 1 + SPARE_SESSIONS  # the owner's lock
    pooled = {dsn[name] for name in dsn if dsn[name] != listen_dsn[name]} - set(listen_dsn.values())
    return {place: count for place, count in need.items() if place not in pooled}
