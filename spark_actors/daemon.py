"""The daemon's life: start what is built in, start the actors, be ready, drain, leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from types import FrameType
from typing import TextIO
from uuid import uuid4

import structlog

from config.settings import Settings
from spark_actors.actors import names
from spark_actors.application import load_application
from spark_actors.bootstrap.sizes import sessions_needed
from spark_actors.deployment import Deployment, signing_keys, token_issuer
from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.embedded.keeping import Revivable, ServiceKeeper
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.embedded.space import shortage
from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.identity import Role
from spark_actors.persistence.migrations import migrate
from spark_actors.persistence.ownership import OwnerLock, deployment_id
from spark_actors.persistence.room import refuse_too_few_connections
from spark_actors.telemetry.http import TelemetryServer
from spark_actors.telemetry.liveness import Liveness
from spark_actors.telemetry.logs import configure_logging
from spark_actors.telemetry.tail import LogTail
from spark_actors.version import version

log = structlog.get_logger(__name__)

START_SECONDS = 120.0
"""After this a daemon that is not ready gives up."""
POLL_SECONDS = 0.1
WATCH_SECONDS = 1.0
TOKEN_DAYS = 7
"""For so long the operator's token on the card is good."""
RENEWAL_SECONDS = 86_400.0
SAME_MOMENT_SECONDS = 1.0
"""So far apart may be what belongs together."""
USUAL_SESSIONS = 100
"""Connections that the built-in Postgres allows, unless more are needed ..."""
RESERVED_SESSIONS = 3
"""... of which it keeps some for its superuser."""
SLACK_SECONDS = 5.0
"""What draining may take beyond the grace period of its parts, before everything is ended anyway."""


class NotReadyError(SparkError):
    """The daemon did not become ready in time."""

    def __init__(self, seconds: float, problems: list[str]) -> None:
        super().__init__(seconds, problems)
        self.seconds, self.problems = seconds, problems

    def __str__(self) -> str:
        return f"not ready after {self.seconds:.0f} s: {'; '.join(self.problems) or 'no answer from the actors'}"


class StopAtOnce(BaseException):
    """A second signal came: end everything without draining. All that was acknowledged is in Postgres."""


class Signals:
    """SIGTERM and Ctrl-C: the first asks for a drain, the second ends it. Install after Ray, which sets its own."""

    def __init__(self) -> None:
        self.stop_wanted = Event()

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stop_wanted.is_set():
            raise StopAtOnce
        self.stop_wanted.set()


