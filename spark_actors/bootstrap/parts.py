"""What the units of all actors are made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from domain.contexts import CONTEXTS
from domain.shared.messages import MessageRegistry
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.ports import ActorSpec
from spark_actors.actors.references import Directory, RayChildren, RayHosts
from spark_actors.bootstrap.sizes import placement_of
from spark_actors.deployment import Deployment
from spark_actors.faults.wiring import NoFaults, faults
from spark_actors.messaging.routing import Placement
from spark_actors.persistence.connections import Pool, make_pool
from spark_actors.telemetry.logs import configure_logging
from spark_actors.telemetry.metrics import ActorMetrics

WRITE_CONTEXTS = tuple(context for context in CONTEXTS if context.commands)
HOST_NICENESS = 3
"""Less than the way in and Postgres, which feed and serve all hosts: turns are larger, however many hosts there are."""
RELAY_NICENESS = 5
READERS_NICENESS = 10
READERS_PATIENCE_SECONDS = 0.05
"""Under load commands come first, then sagas, then read models: these may lag, and fewer, larger batches cost less."""


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
    return placement_of(deployment.settings)


class Parts:
    """What every asynchronous unit is made of: metrics, connections (closed at the end), ways to other actors."""

    def __init__(self, deployment: Deployment, actor: str) -> None:
        log_as(deployment, actor)
        self.deployment = deployment
        self.settings = deployment.settings
        self.metrics = ActorMetrics()
        self.faults = faults_of(deployment)
        self.clock = self.faults.clock(clock)
        self.registry = registry()
        self.directory = Directory(deployment.ray_namespace)
        self.open = AsyncExitStack()
        """What is to be closed after the service has stopped."""

    async def pool(self, context: str) -> Pool:
        """A pool of connections to the context's database; opens even while Postgres is away."""
        pool = make_pool(self.deployment.dsn[context], prepare_threshold=prepare_threshold(self.deployment))
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
            RayChildren(self.directory, self.deployment.ray_namespace),
            heartbeat_seconds=supervision.heartbeat_seconds,
            patience_seconds=supervision.patience_seconds,
            telemetry=self.metrics,
        )

    async def close(self) -> None:
        await self.open.aclose()


def log_as(deployment: Deployment, process: str) -> None:
    """Have this process write to the daemon's log."""
    configure_logging(process, deployment.log_file, deployment.settings.log.level)


def prepare_threshold(deployment: Deployment) -> int | None:
    """After how many times a statement is prepared; None: never, for poolers that cannot stand it."""
    return 5 if deployment.settings.postgres.prepared_statements else None
