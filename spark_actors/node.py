"""The life of a node that is not the head: join, say that it lives, hand over what it has, leave nothing behind."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TextIO

import psutil
import structlog

from config.errors import SettingsError
from config.node import set_node_folder
from config.settings import Settings
from spark_actors.actors import names
from spark_actors.cluster.nodes import Judgement, NodeState
from spark_actors.deployment import (
    Deployment,
    dsn_by_schema,
    first_namespace,
    modules_of_actors,
    signing_keys,
    token_verifier,
)
from spark_actors.embedded.addresses import Address
from spark_actors.embedded.data_dir import NODE_LOG, DataDir
from spark_actors.embedded.errors import HeadUnreachableError
from spark_actors.embedded.ray_node import DEFAULT_PORT, JoiningRay, RayNode, Standing
from spark_actors.foreground import STOPPED_AT_ONCE, Signals, StopAtOnce, at_home
from spark_actors.kernel.errors import SparkError, StorageUnavailableError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.cluster import newest_tree
from spark_actors.persistence.membership import Membership, NodeFacts
from spark_actors.pulse import BEAT_SECONDS
from spark_actors.telemetry.board import MetricsBoard
from spark_actors.telemetry.http import TelemetryServer
from spark_actors.telemetry.log_door import LogDoor
from spark_actors.version import version

log = structlog.get_logger(__name__)

STANDING_SECONDS = 2.0
"""How often it asks the head whether it is still a member."""
REFUSED_SECONDS = 5.0
"""So long it stays although it is refused: its settings may just have been read anew."""
RETRY_SECONDS = 2.0
"""How often it tries to reach a head, or a store, that is away."""


class NodeRefusedError(SparkError):
    """The deployment does not take this node."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"node {self.name} is refused: {self.reason}"


def run_node(read: Callable[[], Settings], out: TextIO = sys.stdout) -> int:
    """Be a node of the head at `cluster.join` until SIGTERM, Ctrl-C or an operator's drain; returns the exit code.

    0: all that was here lives elsewhere now. 130: a second signal ended it at once. It joins again by itself when the
    head does not know it any more. Raises SparkError if it does not fit (release, settings, token), or its Ray has
    ended by itself. No process is left behind either way. *read* gives the settings; they are read anew for each tree.
    """
    settings = read()
    signals = Signals()
    signals.install()
    with at_home(settings, "node", NODE_LOG) as data_dir:
        set_node_folder(data_dir.path)
        try:
            while _member(read, data_dir, signals, out):
                log.warning("joins_again")
        except StopAtOnce:
            log.warning("stopped_at_once")
            return STOPPED_AT_ONCE
        log.info("stopped")
    return 0


def _member(read: Callable[[], Settings], data_dir: DataDir, signals: Signals, out: TextIO) -> bool:
    """Join, and stay for as long as the head knows this node; whether to join anew."""
    settings = read()
    found = _deployment(settings, data_dir, signals)
    if found is None:
        return False
    deployment = found
    head = Address.parse(settings.cluster.join, DEFAULT_PORT)
    ray = JoiningRay(
        data_dir,
        head,
        settings.cluster.token.get_secret_value(),
        address=settings.cluster.listen or None,
        preload_modules=modules_of_actors(settings),
    )
    with ExitStack() as stack:
        stack.callback(ray.stop)
        if not _launched(ray, signals):
            return False
        signals.install()  # Ray sets its own
        membership = Membership(deployment.dsn[INGRESS])
        stack.callback(membership.close)
        server = TelemetryServer(
            settings.http.host or ray.host,
            settings.http.port,
            metrics=MetricsBoard().render,
            liveness=lambda: [str(ray.lost)] if ray.lost else [],
            readiness=lambda: {"node": member.problem},
            status=lambda: {**vars(member.facts), "state": member.judgement.state},
            logs=LogDoor(deployment.log_file, lambda *shown: token_verifier(deployment)(*shown)),
        )
        server.start()
        stack.callback(server.stop)

        def reread() -> NodeFacts:
            nonlocal deployment
            deployment = _deployment(read(), data_dir, signals) or deployment
            log.info("settings_read", fingerprint=deployment.fingerprint)
            return facts_of(ray, deployment, server)

        member = Member(membership, facts_of(ray, deployment, server), ray, signals, reread)
        member.wait_for(lambda: member.judgement.state is not NodeState.JOINING)
        log.info("node_joined", address=ray.host, head=str(head), metrics_url=server.url)
        print(f"ready  node {ray.host}  head {head}  metrics {server.url}  data {data_dir.path}", file=out, flush=True)
        member.wait_for(lambda: signals.stop_wanted.is_set() or member.is_over)
        if member.must_join_again:
            return True
        member.hand_over(settings.cluster.drain_seconds)
    return False


def _deployment(settings: Settings, data_dir: DataDir, signals: Signals) -> Deployment | None:
    """What this node's actors will be told, by which they find everything; None if a stop is wanted first."""
    dsn = dsn_by_schema(settings)[INGRESS]
    while not signals.stop_wanted.is_set():
        try:
            tree = newest_tree(dsn)
        except StorageUnavailableError as error:
            log.warning("store_away", error=str(error))
            tree = None
        if tree:
            return _kept_deployment(settings.changed(**tree.settings), data_dir, tree.namespace)
        signals.stop_wanted.wait(RETRY_SECONDS)
    return None