@dataclass(frozen=True)
class Surroundings:
    """What the actors stand on, and what keeps those parts of it alive that are built in."""

    deployment: Deployment
    keepers: Sequence[ServiceKeeper]
    owner: OwnerLock
    ray_node: EmbeddedRay | None

    def look_after(self) -> None:
        """Start again what has ended by itself."""
        for keeper in self.keepers:
            keeper.look()

    def problems(self) -> dict[str, str | None]:
        """Each thing that the actors stand on, and why it cannot be counted on just now (None: it can)."""
        kept = {keeper.name: keeper.problem for keeper in self.keepers}
        data_dir = DataDir(self.deployment.settings.data_dir)
        disk = shortage(data_dir.path, data_dir.postgres, data_dir.nats)
        return {**kept, "owner": self.owner.problem, "disk": disk}

    @property
    def lost(self) -> SparkError | None:
        """What has gone for good, so that only a new start of the daemon helps."""
        return self.owner.lost or (self.ray_node.lost if self.ray_node else None)

    @property
    def has_ray(self) -> bool:
        """Whether there is still a cluster to speak with; one of somebody else's is taken to be there."""
        return self.ray_node is None or (self.ray_node.lost is None and not self.ray_node.has_ended)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing at this moment that draining needs."""
        return self.lost is None and not any(keeper.has_ended for keeper in self.keepers)


def run_daemon(settings: Settings, out: TextIO = sys.stdout) -> int:
    """Run until SIGTERM or Ctrl-C; returns the exit code.

    0: drained and stopped. 130: a second signal ended it at once. Raises SparkError if it cannot start or go on: Ray
    has ended, or another daemon owns the tables. No process is left behind either way.
    """
    signals = Signals()
    signals.install()
    data_dir = DataDir(settings.data_dir)
    with ExitStack() as stack:
        data_dir.create()
        data_dir.lock()
        stack.callback(data_dir.unlock)
        log_file = data_dir.logs / "daemon.jsonl"
        configure_logging("daemon", log_file, settings.log.level)
        tail = LogTail(log_file, sys.stderr, format=settings.log.format, max_bytes=settings.log.file_max_bytes)
        tail.start()
        stack.callback(tail.stop)
        try:
            with services(settings, data_dir) as surroundings:
                _run_tree(surroundings, data_dir, signals, out)
        except StopAtOnce:
            log.warning("stopped_at_once")
            return 128 + signal.SIGINT
        log.info("stopped")
    return 0


@contextmanager
def services(settings: Settings, data_dir: DataDir) -> Iterator[Surroundings]:
    """Postgres, broker and Ray node: those built in that the settings do not replace, started side by side."""
    postgres = _embedded_postgres(settings, data_dir) if settings.needs_embedded_postgres else None
    nats = EmbeddedNats(data_dir, NatsOptions(port=settings.nats.port)) if settings.needs_embedded_nats else None
    ray_node = EmbeddedRay(data_dir) if settings.needs_embedded_ray else None
    with ThreadPoolExecutor(1) as beside, ExitStack() as stack:  # what waits for a service ends once that is stopped
        for service in (postgres, nats):
            if service:
                stack.callback(service.stop)
                service.launch()

        def prepare_store() -> tuple[Deployment, OwnerLock]:
            deployment = _deployment(settings, data_dir, postgres, nats)
            owner = OwnerLock(deployment.listen_dsn.values())
            owner.take()
            stack.callback(owner.release)
            refuse_too_few_connections(
                sessions_needed(deployment.application, settings, deployment.dsn, deployment.listen_dsn)
            )
            if applied := migrate(deployment.application, deployment.dsn):
                log.info("migrated", migrations=len(applied), newest=str(applied[-1]))
            return deployment, owner

        store = beside.submit(prepare_store)
        if ray_node:
            stack.callback(ray_node.stop)
            ray_node.launch()
        deployment, owner = store.result()
        owner.watch()
        _connect_ray(deployment, ray_node)
        kept: dict[str, Revivable | None] = {"postgres": postgres, "nats": nats, "ray": ray_node}
        keepers = [ServiceKeeper(name, service) for name, service in kept.items() if service]
        yield Surroundings(deployment, keepers, owner, ray_node)


def _deployment(
    settings: Settings, data_dir: DataDir, postgres: EmbeddedPostgres | None, nats: EmbeddedNats | None
) -> Deployment:
    for service in (postgres, nats):
        if service:
            service.wait_ready()
    embedded_dsn = postgres.dsn() if postgres else ""
    schemas = load_application(settings.application).schemas
    dsn = {schema: settings.dsn_of(schema) or embedded_dsn for schema in schemas}
    return Deployment(
        settings=settings,
        dsn=dsn,
        listen_dsn={schema: settings.listen_dsn_of(schema) or embedded_dsn for schema in schemas},
        nats_url=nats.url if nats else settings.nats.url,
        nats_token=nats.token if nats else settings.nats.token.get_secret_value(),
        log_file=data_dir.logs / "daemon.jsonl",
        ray_namespace=names.namespace(settings.ray.namespace, deployment_id(dsn[schemas[0]]), uuid4().hex[:12]),
        keys=signing_keys(settings, data_dir, make=True),
    )


def _embedded_postgres(settings: Settings, data_dir: DataDir) -> EmbeddedPostgres:
    """With as many connections as the deployment needs, should the usual number not do."""
    application = load_application(settings.application)
    here = dict.fromkeys(application.schemas, "here")
    needed = sessions_needed(application, settings, here, here)["here"] + RESERVED_SESSIONS
    return EmbeddedPostgres(data_dir, extra_settings={"max_connections": str(max(USUAL_SESSIONS, needed))})


def _connect_ray(deployment: Deployment, ray_node: EmbeddedRay | None) -> None:
    if ray_node:
        ray_node.connect(deployment.ray_namespace)
    else:
        # Imported here: Ray reads its environment when it is imported, and the embedded node prepares it first.
        from spark_actors.actors.references import connect

        connect(deployment.settings.ray.address, deployment.ray_namespace)


def _run_tree(surroundings: Surroundings, data_dir: DataDir, signals: Signals, out: TextIO) -> None:
    from spark_actors.actors.references import RayRoot  # after the environment of Ray is set
    from spark_actors.bootstrap.root import root_builder

    deployment = _remembering_the_queue(surroundings.deployment)
    settings = deployment.settings
    root = RayRoot(deployment.ray_namespace)
    signals.install()
    configure_logging("daemon", deployment.log_file, settings.log.level)
    root.start(root_builder(deployment))
    liveness = Liveness()
    server = TelemetryServer(
        settings.http.host,
        settings.http.port,
        metrics=root.metrics,
        liveness=liveness.problems,
        readiness=lambda: {**surroundings.problems(), **root.readiness()},
        status=root.status,
    )
    with ExitStack() as stack:
        stack.callback(server.stop)
        try:
            server.start()
            _wait_until_ready(root.problems, surroundings, signals)
            if not signals.stop_wanted.is_set():
                _announce(deployment, data_dir, server.url, out)
                stack.callback(data_dir.remove_daemon_card)
            renewal = time.monotonic() + RENEWAL_SECONDS
            liveness.begin()
            while not signals.stop_wanted.wait(WATCH_SECONDS) and _can_go_on(surroundings, signals):
                surroundings.look_after()
                liveness.turn(root_answers=root.answers())
                if time.monotonic() > renewal:
                    _renew_token(deployment, data_dir)
                    renewal += RENEWAL_SECONDS
            log.info("draining", grace_seconds=settings.shutdown.grace_seconds)
        finally:
            liveness.end()
            root.stop(
                settings.shutdown.grace_seconds + SLACK_SECONDS,
                is_worthwhile=lambda: surroundings.is_whole,
                has_cluster=lambda: surroundings.has_ray,
            )


def _can_go_on(surroundings: Surroundings, signals: Signals) -> bool:
    """False if a stop is wanted; raises what was lost, unless a stop comes with it.

    A signal that was sent to every process of the daemon at once may have ended others before it is seen here.
    """
    lost = surroundings.lost
    if lost is None:
        return True
    if signals.stop_wanted.wait(SAME_MOMENT_SECONDS):
        return False
    raise lost


def _remembering_the_queue(deployment: Deployment) -> Deployment:
    """With an inbox that remembers back to the oldest command that the broker may deliver again."""
    from spark_actors.ingress.port import BrokerUnavailableError
    from spark_actors.ingress.queue_age import days_to_remember, oldest_waiting

    set_days = deployment.settings.retention.inbox_days
    try:
        oldest = asyncio.run(oldest_waiting(deployment.nats_url, deployment.nats_token))
    except BrokerUnavailableError as error:
        log.warning("age_of_queue_unknown", remembered_days=set_days, error=str(error))
        return deployment
    days = days_to_remember(set_days, oldest, datetime.now(UTC))
    if days == set_days:
        return deployment
    log.warning("queue_older_than_inbox_days", oldest=str(oldest), inbox_days=set_days, remembered_days=days)
    return replace(deployment, settings=deployment.settings.changed(retention__inbox_days=days))


def _wait_until_ready(problems: Callable[[], list[str]], surroundings: Surroundings, signals: Signals) -> None:
    deadline = time.monotonic() + START_SECONDS
    while current := problems():
        if signals.stop_wanted.wait(POLL_SECONDS) or not _can_go_on(surroundings, signals):
            return
        if time.monotonic() > deadline:
            raise NotReadyError(START_SECONDS, current)


def _announce(deployment: Deployment, data_dir: DataDir, metrics_url: str, out: TextIO) -> None:
    data_dir.write_daemon_card(
        DaemonCard(
            pid=os.getpid(),
            nats_url=deployment.nats_url,
            nats_token=deployment.nats_token,
            metrics_url=metrics_url,
            started_at=datetime.now(UTC).isoformat(),
            version=version(),
            dsn=dict(deployment.dsn),
            operator_token=_operator_token(deployment),
        )
    )
    log.info("daemon_started", nats_url=deployment.nats_url, metrics_url=metrics_url)
    print(f"ready  nats {deployment.nats_url}  metrics {metrics_url}  data {data_dir.path}", file=out, flush=True)


def _renew_token(deployment: Deployment, data_dir: DataDir) -> None:
    if card := data_dir.read_daemon_card():
        data_dir.write_daemon_card(replace(card, operator_token=_operator_token(deployment)))


def _operator_token(deployment: Deployment) -> str:
    return (
        token_issuer(deployment.settings, deployment.keys)
        .issue("operator", [Role.OPERATOR], timedelta(days=TOKEN_DAYS))
        .text
    )
