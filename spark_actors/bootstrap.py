"""The composition root: the one place that picks implementations and hands them to the actors.

Each `…_unit` function runs in the process of its actor; what it gets is the deployment, which is plain data. What
only one actor needs is imported in its function, because every actor is a process that pays for what it imports.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING

from domain.contexts import CONTEXTS
from domain.shared.context import BoundedContext
from domain.shared.messages import MessageRegistry
from spark_actors.actors import names
from spark_actors.actors.aggregate import AggregateActor, HostedContext
from spark_actors.actors.context import ContextActor, ContextService, Part, Projecting, Steps, TaskListing, Tracking
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.loop import Loop
from spark_actors.actors.parking import CommandReleases
from spark_actors.actors.ports import ActorSpec
from spark_actors.actors.references import Directory, RayChildren, RayHosts, RaySubscribers
from spark_actors.actors.root import RootSupervisor
from spark_actors.actors.supervisor import OutboxRelay, RelayLimits, Supervisor
from spark_actors.actors.unit import Unit
from spark_actors.actors.watch import Watch, housekeeping_loop
from spark_actors.deployment import Deployment, token_issuer
from spark_actors.faults.wiring import NoFaults, faults
from spark_actors.messaging import cloudevents
from spark_actors.messaging.ports import Maintenance
from spark_actors.messaging.relay import RetryPolicy
from spark_actors.messaging.routing import Placement, Slot, Subscriptions
from spark_actors.persistence.connections import Pool, make_pool
from spark_actors.persistence.dead_letters import PostgresDeadLetters
from spark_actors.persistence.maintenance import DeadLetterMaintenance, PostgresMaintenance
from spark_actors.persistence.outbox import PostgresOutboxReader
from spark_actors.persistence.saga_log import PostgresSagaLog
from spark_actors.persistence.uow import PostgresUnitOfWorkFactory
from spark_actors.persistence.wake_ups import PostgresWakeUps
from spark_actors.telemetry.board import MetricsBoard
from spark_actors.telemetry.logs import configure_logging
from spark_actors.telemetry.metrics import ActorMetrics

if TYPE_CHECKING:
    from config.settings import Settings
    from spark_actors.identity.login import Login
    from spark_actors.identity.tokens import Realm
    from spark_actors.ingress.nats_broker import NatsSettings

BY_NAME = {context.name: context for context in CONTEXTS}
WRITE_CONTEXTS = tuple(context for context in CONTEXTS if context.commands)
READ_MODELS = "dashboard"
USERS = "auth"
LIGHTNING = "bitcoin"
RELAY_NICENESS = 5
READERS_NICENESS = 10
READERS_PATIENCE_SECONDS = 0.05
"""Under load commands come first, then sagas, then read models: these may lag, and fewer, larger batches cost less."""
PULLED_AT_ONCE = 100
"""Commands that an Ingress checks in one go: answers that have come in meanwhile wait for so long."""
RETRY_JITTER = 0.3
"""Part of a retry's delay that is left to chance."""
REFUSED = "ingress"
"""The schema for what never reached a context."""


def registry() -> MessageRegistry:
    """Every message of every context, and how older versions of them are read."""
    return MessageRegistry(
        (message for context in CONTEXTS for message in context.messages),
        (upcaster for context in CONTEXTS for upcaster in context.upcasters),
    )


def clock() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def faults_of(deployment: Deployment) -> NoFaults:
    """What the deployment's processes are wrapped with: nothing, unless tests may hurt them."""
    return faults(deployment.settings.data_dir, enabled=deployment.settings.faults.enabled)


def placement(deployment: Deployment) -> Placement:
    """Where instances live."""
    wanted = deployment.settings.placement
    kinds = {str(kind): actors for kind, actors in wanted.dedicated_kinds.items()}
    return Placement(wanted.aggregate_actors, wanted.resident_instances, kinds, wanted.dedicated_instances)


