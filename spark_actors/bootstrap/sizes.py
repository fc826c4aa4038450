"""How large a deployment is: where its instances live, and how many sessions it needs of Postgres. Knows no Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from config.settings import Settings
from spark_actors.application import Application
from spark_actors.bootstrap import tuning
from spark_actors.messaging.ports import INGRESS
from spark_actors.messaging.routing import Placement
from spark_actors.operations.tuning import THREADS
from spark_actors.persistence.tuning import POOL_SIZE


def placement_of(settings: Settings) -> Placement:
    """Where instances live."""
    wanted = settings.placement
    kinds = {str(kind): actors for kind, actors in wanted.dedicated_kinds.items()}
    return Placement(wanted.aggregate_actors, wanted.resident_instances, kinds, wanted.dedicated_instances)


def placement_for(settings: Settings, slots: Mapping[str, int]) -> Placement:
    """Where instances live if operators wish for so many slots of these pools, instead of what the settings say."""
    usual = placement_of(settings)
    kinds = {kind: slots.get(f"dedicated-{kind}", actors) for kind, actors in usual.dedicated_kinds.items()}
    return replace(usual, shared_actors=slots.get("shared", usual.shared_actors), dedicated_kinds=kinds)


def groups_of(application: Application, settings: Settings) -> Sequence[Sequence[str]]:
    """Which contexts' commands each Ingress takes."""
    return settings.ingress.groups or [[each.name for each in application.writing]]


def sessions_needed(
    application: Application, settings: Settings, dsn: Mapping[str, str], listen_dsn: Mapping[str, str]
) -> dict[str, int]:
    """By DSN: how many sessions the deployment opens there when all of it is at work.

    A context whose `listen_dsn` is another than its `dsn` reaches its tables through a pooler, which has limits of its
    own: of it only what goes past the pooler counts.
    """
    need: Counter[str] = Counter()
    for each in application.contexts:
        own, direct = dsn[each.name], listen_dsn[each.name]
        need[own] += POOL_SIZE  # its ContextActor
        if each.is_writing:
            need[own] += len(placement_of(settings).slots) + POOL_SIZE  # the turns of each slot; its Supervisor
            need[direct] += 1  # the wake-ups of its relay
    for _ in groups_of(application, settings):
        need[dsn[INGRESS]] += POOL_SIZE
        for each in application.contexts:
            need[dsn[each.name]] += POOL_SIZE if each.answers or each.context.views else 0
        for elsewhere in {dsn[each.name] for each in application.writing} - {dsn[INGRESS]}:
            need[elsewhere] += POOL_SIZE  # a look at how far the relays are behind
    for place in set(dsn.values()):
        need[place] += THREADS  # what operators ask of the desk
    for schema in dsn:
        need[dsn[schema]] += 1  # an audit that is asked for there
    need[dsn[INGRESS]] += POOL_SIZE + tuning.DAEMON_SESSIONS  # the root; the daemon's own process
    for direct in set(listen_dsn.values()):
        need[direct] += 1 + tuning.SPARE_SESSIONS  # the owner's lock
    pooled = {dsn[name] for name in dsn if dsn[name] != listen_dsn[name]} - set(listen_dsn.values())
    return {place: count for place, count in need.items() if place not in pooled}