def prepare_node(settings: Settings) -> None:
    """Write into the data dir what actors need to know on a machine on which somebody else starts Ray.

    All that Ray starts there must be told of it (SPARK_NODE_FOLDER). The daemon need not have been there yet. Raises
    TokenKeysError, StorageError, DataDirUnusableError.
    """
    data_dir = DataDir(settings.data_dir)
    data_dir.create()
    dsn = dsn_by_schema(settings)
    if tree := newest_tree(dsn[INGRESS]):
        _kept_deployment(settings.changed(**tree.settings), data_dir, tree.namespace)
    else:
        _kept_deployment(settings, data_dir, first_namespace(settings, dsn))


def _kept_deployment(settings: Settings, data_dir: DataDir, namespace: str) -> Deployment:
    """As the settings have it, written where the actors of this machine find it."""
    dsn = dsn_by_schema(settings)
    deployment = Deployment(
        settings=settings,
        dsn=dsn,
        listen_dsn={schema: settings.listen_dsn_of(schema) for schema in dsn},
        nats_url=settings.nats.url,
        nats_token=settings.nats.token.get_secret_value(),
        log_file=data_dir.logs / NODE_LOG,
        ray_namespace=namespace,
        keys=signing_keys(settings, data_dir, make=False),
    )
    deployment.keep(data_dir.path)
    return deployment


def _launched(ray: JoiningRay, signals: Signals) -> bool:
    """Join the head as soon as it is there; False if a stop is wanted first. Raises what a later try would not mend."""
    while not signals.stop_wanted.is_set():
        try:
            ray.launch()
        except HeadUnreachableError as error:
            log.warning("head_away", error=str(error))
            signals.stop_wanted.wait(RETRY_SECONDS)
        else:
            return True
    return False


def facts_of(ray: RayNode, deployment: Deployment, server: TelemetryServer) -> NodeFacts:
    """What a node says of itself."""
    return NodeFacts(
        node_id=ray.node_id,
        name=socket.gethostname(),
        address=ray.host,
        release=version(),
        python=platform.python_version(),
        fingerprint=deployment.fingerprint,
        pid=os.getpid(),
        epoch=names.epoch_of(deployment.ray_namespace),
        metrics_url=server.url_for_others(ray.host),
    )


class Member:
    """A node as long as its head knows it."""

    def __init__(
        self,
        membership: Membership,
        facts: NodeFacts,
        ray: JoiningRay,
        signals: Signals,
        reread: Callable[[], NodeFacts],
    ) -> None:
        """*reread* has the settings read anew, for a new tree. Raises SparkError."""
        self._membership, self._ray, self._signals = membership, ray, signals
        self.facts, self._reread = facts, reread
        self._refused_at: float | None = None
        self.judgement = Judgement(NodeState.JOINING)
        """What the root held of it when it last heard."""
        self.problem: str | None = "not joined yet"
        self.must_join_again = False
        self._asked_at = 0.0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for here."""
        return self.must_join_again or self.judgement.state is NodeState.DRAINED

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Say that this node lives, round after round, until then. Raises what the loss of its Ray means."""
        while not condition() and not self._signals.stop_wanted.is_set():
            self.turn()
            self._signals.stop_wanted.wait(BEAT_SECONDS)

    def turn(self) -> None:
        """One round. Raises ServiceLostError, NodeRefusedError."""
        if self._ray.lost:
            raise self._ray.lost
        try:
            heard = self._membership.beat(self.facts, psutil.cpu_percent(), psutil.virtual_memory().used)
            self.judgement = heard.judgement
            if heard.epoch > self.facts.epoch:
                self._read_anew()
            known = self.judgement.state in (NodeState.ACTIVE, NodeState.DRAINING, NodeState.DRAINED)
            self.problem = None if known else f"{self.judgement.state}: {self.judgement.reason}".rstrip(": ")
        except StorageUnavailableError as error:
            self.problem = str(error)
        if self.judgement.state is not NodeState.REFUSED:
            self._refused_at = None
        elif self._refused_at is None:
            self._refused_at = time.monotonic()
        elif time.monotonic() > self._refused_at + REFUSED_SECONDS:
            raise NodeRefusedError(self.facts.name, self.judgement.reason)
        if time.monotonic() > self._asked_at + STANDING_SECONDS:
            self._asked_at = time.monotonic()
            self.must_join_again = self._ray.standing() is Standing.UNKNOWN

    def _read_anew(self) -> None:
        try:
            self.facts = self._reread()
        except (SparkError, SettingsError) as error:  # the tree that works goes by the old ones
            log.error("settings_not_read", error=str(error))

    def hand_over(self, patience_seconds: float) -> None:
        """Have everything here move elsewhere, if need be, before this node ends; not for ever, nor if it cannot be."""
        deadline = time.monotonic() + patience_seconds
        log.info("draining", patience_seconds=patience_seconds)
        try:
            self._membership.leave(self.facts.node_id)
            while self.judgement.state is not NodeState.DRAINED and time.monotonic() < deadline:
                self.turn()
                time.sleep(BEAT_SECONDS / 2)
        except SparkError as error:
            log.warning("not_handed_over", error=str(error))