def aggregate_actor(deployment: Deployment, slot: Slot) -> tuple[AggregateActor, Callable[[], bytes]]:
    """An AggregateActor for one slot, and its metrics."""
    _log_as(deployment, names.aggregate_actor(slot))
    metrics, hurt = ActorMetrics(), faults_of(deployment)
    turns = deployment.settings.turns
    hosted = [
        HostedContext(
            context,
            PostgresUnitOfWorkFactory(
                deployment.dsn[context.name], context.name, prepare_threshold=_prepare_threshold(deployment)
            ),
        )
        for context in WRITE_CONTEXTS
    ]
    actor = AggregateActor(
        hosted,
        registry(),
        capacity=slot.capacity,
        max_attempts=turns.max_attempts,
        clock=hurt.clock(clock),
        telemetry=metrics,
        pass_point=hurt.pass_point,
    )
    return actor, metrics.snapshot


class Parts:
    """What every asynchronous unit is made of: metrics, connections (closed at the end), ways to other actors."""

    def __init__(self, deployment: Deployment, actor: str) -> None:
        _log_as(deployment, actor)
        self.deployment = deployment
        self.settings = deployment.settings
        self.metrics = ActorMetrics()
        self.faults = faults_of(deployment)
        self.clock = self.faults.clock(clock)
        self.registry = registry()
        self.directory = Directory(self.settings.ray.namespace)
        self.open = AsyncExitStack()
        """What is to be closed after the service has stopped."""

    async def pool(self, context: str) -> Pool:
        """A pool of connections to the context's database; opens even while Postgres is away."""
        pool = make_pool(self.deployment.dsn[context], prepare_threshold=_prepare_threshold(self.deployment))
        await pool.open()
        self.open.push_async_callback(pool.close)
        return pool

    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            placement(self.deployment),
            RayHosts(self.directory),
            max_commands=self.settings.turns.max_commands,
            telemetry=self.metrics,
        )

    def keeper(self, name: str, kind: str, build: Callable[[], object]) -> Keeper:
        supervision = self.settings.supervision
        return Keeper(
            ActorSpec(name, kind, build),
            RayChildren(self.directory, self.settings.ray.namespace),
            heartbeat_seconds=supervision.heartbeat_seconds,
            patience_seconds=supervision.patience_seconds,
            telemetry=self.metrics,
        )

    def context_keeper(self, name: str) -> Keeper:
        """What keeps the ContextActor of one context."""
        return self.keeper(names.context_actor(name), "ContextActor", partial(context_unit, self.deployment, name))

    async def close(self) -> None:
        await self.open.aclose()


async def context_unit(deployment: Deployment, name: str) -> Unit:
    """The ContextActor of one context."""
    parts = Parts(deployment, names.context_actor(name))
    context = BY_NAME[name]
    os.nice(READERS_NICENESS if name == READ_MODELS else RELAY_NICENESS)
    pool = await parts.pool(name)
    dispatcher = parts.dispatcher()
    does: list[Part] = []
    loops: list[Loop] = []
    if context.sagas:
        does.append(Tracking(context, PostgresSagaLog(pool, name), parts.metrics))
    if context.steps:
        does.append(Steps(context, dispatcher, parts.registry, parts.faults.pass_point))
    if name == READ_MODELS:
        projecting, housekeeping = _dashboard(parts, pool, context)
        does.append(projecting)
        loops.append(housekeeping)
    if name == LIGHTNING:
        listing, worker = _lightning(parts, pool, dispatcher)
        does.append(listing)
        loops.append(worker)
    service = ContextService(ContextActor(context, parts.registry, does), dispatcher, loops)
    return Unit(service, parts.metrics.snapshot, close=parts.close)


