"""The Ingress of one group of contexts: the way in for commands, queries and logins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from spark_actors.actors import names
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.watch import Watch
from spark_actors.application import ApplicationError
from spark_actors.bootstrap import tuning
from spark_actors.bootstrap.parts import Parts, clock, placement
from spark_actors.bootstrap.sizes import groups_of
from spark_actors.deployment import Deployment, Origin, token_verifier
from spark_actors.kernel.messages import Query
from spark_actors.messaging import cloudevents
from spark_actors.messaging.ports import INGRESS, CommandSender, DeskHandlers, QueryHandler, QueryHandlers
from spark_actors.operations.messages import OPERATIONS
from spark_actors.persistence.connections import Pool
from spark_actors.persistence.maintenance import DeadLetterMaintenance
from spark_actors.version import version

if TYPE_CHECKING:
    from spark_actors.ingress.nats_broker import BrokerSettings


async def ingress_unit(origin: Origin, group: int) -> Assembly:
    """The Ingress of one group of contexts."""
    from spark_actors.actors.admission import Admission
    from spark_actors.actors.ingress import Ingress
    from spark_actors.actors.pace import IngressLimits, Pace
    from spark_actors.actors.queries import Queries
    from spark_actors.actors.refused import RefusedMessages
    from spark_actors.ingress.nats_broker import NatsBroker
    from spark_actors.messaging.door import Door
    from spark_actors.messaging.identity import Guard
    from spark_actors.persistence.refused_messages import PostgresRefusedMessages
    from spark_actors.persistence.relay_backlog import PostgresRelayBacklog

    parts = Parts(origin, names.ingress(group))
    deployment, settings = parts.deployment, parts.settings
    door = Door(parts.registry, settings.ingress.max_body_bytes)
    guard = Guard(parts.registry, token_verifier(deployment))
    pool = await parts.pool(INGRESS)
    dead_letters = PostgresRefusedMessages(pool, INGRESS, most=settings.retention.refused_messages)
    watch = Watch(
        INGRESS,
        outbox=None,
        saga_log=None,
        dead_letters=dead_letters,
        maintenance=DeadLetterMaintenance(pool, INGRESS, timedelta(days=settings.retention.dead_letters_days)),
        clock=parts.clock,
        telemetry=parts.metrics,
    )
    dispatcher = parts.dispatcher()
    refused = RefusedMessages(dead_letters, parts.application.scrubber, parts.clock, parts.metrics)
    limits = IngressLimits(
        in_flight=_in_flight(deployment),
        batch=tuning.PULLED_AT_ONCE,
        relay_backlog=settings.ingress.max_relay_backlog_events,
        leeway_seconds=settings.identity.leeway_seconds,
    )
    service = Ingress(
        NatsBroker(nats_settings(deployment, group)),
        Admission(door, guard, refused, parts.clock),
        dispatcher,
        Queries(door, guard, await _answers(parts, dispatcher), clock, parts.metrics, _desk(parts, group)),
        Pace(limits, PostgresRelayBacklog(await _pools_by_context(parts, pool)), parts.metrics),
        watch,
        pass_point=parts.wrapping.pass_point,
    )
    return Assembly(service, parts.metrics.snapshot, parts.routes, parts.close)


def _desk(parts: Parts, group: int) -> DeskHandlers:
    """What the first group answers of the runtime itself; the others are not asked."""
    if group:
        return {}
    from spark_actors.actors.references import RayRoot
    from spark_actors.ingress.client import SparkClient
    from spark_actors.operations.desk import Desk
    from spark_actors.operations.serving import DeskAtBroker
    from spark_actors.operations.tuning import THREADS
    from spark_actors.persistence.desk_sessions import KeptSessions

    sessions = KeptSessions(THREADS)
    deployment = parts.deployment
    desk = DeskAtBroker(
        Desk(
            parts.application,
            deployment.dsn,
            release=version(),
            sessions=sessions,
            tree=RayRoot(deployment.ray_namespace).seen,
        ),
        partial(SparkClient.connect, deployment.nats_url, deployment.nats_token),
    )
    parts.open.callback(sessions.close)
    parts.open.push_async_callback(desk.close)
    return desk.handlers


async def _pools_by_context(parts: Parts, pool: Pool) -> dict[str, Pool]:
    """A pool for each context with an outbox; *pool* for those that lie in the same database as what was refused."""
    dsn = parts.deployment.dsn
    by_dsn = {dsn[INGRESS]: pool}
    for each in parts.application.writing:
        if dsn[each.name] not in by_dsn:
            by_dsn[dsn[each.name]] = await parts.pool(each.name)
    return {each.name: by_dsn[dsn[each.name]] for each in parts.application.writing}


async def _answers(parts: Parts, sender: CommandSender) -> QueryHandlers:
    """Who answers which query. Raises ApplicationError if there is one that nobody answers."""
    from spark_actors.persistence.views import views

    answers: dict[type[Query], QueryHandler] = {}
    for each in parts.application.contexts:
        edge = parts.edge(each.name, sender)
        if each.stored and each.context.views:
            answers |= views(each.context, each.stored, await edge.pool())
        if each.answers:
            own = await each.answers(edge)
            if twice := [query.TYPE.name for query in own if query in each.context.views]:
                raise ApplicationError(parts.application.name, f"{twice[0]} is answered twice")
            answers |= own
    for cls in parts.registry:
        if issubclass(cls, Query) and cls not in answers and cls.TYPE.context != OPERATIONS:
            raise ApplicationError(parts.application.name, f"nobody answers the query {cls.TYPE.name}")
    return answers


def nats_settings(deployment: Deployment, group: int) -> BrokerSettings:
    """What the Ingress of a group asks of the broker."""
    from spark_actors.ingress.nats_broker import BrokerSettings

    settings = deployment.settings
    groups = groups_of(deployment.application, settings)
    # A single group takes what names no context too, so that it can be refused. Several cannot (the filters of a work
    # queue must not overlap): then the broker refuses it.
    alone = len(groups) == 1
    everything = (cloudevents.COMMAND_SUBJECTS,)
    # Each group answers the queries of its own contexts, the first also those of contexts that are in none, and the
    # runtime's.
    asked = set(groups[group])
    if group == 0:
        asked |= {OPERATIONS, *(each.name for each in deployment.application.contexts)}.difference(*groups)
    return BrokerSettings(
        url=deployment.nats_url,
        token=deployment.nats_token,
        replicas=settings.nats.stream_replicas,
        stream_max_bytes=settings.nats.stream_max_bytes,
        ack_wait=timedelta(seconds=settings.nats.ack_wait_seconds),
        max_in_flight=_in_flight(deployment),
        max_body_bytes=settings.ingress.max_body_bytes,
        group=f"ingress-{group}",
        all_groups=tuple(f"ingress-{number}" for number in range(len(groups))),
        subjects=everything if alone else _commands_of(groups[group]),
        stream_subjects=everything if alone else _commands_of(chain(*groups)),
        query_subjects=(cloudevents.QUERY_SUBJECTS,) if alone else tuple(map(cloudevents.queries_of, sorted(asked))),
    )


def _commands_of(contexts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(cloudevents.commands_of, sorted(contexts)))


def _in_flight(deployment: Deployment) -> int:
    return deployment.settings.ingress.max_in_flight_commands * len(placement(deployment).slots)
