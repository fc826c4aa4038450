"""The Ingress of one group of contexts: the way in for commands, queries and logins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING

from spark_actors.actors import names
from spark_actors.actors.unit import Unit
from spark_actors.actors.watch import Watch
from spark_actors.bootstrap.parts import WRITE_CONTEXTS, Parts, clock, placement
from spark_actors.bootstrap.sizes import READ_MODELS, REFUSED, USERS
from spark_actors.deployment import Deployment, token_issuer
from spark_actors.messaging import cloudevents
from spark_actors.persistence.connections import Pool
from spark_actors.persistence.maintenance import DeadLetterMaintenance

if TYPE_CHECKING:
    from config.settings import Settings
    from spark_actors.identity.login import Login
    from spark_actors.identity.tokens import Realm
    from spark_actors.ingress.nats_broker import NatsSettings

PULLED_AT_ONCE = 250
"""Commands that an Ingress checks in one go: answers that have come in meanwhile wait for so long."""


async def ingress_unit(deployment: Deployment, group: int) -> Unit:
    """The Ingress of one group of contexts."""
    from spark_actors.actors.ingress import Ingress, IngressLimits, Queries
    from spark_actors.identity.tokens import TokenVerifier
    from spark_actors.ingress.nats_broker import NatsBroker
    from spark_actors.messaging.door import Door
    from spark_actors.messaging.identity import Guard
    from spark_actors.persistence.dashboard_views import PostgresViews
    from spark_actors.persistence.refused_messages import PostgresRefusedMessages
    from spark_actors.persistence.relay_backlog import PostgresRelayBacklog

    parts = Parts(deployment, names.ingress(group))
    settings = parts.settings
    door = Door(parts.registry, settings.ingress.max_body_bytes)
    guard = Guard(parts.registry, TokenVerifier(deployment.keys, _realm(settings), settings.identity.leeway_seconds))
    pool = await parts.pool(REFUSED)
    dead_letters = PostgresRefusedMessages(pool, REFUSED, most=settings.retention.refused_messages)
    watch = Watch(
        REFUSED,
        outbox=None,
        saga_log=None,
        dead_letters=dead_letters,
        maintenance=DeadLetterMaintenance(pool, REFUSED, timedelta(days=settings.retention.dead_letters_days)),
        clock=parts.clock,
        telemetry=parts.metrics,
    )
    service = Ingress(
        NatsBroker(nats_settings(deployment, group)),
        door,
        guard,
        parts.dispatcher(),
        dead_letters,
        watch,
        Queries(
            door,
            guard,
            PostgresViews(await parts.pool(READ_MODELS)),
            (await _login(parts)).answer,
            clock,
            parts.metrics,
        ),
        limits=IngressLimits(
            in_flight=_in_flight(deployment),
            batch=PULLED_AT_ONCE,
            relay_backlog=settings.ingress.max_relay_backlog_events,
            leeway_seconds=settings.identity.leeway_seconds,
        ),
        relay_backlog=PostgresRelayBacklog(await _pools_by_context(parts, pool)),
        clock=parts.clock,
        telemetry=parts.metrics,
        pass_point=parts.faults.pass_point,
    )
    return Unit(service, parts.metrics.snapshot, close=parts.close)


async def _pools_by_context(parts: Parts, pool: Pool) -> dict[str, Pool]:
    """A pool for each context with an outbox; *pool* for those that lie in the same database as what was refused."""
    dsn = parts.deployment.dsn
    by_dsn = {dsn[REFUSED]: pool}
    for context in WRITE_CONTEXTS:
        if dsn[context.name] not in by_dsn:
            by_dsn[dsn[context.name]] = await parts.pool(context.name)
    return {context.name: by_dsn[dsn[context.name]] for context in WRITE_CONTEXTS}


def _realm(settings: Settings) -> Realm:
    from spark_actors.identity.tokens import Realm

    return Realm(settings.identity.issuer, settings.identity.audience)


async def _login(parts: Parts) -> Login:
    """What answers logins, with threads and connections that end with the actor."""
    from spark_actors.identity.attempts import AttemptLimits, Attempts
    from spark_actors.identity.login import Login, Sessions
    from spark_actors.identity.passwords import PasswordCheck
    from spark_actors.persistence.credentials import PostgresCredentials

    wanted = parts.settings.identity
    passwords = PasswordCheck()
    parts.open.callback(passwords.close)
    return Login(
        PostgresCredentials(await parts.pool(USERS)),
        passwords.fits,
        Sessions(token_issuer(parts.settings, parts.deployment.keys), timedelta(seconds=wanted.session_seconds)),
        Attempts(AttemptLimits(wanted.login_attempts, wanted.overall_login_attempts, wanted.login_window_seconds)),
        telemetry=parts.metrics,
    )


def nats_settings(deployment: Deployment, group: int) -> NatsSettings:
    """What the Ingress of a group asks of the broker."""
    from spark_actors.ingress.nats_broker import NatsSettings

    settings = deployment.settings
    contexts = settings.ingress.groups[group]
    # A single group takes what names no context too, so that it can be refused. Several cannot (the filters of a work
    # queue must not overlap): then the broker refuses it.
    alone = len(settings.ingress.groups) == 1
    everything = (cloudevents.COMMAND_SUBJECTS,)
    return NatsSettings(
        url=deployment.nats_url,
        token=deployment.nats_token,
        replicas=settings.nats.stream_replicas,
        stream_max_bytes=settings.nats.stream_max_bytes,
        ack_wait=timedelta(seconds=settings.nats.ack_wait_seconds),
        max_in_flight=_in_flight(deployment),
        max_body_bytes=settings.ingress.max_body_bytes,
        group=f"ingress-{group}",
        all_groups=tuple(f"ingress-{number}" for number in range(len(settings.ingress.groups))),
        subjects=everything if alone else _commands_of(contexts),
        stream_subjects=everything if alone else _commands_of(chain(*settings.ingress.groups)),
    )


def _commands_of(contexts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(cloudevents.commands_of, sorted(contexts)))


def _in_flight(deployment: Deployment) -> int:
    return deployment.settings.ingress.max_in_flight_commands * len(placement(deployment).slots)
