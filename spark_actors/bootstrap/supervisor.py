"""The Supervisor of one context with an outbox."""

from __future__ import annotations

import os
from datetime import timedelta

from spark_actors.actors import names
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.lane_runner import RelayLimits
from spark_actors.actors.parking import CommandReleases
from spark_actors.actors.ports import RelayPorts
from spark_actors.actors.references import RayHosts, RaySubscribers
from spark_actors.actors.supervisor import OutboxRelay, Supervisor
from spark_actors.actors.watch import Watch
from spark_actors.bootstrap import tuning
from spark_actors.bootstrap.parts import Parts, chance, placement
from spark_actors.deployment import Origin
from spark_actors.kernel.back_off import BackOff
from spark_actors.messaging.ports import Maintenance
from spark_actors.messaging.retry import RetryPolicy
from spark_actors.messaging.routing import Subscriptions
from spark_actors.persistence.connections import Pool
from spark_actors.persistence.dead_letters import PostgresDeadLetters
from spark_actors.persistence.maintenance import PostgresMaintenance
from spark_actors.persistence.outbox import PostgresOutboxReader
from spark_actors.persistence.saga_log import PostgresSagaLog
from spark_actors.persistence.tasks import PostgresDurableTasks
from spark_actors.persistence.wake_ups import PostgresWakeUps


async def supervisor_unit(origin: Origin, name: str) -> Assembly:
    """The Supervisor of one context with an outbox."""
    parts = Parts(origin, names.supervisor(name))
    os.nice(tuning.RELAY_NICENESS)
    pool = await parts.pool(name)
    subscriptions = Subscriptions(parts.application.bounded_contexts, parts.registry)
    outbox = PostgresOutboxReader(pool, name, subscriptions.subscribers_of(name))
    watch = Watch(
        name,
        outbox=outbox,
        saga_log=PostgresSagaLog(pool, name),
        tasks=PostgresDurableTasks(pool, name) if parts.application.installed(name).context.to_do else None,
        dead_letters=PostgresDeadLetters(pool, name),
        maintenance=_maintenance(parts, pool, name),
        clock=parts.clock,
        telemetry=parts.metrics,
    )
    releases = CommandReleases(
        name,
        outbox.parking,
        placement(parts.deployment),
        RayHosts(parts.routes),
        clock=parts.clock,
        telemetry=parts.metrics,
    )
    parts.routes.follow(lambda table: releases.place(table.placement, table.version))
    relay = _relay(parts, name, outbox, subscriptions)
    return Assembly(Supervisor(watch, relay, releases), parts.metrics.snapshot, parts.routes, parts.close)


def _relay(parts: Parts, name: str, outbox: PostgresOutboxReader, subscriptions: Subscriptions) -> OutboxRelay:
    wanted = parts.settings.relay
    wake_ups = PostgresWakeUps(parts.deployment.listen_dsn[name], name)
    parts.open.push_async_callback(wake_ups.close)
    return OutboxRelay(
        name,
        RelayPorts(
            outbox,
            wake_ups,
            RaySubscribers(parts.routes),
            clock=parts.clock,
            telemetry=parts.metrics,
            pass_point=parts.wrapping.pass_point,
            draw=chance,
        ),
        subscriptions,
        limits=RelayLimits(
            batch=wanted.batch_events,
            in_flight=wanted.max_in_flight_events,
            poll_seconds=wanted.poll_interval_seconds,
            patience={
                each.name: tuning.READERS_PATIENCE_SECONDS for each in parts.application.contexts if each.may_lag
            },
        ),
        policy=RetryPolicy(
            wanted.max_attempts,
            BackOff(wanted.retry_base_seconds, wanted.retry_ceiling_seconds, jitter=tuning.RETRY_JITTER),
        ),
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
