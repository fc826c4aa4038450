"""What the units of all actors are made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from inspect import isawaitable
from random import SystemRandom
from typing import TYPE_CHECKING

from spark_actors.actors import names
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.fence import Fence
from spark_actors.actors.references import RayHosts
from spark_actors.actors.routes import Routes
from spark_actors.bootstrap.sizes import placement_of
from spark_actors.deployment import Deployment, Origin, deployment_of, token_issuer
from spark_actors.messaging.ports import INGRESS, CommandSender
from spark_actors.messaging.routing import Placement
from spark_actors.persistence.cluster import count_fenced, newest_incarnation
from spark_actors.persistence.connections import Pool, make_pool
from spark_actors.telemetry.logs import configure_logging
from spark_actors.telemetry.metrics import ActorMetrics

if TYPE_CHECKING:
    from spark_actors.identity.tokens import TokenIssuer


chance = SystemRandom().random
"""A random number from 0 to 1, for the jitter of back-offs."""


def clock() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def placement(deployment: Deployment) -> Placement:
    """Where instances live."""
    return placement_of(deployment.settings)


class Parts:
    """What every asynchronous unit is made of: metrics, connections (closed at the end), ways to other actors."""

    def __init__(self, origin: Origin, place: str) -> None:
        """Raises DeploymentUnknownError if this node does not know what is to run in *namespace*."""
        deployment = deployment_of(origin)
        log_as(deployment, place)
        self.deployment = deployment
        self.settings = deployment.settings
        self.metrics = ActorMetrics()
        self.application = deployment.application
        self.wrapping = self.application.wrapping(self.settings.data_dir)
        self.clock = self.wrapping.clock(clock)
        self.registry = self.application.registry
        self.routes = Routes()
        self.open = AsyncExitStack()
        """What is to be closed after the service has stopped."""

    async def pool(self, schema: str) -> Pool:
        """A pool of connections to the database of a schema; opens even while Postgres is away."""
        pool = make_pool(self.deployment.dsn[schema], prepare_threshold=prepare_threshold(self.deployment))
        await pool.open()
        self.open.push_async_callback(pool.close)
        return pool

    def dispatcher(self) -> Dispatcher:
        dispatcher = Dispatcher(
            placement(self.deployment),
            RayHosts(self.routes),
            max_commands=self.settings.turns.max_commands,
            telemetry=self.metrics,
            draw=chance,
        )
        self.routes.follow(lambda table: dispatcher.place(table.placement, table.version))
        return dispatcher

    def edge(self, context: str, sender: CommandSender) -> PartsEdge:
        """What the adapters of a context work with."""
        return PartsEdge(self, context, sender)

    async def close(self) -> None:
        await self.open.aclose()


class PartsEdge:
    """Port `Edge` for one context, made of its process's parts."""

    def __init__(self, parts: Parts, context: str, sender: CommandSender) -> None:
        self._parts, self._context = parts, context
        self.settings = parts.settings
        self.clock, self.telemetry, self.sender = parts.clock, parts.metrics, sender
        self.pass_point = parts.wrapping.pass_point
        self._pool: Pool | None = None

    @property
    def tokens(self) -> TokenIssuer:
        return token_issuer(self._parts.settings, self._parts.deployment.keys)

    async def pool(self) -> Pool:
        if self._pool is None:
            self._pool = await self._parts.pool(self._context)
        return self._pool

    def at_end(self, close: Callable[[], object]) -> None:
        async def closed() -> None:
            if isawaitable(done := close()):
                await done

        self._parts.open.push_async_callback(closed)


def fence_of(origin: Origin, place: str, incarnation: int) -> Fence:
    """What sees to it that an actor with a successor ends itself."""
    dsn, epoch = deployment_of(origin).dsn[INGRESS], names.epoch_of(origin.namespace)
    newest = partial(newest_incarnation, dsn, epoch, place)
    return Fence(place, incarnation, newest, tell=partial(count_fenced, dsn, epoch))


def log_as(deployment: Deployment, process: str) -> None:
    """Have this process write to the daemon's log."""
    configure_logging(process, deployment.log_file, deployment.settings.log.level)


def prepare_threshold(deployment: Deployment) -> int | None:
    """After how many times a statement is prepared; None: never, for poolers that cannot stand it."""
    return 5 if deployment.settings.postgres.prepared_statements else None
