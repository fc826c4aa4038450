"""Keeps one place filled: asks its actor for heartbeats, replaces it when it is gone, silent or stuck, and moves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop
from spark_actors.actors.ports import Actor, ActorSpec, Children, Report
from spark_actors.actors.seating import Seating
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import ActorMoved, ActorRestarted

log = structlog.get_logger(__name__)


class Keeper:
    """Starts an actor, or adopts the one that fills its place, and replaces it whenever it dies.

    It answers beside its work, so a slow turn is no silence; stuck is whose turn in hand does not move although nothing
    keeps it waiting. What an actor does is idempotent, and the store fences off one that writes after it was replaced:
    replacing one wrongly costs time, never correctness. The loop's back-off keeps one that cannot start, or does not
    live to its first report, from being started without end.
    """

    def __init__(
        self,
        spec: ActorSpec,
        children: Children,
        seating: Seating,
        *,
        heartbeat_seconds: float,
        patience_seconds: float,
        grace_seconds: float,
        telemetry: Telemetry,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """*patience_seconds*: time-out of a heartbeat, and for how long a turn may not move. *grace_seconds*: what an
        actor that moves away may take to finish what it has in hand.
        """
        self.spec = spec
        self._children = children
        self._seating = seating
        self._heartbeat_seconds = heartbeat_seconds
        self._patience_seconds = patience_seconds
        self._grace_seconds = grace_seconds
        self._telemetry = telemetry
        self._now = now
        self._started_before = False
        self._actor: Actor | None = None
        self._told = 0
        """The version of the route table that the actor was told last."""
        self._heard_at: float | None = None
        self._target = ""
        self._round: asyncio.Task[float] | None = None
        self._is_given_up = False
        self.report: Report | None = None
        """The last report; None while the actor is not known to be there."""
        self._loop = Loop(f"keep {spec.place}", self.step)

    def start(self) -> None:
        self._loop.start()

    async def stop(self, grace_seconds: float) -> None:
        """Stop keeping, then let the actor finish and end."""
        await self._loop.cancel()
        if self._actor is not None:
            await self._children.stop(self._actor, grace_seconds)

    @property
    def node_id(self) -> str:
        """Where its actor is, or is being made; empty if nowhere."""
        return self._seating.node_of(self.spec.place)

    @property
    def silent_seconds(self) -> float | None:
        """For how long nothing was heard of an actor that had answered before; None without such a one."""
        return None if self._heard_at is None else self._now() - self._heard_at

    @property
    def problem(self) -> str:
        """Why the actor cannot be counted on just now; empty if it can."""
        if self.report is None:
            return self._loop.problem or f"{self.spec.place}: not started yet"
        return f"{self.spec.place}: {'; '.join(self.report.problems)}" if self.report.problems else ""

    def wake(self) -> None:
        """Take a heartbeat now."""
        self._loop.wake()

    def move(self, node_id: str) -> None:
        """Have the actor live on that node."""
        self._target = node_id
        self._loop.wake()

    @property
    def is_moving(self) -> bool:
        return bool(self._target)

    def give_up(self) -> None:
        """Wait no longer for an actor whose machine does not answer: replace it."""
        if self._round is not None:
            self._is_given_up = True
            self._round.cancel()

    async def step(self) -> float:
        """One round: start the actor, move it, or take its heartbeat. Gives the seconds until the next."""
        self._round = asyncio.create_task(self._one_round())
        try:
            return await self._round
        except asyncio.CancelledError:
            if not self._is_given_up:
                self._round.cancel()
                raise
            log.warning("actor_given_up", actor=self.spec.place, node=self.node_id)
            self._lose(kill=True)
            return 0
        finally:
            self._is_given_up, self._round = False, None

    async def _one_round(self) -> float:
        if self._actor is None:
            await self._begin()
            await self._take_report(is_new=True)
        elif self._target and self._target != self._actor.node_id:
            await self._move(self._actor, self._target)
        else:
            self._target = ""
            await self._take_report(is_new=False)
        return self._heartbeat_seconds if self.report else 0

    async def _begin(self) -> None:
        """Adopt the actor that fills the place, if it answers; else make one."""
        if (seat := self._seating.inherited(self.spec.place)) is not None:
            with suppress(ActorUnavailableError):
                found = await self._children.find(self.spec, seat.incarnation, seat.node_id)
                self.report = await self._children.report(found, None, self._patience_seconds)
                self._fill(found)
                self._started_before = True
                log.info("actor_adopted", actor=str(found))
                return
        self._fill(await self._made(self._seating.choose(self.spec.place)))
        if self._started_before:
            self._telemetry(ActorRestarted(self.spec.kind))
        log.info("actor_replaced" if self._started_before else "actor_started", actor=str(self._actor))
        self._started_before = True

    async def _made(self, node_id: str) -> Actor:
        incarnation = await self._seating.seat(self.spec.place, node_id)
        return await self._children.start(self.spec, incarnation, node_id)

    def _fill(self, actor: Actor) -> None:
        self._actor, self._told = actor, 0
        self._seating.publish(actor)

    async def _take_report(self, *, is_new: bool) -> None:
        actor = self._actor
        if actor is None:
            return
        table = self._seating.table
        try:
            report = await self._children.report(
                actor, table if table.version != self._told else None, self._patience_seconds
            )
            if report.unmoved_seconds > self._patience_seconds:
                stuck = f"its turn has not moved for {report.unmoved_seconds:.1f} s"
                raise ActorUnavailableError(self.spec.place, stuck)
        except ActorUnavailableError as error:
            log.warning("actor_lost", actor=str(actor), error=str(error))
            self._lose(kill=True)
            if is_new:
                raise
            return
        self.report, self._told, self._heard_at = report, table.version, self._now()

    def _lose(self, *, kill: bool) -> None:
        """There is no actor any more; should it only have been silent, there must not be two."""
        actor, self._actor, self.report, self._heard_at = self._actor, None, None, None
        if actor is not None and kill:
            self._seating.end(self._children.kill(actor))

    async def _move(self, old: Actor, node_id: str) -> None:
        """Fill the place anew on another node, and let the old actor end once nobody turns to it any more."""
        log.info("actor_moves", actor=str(old), to=node_id)
        if not self.spec.starts_first:
            self.report = self._heard_at = None
            await self._children.stop(old, self._grace_seconds)
            self._actor = None
        try:
            new = await self._made(node_id)
        except ActorUnavailableError:
            self._target = ""  # whoever wanted it there looks anew
            if self._actor is not None:
                await self._seating.seat_again(self._actor)
            raise
        self._fill(new)
        if self.spec.starts_first:
            self._seating.end(self._ended_when_unused(old, self._seating.table.version))
        self._target = ""
        self._telemetry(ActorMoved(self.spec.kind))
        await self._take_report(is_new=True)

    async def _ended_when_unused(self, old: Actor, version: int) -> None:
        await self._seating.known_everywhere(version)
        await self._children.stop(old, self._grace_seconds)