async def supervisor_unit(deployment: Deployment, name: str) -> Unit:
    """The Supervisor of one context with an outbox."""
    parts = Parts(deployment, names.supervisor(name))
    os.nice(RELAY_NICENESS)
    pool = await parts.pool(name)
    outbox = PostgresOutboxReader(pool, name)
    watch = Watch(
        name,
        outbox=outbox,
        saga_log=PostgresSagaLog(pool, name),
        dead_letters=PostgresDeadLetters(pool, name),
        maintenance=_maintenance(parts, pool, name),
        clock=parts.clock,
        telemetry=parts.metrics,
    )
    keeper = parts.context_keeper(name)
    releases = CommandReleases(name, outbox.parking, placement(deployment), RayHosts(parts.directory))
    service = Supervisor(
        watch, _relay(parts, name, outbox), releases, keeper, grace_seconds=parts.settings.shutdown.grace_seconds
    )
    return Unit(
        service,
        parts.metrics.snapshot,
        children=lambda: [keeper.report] if keeper.report else [],
        close=parts.close,
    )


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
    guard = Guard(parts.registry, TokenVerifier(deployment.keys, _realm(settings)))
    pool = await parts.pool(REFUSED)
    dead_letters = PostgresRefusedMessages(pool, REFUSED, subscriber=REFUSED, most=settings.retention.refused_messages)
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
        NatsBroker(_nats_settings(deployment, group)),
        door,
        guard,
        parts.dispatcher(),
        dead_letters,
        watch,
        Queries(door, guard, PostgresViews(await parts.pool(READ_MODELS)), (await _login(parts)).answer, clock),
        limits=IngressLimits(
            in_flight=_in_flight(deployment),
            batch=PULLED_AT_ONCE,
            relay_backlog=settings.ingress.max_relay_backlog_events,
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


async def root_unit(deployment: Deployment) -> Unit:
    """The root supervisor."""
    parts = Parts(deployment, names.ROOT)
    hosts = [
        parts.keeper(names.aggregate_actor(slot), "AggregateActor", partial(aggregate_actor, deployment, slot))
        for slot in placement(deployment).slots
    ]
    supervisors = [
        parts.keeper(names.supervisor(name), "Supervisor", partial(supervisor_unit, deployment, name))
        for name in (context.name for context in WRITE_CONTEXTS)
    ]
    # A context without an outbox has nothing for a Supervisor to do.
    readers = [parts.context_keeper(context.name) for context in CONTEXTS if context not in WRITE_CONTEXTS]
    ingresses = [
        parts.keeper(names.ingress(group), "Ingress", partial(ingress_unit, deployment, group))
        for group in range(len(parts.settings.ingress.groups))
    ]
    service = RootSupervisor(
        (ingresses, supervisors, readers, hosts),
        MetricsBoard(),
        parts.metrics.snapshot,
        grace_seconds=parts.settings.shutdown.grace_seconds,
    )
    return Unit(service, parts.metrics.snapshot, close=parts.close)


def root_builder(deployment: Deployment) -> Callable[[], Awaitable[Unit]]:
    """What makes the root supervisor in its own process."""
    return partial(root_unit, deployment)


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
        clock=clock,
        telemetry=parts.metrics,
    )


def _log_as(deployment: Deployment, process: str) -> None:
    configure_logging(process, deployment.log_file, deployment.settings.log.level)


def _prepare_threshold(deployment: Deployment) -> int | None:
    return 5 if deployment.settings.postgres.prepared_statements else None


def _in_flight(deployment: Deployment) -> int:
    return deployment.settings.ingress.max_in_flight_commands * len(placement(deployment).slots)


def _relay(parts: Parts, name: str, outbox: PostgresOutboxReader) -> OutboxRelay:
    wanted = parts.settings.relay
    wake_ups = PostgresWakeUps(parts.deployment.listen_dsn[name], name)
    parts.open.push_async_callback(wake_ups.close)
    return OutboxRelay(
        name,
        outbox,
        wake_ups,
        RaySubscribers(parts.directory),
        Subscriptions(CONTEXTS, parts.registry),
        limits=RelayLimits(
            batch=wanted.batch_events,
            in_flight=wanted.max_in_flight_events,
            poll_seconds=wanted.poll_interval_seconds,
            patience={READ_MODELS: READERS_PATIENCE_SECONDS},
        ),
        policy=RetryPolicy(
            wanted.max_attempts,
            timedelta(seconds=wanted.retry_base_seconds),
            timedelta(seconds=wanted.retry_ceiling_seconds),
            RETRY_JITTER,
        ),
        clock=parts.clock,
        telemetry=parts.metrics,
        pass_point=parts.faults.pass_point,
        draw=SystemRandom().random,
    )


