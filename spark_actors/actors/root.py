"""The root supervisor: starts, heals and drains the tree of actors. All that it knows can be found out again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec
import structlog

from spark_actors.actors import names
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.ports import Report

log = structlog.get_logger(__name__)


class Board(Protocol):
    """Adds up what the actors have measured."""

    def observe(self, actor_name: str, incarnation: str, snapshot: bytes) -> None: ...
    def render(self) -> bytes: ...


class ActorStatus(msgspec.Struct, frozen=True):
    """One actor as `status` shows it."""

    actor: str
    pid: int
    problems: list[str]


class TreeStatus(msgspec.Struct, frozen=True):
    """The whole tree as `status` shows it."""

    ready: bool
    problems: list[str]
    actors: list[ActorStatus]


class RootSupervisor:
    """Keeps all actors but those that a Supervisor keeps.

    *tiers* go from the way in to the store; draining stops one after the other, so that first nothing comes in and then
    nothing is under way.
    """

    def __init__(
        self,
        tiers: Sequence[Sequence[Keeper]],
        board: Board,
        own_metrics: Callable[[], bytes],
        *,
        grace_seconds: float,
    ) -> None:
        self._tiers = tiers
        self._board = board
        self._own_metrics = own_metrics
        self._grace_seconds = grace_seconds

    @property
    def _keepers(self) -> list[Keeper]:
        return [keeper for tier in self._tiers for keeper in tier]

    async def start(self) -> None:
        for keeper in reversed(self._keepers):
            keeper.start()

    async def stop(self) -> None:
        """Drain, tier by tier."""
        for tier in self._tiers:
            ends = await asyncio.gather(*(keeper.stop(self._grace_seconds) for keeper in tier), return_exceptions=True)
            for keeper, end in zip(tier, ends, strict=True):
                if isinstance(end, Exception):  # the other actors and tiers are stopped all the same
                    log.error("not_stopped", actor=keeper.spec.name, exc_info=end)

    def problems(self) -> list[str]:
        return [problem for keeper in self._keepers if (problem := keeper.problem)]

    def status(self) -> TreeStatus:
        problems = self.problems()
        actors = [ActorStatus(report.actor, report.pid, report.problems) for report in self._reports()]
        root = ActorStatus(names.ROOT, os.getpid(), [])
        return TreeStatus(not problems, problems, [root, *actors])

    def metrics(self) -> bytes:
        """What all actors have measured, living and dead, as Prometheus text."""
        self._board.observe(names.ROOT, "", self._own_metrics())
        for report in self._reports():
            self._board.observe(report.actor, report.incarnation, report.metrics)
        return self._board.render()

    def _reports(self) -> Iterator[Report]:
        for keeper in self._keepers:
            if keeper.report:
                yield keeper.report
                yield from keeper.report.children
