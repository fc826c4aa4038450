"""The daemon's life: start what is built in, start the actors, be ready, drain, leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TextIO

import structlog

from config.node import set_node_folder
from config.settings import Settings
from spark_actors.actors import names
from spark_actors.application import load_application
from spark_actors.bootstrap.sizes import sessions_needed
from spark_actors.bootstrap.web import web_options
from spark_actors.deployment import (
    Deployment,
    first_namespace,
    modules_of_actors,
    signing_keys,
    token_issuer,
    token_verifier,
)
from spark_actors.embedded.addresses import LOOPBACK, Address
from spark_actors.embedded.data_dir import DAEMON_LOG, DaemonCard, DataDir, write_private_file
from spark_actors.embedded.keeping import Revivable, ServiceKeeper
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.embedded.space import shortage
from spark_actors.embedded.web_process import EmbeddedWeb
from spark_actors.foreground import STOPPED_AT_ONCE, Signals, StopAtOnce, StopWanted, at_home
from spark_actors.hand_over import TreeChange
from spark_actors.join_file import JOIN_FILE, join_file
from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.identity import Role
from spark_actors.messaging.ports import INGRESS
from spark_actors.node import facts_of
from spark_actors.persistence.cluster import current_tree, new_tree, open_tree
from spark_actors.persistence.cluster_desk import ClusterDesk
from spark_actors.persistence.hand_overs import HandOvers
from spark_actors.persistence.key_record import refuse_foreign_keys, remember_keys
from spark_actors.persistence.membership import NodeFacts
from spark_actors.persistence.migrations import migrate
from spark_actors.persistence.ownership import OwnedElsewhereError, OwnerLock
from spark_actors.persistence.room import refuse_too_few_connections
from spark_actors.pulse import Pulse
from spark_actors.telemetry.discovery import Discovery
from spark_actors.telemetry.http import TelemetryServer
from spark_actors.telemetry.liveness import Liveness
from spark_actors.telemetry.log_door import LogDoor
from spark_actors.telemetry.logs import configure_logging
from spark_actors.version import version

if TYPE_CHECKING:
    from spark_actors.actors.references import RayRoot

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


@dataclass(frozen=True)
class Surroundings:
    """What the actors stand on, and what keeps those parts of it alive that are built in."""

    deployment: Deployment
    keepers: Sequence[ServiceKeeper]
    owner: OwnerLock
    ray_node: EmbeddedRay | None
    postgres: EmbeddedPostgres | None
    web: EmbeddedWeb | None = None
    web_keeper: ServiceKeeper | None = None
    """Not among the keepers: the actors do not stand on the pages, and work without them."""

    def look_after(self) -> None:
        """Start again what has ended by itself."""
        for keeper in (*self.keepers, *([self.web_keeper] if self.web_keeper else [])):
            keeper.look()

    @property
    def web_status(self) -> dict[str, str]:
        """Where the pages are and how they are; empty if there are none."""
        if self.web is None or self.web_keeper is None:
            return {}
        return {"url": self.web.url, "state": self.web_keeper.problem or "ready"}

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


@dataclass(frozen=True)
class Manner:
    """How a daemon is to start."""

    is_standby: bool = False
    """While another daemon works on the tables it waits, and takes over when that ends; else it refuses to start."""
    takes_new_keys: bool = False
    """It starts although it has none of the keys that signed the tokens of what may still wait."""


def run_daemon(read: Callable[[], Settings], out: TextIO = sys.stdout, manner: Manner = Manner()) -> int:
    """Run until SIGTERM or Ctrl-C; returns the exit code.

    0: drained and stopped. 130: a second signal ended it at once. Raises SparkError if it cannot start or go on: Ray
    has ended, or another daemon owns the tables. No process is left behind either way. *read* gives the settings; it is
    called again when operators wish that they are read anew.
    """
    settings = read()
    signals = Signals()
    signals.install()
    with at_home(settings, "daemon", DAEMON_LOG) as data_dir:
        try:
            with services(settings, data_dir, manner, signals) as surroundings:
                _run_tree(surroundings, data_dir, read, signals, out)
        except StopWanted:
            log.info("stopped_before_it_began")
            return 0
        except StopAtOnce:
            log.warning("stopped_at_once")
            return STOPPED_AT_ONCE
        log.info("stopped")
    return 0


@contextmanager
def services(settings: Settings, data_dir: DataDir, manner: Manner, signals: Signals) -> Iterator[Surroundings]:
    """Postgres, broker and Ray node: those built in that the settings do not replace, started side by side.

    On standby nothing is started beside the store before the tables are its own. Raises StopWanted if it is to end
    before that.
    """
    postgres = _embedded_postgres(settings, data_dir) if settings.needs_embedded_postgres else None
    nats = EmbeddedNats(data_dir, _nats_options(settings)) if settings.needs_embedded_nats else None
    ray_node = (
        EmbeddedRay(
            data_dir, listen=_listens_at(settings, settings.cluster.port), preload_modules=modules_of_actors(settings)
        )
        if settings.needs_embedded_ray
        else None
    )
    web = _web(settings, data_dir) if settings.web.enabled else None
    set_node_folder(data_dir.path)
    with ThreadPoolExecutor(1) as beside, ExitStack() as stack:  # what waits for a service ends once that is stopped
        for service in (postgres, nats):
            if service:
                stack.callback(service.stop)
                service.launch()

        def prepare_store() -> tuple[Deployment, OwnerLock]:
            deployment = _deployment(settings, data_dir, postgres, nats)
            owner = OwnerLock(deployment.listen_dsn.values())
            _own(owner, manner, signals)
            stack.callback(owner.release)
            refuse_too_few_connections(
                sessions_needed(deployment.application, settings, deployment.dsn, deployment.listen_dsn)
            )
            if applied := migrate(deployment.application, deployment.dsn):
                log.info("migrated", migrations=len(applied), newest=str(applied[-1]))
            if not manner.takes_new_keys:
                refuse_foreign_keys(deployment.dsn[INGRESS], deployment.keys)
            deployment.application.take_over(data_dir.path, deployment.dsn)
            return deployment, owner

        store = beside.submit(prepare_store)
        if manner.is_standby:
            wait([store])
        if ray_node:
            stack.callback(ray_node.stop)
            ray_node.launch()
        if web:
            stack.callback(web.stop)
            web.launch()
        deployment, owner = store.result()
        if web:
            web.tell_broker(deployment.nats_url, deployment.nats_token)
        owner.watch()
        _connect_ray(deployment, ray_node)
        kept: dict[str, Revivable | None] = {"postgres": postgres, "nats": nats, "ray": ray_node}
        keepers = [ServiceKeeper(name, service) for name, service in kept.items() if service]
        web_keeper = ServiceKeeper("web", web) if web else None
        yield Surroundings(deployment, keepers, owner, ray_node, postgres, web, web_keeper)


def _own(owner: OwnerLock, manner: Manner, signals: Signals) -> None:
    """Take the tables; on standby as soon as nobody else has them. Raises OwnedElsewhereError, StopWanted."""
    while True:
        try:
            return owner.take()
        except OwnedElsewhereError as error:
            if not manner.is_standby:
                raise
            log.info("standing_by", owner=error.holder, since=error.since)
        if signals.stop_wanted.is_set():
            raise StopWanted


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
        log_file=data_dir.logs / DAEMON_LOG,
        ray_namespace=first_namespace(settings, dsn),
        keys=signing_keys(settings, data_dir, make=True),
    )


def _embedded_postgres(settings: Settings, data_dir: DataDir) -> EmbeddedPostgres:
    """With as many connections as the deployment needs, should the usual number not do."""
    application = load_application(settings.application)
    here = dict.fromkeys(application.schemas, "here")
    needed = sessions_needed(application, settings, here, here)["here"] + RESERVED_SESSIONS
    return EmbeddedPostgres(
        data_dir,
        listen=_listens_at(settings, settings.cluster.postgres_port),
        extra_settings={"max_connections": str(max(USUAL_SESSIONS, needed))},
    )


def _listens_at(settings: Settings, port: int) -> Address | None:
    """Where what is built in listens for other machines; None: for none."""
    return Address(settings.cluster.listen, port) if settings.cluster.listen else None


def _nats_options(settings: Settings) -> NatsOptions:
    return NatsOptions(host=settings.cluster.listen or LOOPBACK, port=settings.nats.port)


def _web(settings: Settings, data_dir: DataDir) -> EmbeddedWeb:
    return EmbeddedWeb(
        data_dir, settings.web.host, settings.web.port, asdict(web_options(settings, data_dir.logs / DAEMON_LOG))
    )


def _connect_ray(deployment: Deployment, ray_node: EmbeddedRay | None) -> None:
    if ray_node:
        ray_node.connect(deployment.ray_namespace)
    else:
        # Imported here: Ray reads its environment when it is imported, and the embedded node prepares it first.
        from spark_actors.actors.references import connect

        connect(deployment.settings.ray.address, deployment.ray_namespace)


def _run_tree(
    surroundings: Surroundings, data_dir: DataDir, read: Callable[[], Settings], signals: Signals, out: TextIO
) -> None:
    tree = TreeChange(*_tree(_remembering_the_queue(surroundings.deployment)), read)
    settings, dsn = tree.deployment.settings, tree.deployment.dsn[INGRESS]
    signals.install()
    configure_logging("daemon", tree.deployment.log_file, settings.log.level)
    liveness = Liveness()

    server = TelemetryServer(
        settings.http_host,
        settings.http.port,
        metrics=lambda: tree.root.metrics(),
        liveness=liveness.problems,
        readiness=lambda: {**surroundings.problems(), **tree.root.readiness()},
        status=lambda: {**tree.root.status(), **({"web": told} if (told := surroundings.web_status) else {})},
        logs=LogDoor(tree.deployment.log_file, lambda *shown: token_verifier(tree.deployment)(*shown)),
        targets=Discovery(socket.gethostname(), lambda: _own_url(server, settings), ClusterDesk(dsn).nodes).targets,
    )
    with ExitStack() as stack:
        stack.callback(server.stop)
        try:
            server.start()
            _wait_until_ready(tree.root.problems, surroundings, signals)
            if not signals.stop_wanted.is_set():
                _write_join_file(surroundings, data_dir)
                _announce(tree.deployment, data_dir, server.url, surroundings.web_status.get("url", ""), out)
                stack.callback(data_dir.remove_daemon_card)
            renewal = time.monotonic() + RENEWAL_SECONDS
            pulse = Pulse(dsn, _facts(surroundings.ray_node, tree, server))
            pulse.start()
            stack.callback(pulse.stop)
            liveness.begin()

            def look() -> bool:
                """Whether to go on, after a look at all that this daemon looks after."""
                surroundings.look_after()
                liveness.turn(root_answers=tree.root.answers())
                return not signals.stop_wanted.is_set() and _can_go_on(surroundings, signals)

            while look() and not signals.stop_wanted.wait(WATCH_SECONDS):
                if wish := pulse.wished:
                    tree.make(wish, look)
                if time.monotonic() > renewal:
                    _renew_token(tree.deployment, data_dir)
                    renewal += RENEWAL_SECONDS
            log.info("draining", grace_seconds=settings.shutdown.grace_seconds)
        finally:
            liveness.end()
            tree.root.stop(
                settings.shutdown.grace_seconds + SLACK_SECONDS,
                is_worthwhile=lambda: surroundings.is_whole,
                has_cluster=lambda: surroundings.has_ray,
            )


def _facts(ray_node: EmbeddedRay | None, tree: TreeChange, server: TelemetryServer) -> Callable[[], NodeFacts] | None:
    """What this node says of itself, if its Ray is ours."""
    return (lambda: facts_of(ray_node, tree.deployment, server)) if ray_node else None


def _own_url(server: TelemetryServer, settings: Settings) -> str:
    """As other machines know it, if there are any that can."""
    return server.url_for_others(settings.cluster.listen or LOOPBACK) or server.url


def _tree(deployment: Deployment) -> tuple[Deployment, RayRoot]:
    """The tree that lives already, if it was made by the same release with the same settings; else a new one."""
    from spark_actors.actors.references import RayRoot  # after the environment of Ray is set
    from spark_actors.bootstrap.root import root_builder

    dsn, fingerprint = deployment.dsn[INGRESS], deployment.fingerprint
    HandOvers(dsn).give_up("the daemon has been started anew meanwhile")
    remember_keys(dsn, deployment.keys)
    deployment.keep(deployment.settings.data_dir)
    current = current_tree(dsn)
    if current and (current.fingerprint, current.release) == (fingerprint, version()):
        root = RayRoot(current.namespace)
        if root.adopt():
            log.info("tree_adopted", epoch=current.epoch)
            open_tree(dsn, current.epoch)  # and no other, should one have been warm
            return replace(deployment, ray_namespace=current.namespace), root
    tree = new_tree(
        dsn, names.deployment_of(deployment.ray_namespace), version(), fingerprint, deployment.settings.common
    )
    deployment, root = replace(deployment, ray_namespace=tree.namespace), RayRoot(tree.namespace)
    root.start(root_builder(deployment.origin))
    open_tree(dsn, tree.epoch)
    return deployment, root


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


def _announce(deployment: Deployment, data_dir: DataDir, metrics_url: str, web_url: str, out: TextIO) -> None:
    data_dir.write_daemon_card(
        DaemonCard(
            pid=os.getpid(),
            nats_url=deployment.nats_url,
            nats_token=deployment.nats_token,
            metrics_url=metrics_url,
            web_url=web_url,
            started_at=datetime.now(UTC).isoformat(),
            version=version(),
            dsn=dict(deployment.dsn),
            operator_token=_operator_token(deployment),
        )
    )
    log.info("daemon_started", nats_url=deployment.nats_url, metrics_url=metrics_url, web_url=web_url)
    pages = f"web {web_url}  " if web_url else ""
    told = f"ready  {pages}nats {deployment.nats_url}  metrics {metrics_url}  data {data_dir.path}"
    print(told, file=out, flush=True)


def _write_join_file(surroundings: Surroundings, data_dir: DataDir) -> None:
    """Everything that a node needs to know, if nodes can join: an operator copies it to each."""
    ray_node, postgres = surroundings.ray_node, surroundings.postgres
    if ray_node is None or not surroundings.deployment.settings.cluster.listen:
        return
    text = join_file(
        surroundings.deployment,
        head=ray_node.address,
        ray_token=ray_node.token,
        postgres_dsn=postgres.network_dsn() if postgres else "",
    )
    write_private_file(data_dir.path / JOIN_FILE, text)


def _renew_token(deployment: Deployment, data_dir: DataDir) -> None:
    if card := data_dir.read_daemon_card():
        data_dir.write_daemon_card(replace(card, operator_token=_operator_token(deployment)))


def _operator_token(deployment: Deployment) -> str:
    return (
        token_issuer(deployment.settings, deployment.keys)
        .issue("operator", [Role.OPERATOR], timedelta(days=TOKEN_DAYS))
        .text
    )