def _maintenance(parts: Parts, pool: Pool, name: str) -> Maintenance:
    retention = parts.settings.retention
    return PostgresMaintenance(
        pool,
        name,
        inbox=timedelta(days=retention.inbox_days),
        sagas=timedelta(days=retention.sagas_days),
        dead_letters=timedelta(days=retention.dead_letters_days),
    )


def _dashboard(parts: Parts, pool: Pool, context: BoundedContext) -> tuple[Projecting, Loop]:
    """What keeps the read models up to date, and the loop that keeps their tables in order."""
    from spark_actors.persistence.dashboard_maintenance import DashboardMaintenance
    from spark_actors.persistence.dashboard_projection import PostgresProjection

    maintenance = DashboardMaintenance(pool, retention=timedelta(days=parts.settings.retention.activity_days))
    return Projecting(context, PostgresProjection(pool, parts.registry)), housekeeping_loop(
        context.name, maintenance, parts.clock
    )


def _lightning(parts: Parts, pool: Pool, dispatcher: Dispatcher) -> tuple[TaskListing, Loop]:
    """What lists tasks for the Lightning node, and the loop that works them off."""
    from domain.bitcoin.lightning import task_for
    from spark_actors.lightning.simulated import SimulatedLightningNode, SimulatedSettings
    from spark_actors.lightning.worker import LightningWorker, WorkerSettings
    from spark_actors.persistence.lightning_tasks import PostgresLightningTasks

    wanted = parts.settings.lightning
    tasks = PostgresLightningTasks(pool)
    node = SimulatedLightningNode(
        parts.deployment.simulated_node,
        SimulatedSettings(
            payment_delay=timedelta(seconds=wanted.simulated.payment_delay_seconds),
            latency=timedelta(seconds=wanted.simulated.latency_seconds),
            failure_rate=wanted.simulated.failure_rate,
            unknown_rate=wanted.simulated.unknown_rate,
        ),
        clock=clock,
        random=SystemRandom(),
    )
    parts.open.push_async_callback(node.close)
    worker = LightningWorker(
        tasks,
        parts.faults.node(node),
        dispatcher,
        settings=WorkerSettings(
            invoice_expiry=timedelta(seconds=wanted.invoice_expiry_seconds),
            watch_interval=timedelta(seconds=wanted.watch_interval_seconds),
            call_timeout=timedelta(seconds=wanted.call_timeout_seconds),
            max_concurrent_calls=wanted.max_concurrent_calls,
        ),
        clock=parts.clock,
        telemetry=parts.metrics,
        pass_point=parts.faults.pass_point,
    )
    loop = Loop("lightning", worker.step)
    return TaskListing(task_for, tasks, parts.clock, loop.wake), loop


def _nats_settings(deployment: Deployment, group: int) -> NatsSettings:
    from spark_actors.ingress.nats_broker import NatsSettings

    settings = deployment.settings
    contexts = settings.ingress.groups[group]
    # A single group takes what names no context too, so that it can be refused.
    alone = len(settings.ingress.groups) == 1
    subjects = (cloudevents.COMMAND_SUBJECTS,) if alone else tuple(map(cloudevents.commands_of, contexts))
    return NatsSettings(
        url=deployment.nats_url,
        token=deployment.nats_token,
        replicas=settings.nats.stream_replicas,
        ack_wait=timedelta(seconds=settings.nats.ack_wait_seconds),
        max_in_flight=_in_flight(deployment),
        max_body_bytes=settings.ingress.max_body_bytes,
        group=f"ingress-{group}",
        all_groups=tuple(f"ingress-{number}" for number in range(len(settings.ingress.groups))),
        subjects=subjects,
    )
