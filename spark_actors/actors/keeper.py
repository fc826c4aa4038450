"""Keeps one place filled: asks its actor for heartbeats, replaces it when it is gone, silent or stuck, and moves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop
from spark_actors.actors.ports import Actor, ActorSpec, Children, Overlap, Report
from spark_actors.actors.seating import Seating
from spark_actors.cluster.ports import Seat
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import ActorMoved, ActorRestarted

log = structlog.get_logger(__name__)

T = TypeVar("T")


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
        self.waits_for_node = ""
        """The node whose answer the round under way needs; empty if it needs none."""
        self.is_warm = False
        """Whether its actor waits for the tree to begin."""
        self.report: Report | None = None
        """The last report; None while the actor is not known to be there."""
        self._loop = Loop(f"keep {spec.place}", self.step)

    def start(self) -> None:
        self._loop.start()

    async def let_go(self) -> None:
        """Stop keeping; the actor lives on."""
        await self._loop.cancel()

    async def stop(self, grace_seconds: float) -> None:
        """Stop keeping, then let the actor finish and end."""
        await self.let_go()
        if self._actor is not None:
            await self._drained(self._actor, grace_seconds)

    @property
    def node_id(self) -> str:
        """Where its actor is, or the first is being made; empty if nowhere."""
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
        """Have the actor live on that node. If that fails, whoever wanted it there has to ask again."""
        self._target = node_id
        self._loop.wake()

    @property
    def is_moving(self) -> bool:
        return bool(self._target)

    def give_up(self) -> None:
        """Wait no longer for what the round under way waits for, since that machine does not answer.

        An actor that is there is replaced; one that was being made is made elsewhere.
        """
        if self._round is not None and self.waits_for_node:
            self._is_given_up = True
            self._round.cancel()

    async def step(self) -> float:
        """One round: start the actor, move it, or take its heartbeat. Gives the seconds until the next."""
        self._round = asyncio.create_task(self._one_round())
        try:
            await asyncio.wait([self._round])
            if self._is_given_up and self._round.cancelled():
                await self._after_giving_up()
                return 0
            return self._round.result()
        finally:
            self._round.cancel()
            self._round, self._is_given_up, self.waits_for_node = None, False, ""

    async def _after_giving_up(self) -> None:
        self._target = ""
        if self._actor is None:
            return
        if self._actor.node_id == self.waits_for_node:
            log.warning("actor_given_up", actor=str(self._actor), node=self.waits_for_node)
            self._lose(self._actor)
        else:
            await self._seating.seat_again(self._actor)

    async def _one_round(self) -> float:
        if self._actor is None:
            await self._begin()
        elif self._target and self._target != self._actor.node_id:
            await self._move(self._actor, self._target)
        else:
            self._target = ""
            await self._take_report(self._actor)
        return self._heartbeat_seconds if self.report else 0

    async def _begin(self) -> None:
        """Adopt the actor that fills the place, if it answers; else make one."""
        if (seat := self._seating.inherited(self.spec.place)) and (found := await self._adopted(seat)):
            log.info("actor_adopted", actor=str(found))
        else:
            made = await self._made(self._seating.choose(self.spec.place))
            if self._started_before:
                self._telemetry(ActorRestarted(self.spec.kind))
            log.info("actor_replaced" if self._started_before else "actor_started", actor=str(made))
            self._started_before = True
            await self._open(made)
            await self._fill(made)

    async def _adopted(self, seat: Seat) -> Actor | None:
        """The actor that an earlier root has left there, if it is well."""
        self.waits_for_node = seat.node_id
        with suppress(ActorUnavailableError):
            found = await self._children.find(self.spec, seat.incarnation, seat.node_id)
            self._started_before = True
            await self._open(found)
            await self._fill(found)
            return found
        return None

    async def _made(self, node_id: str) -> Actor:
        self.waits_for_node = node_id
        incarnation = await self._seating.seat(self.spec.place, node_id)
        try:
            return await self._children.make(self.spec, incarnation, node_id)
        except (ActorUnavailableError, asyncio.CancelledError):
            self._may_live_on(node_id)
            raise

    async def _open(self, actor: Actor) -> None:
        """Have it begin, once the tree works. Raises ActorUnavailableError; then there is no such actor any more."""
        self.is_warm, self.waits_for_node = True, actor.node_id
        try:
            await self._seating.opened.wait()
            await self._children.begin(actor)
        except (ActorUnavailableError, asyncio.CancelledError):
            self._end(actor)
            raise
        finally:
            self.is_warm = False

    async def _fill(self, actor: Actor) -> None:
        """From now on this one fills the place, and everybody is told the way to it. Raises ActorUnavailableError."""
        self._actor, self._told = actor, 0
        self._seating.publish(actor)
        await self._take_report(actor)
        if self.report is None:
            raise ActorUnavailableError(self.spec.place, "has not lived to its first report")

    async def _take_report(self, actor: Actor) -> None:
        table = self._seating.table
        self.waits_for_node = actor.node_id
        try:
            report = await self._children.report(
                actor, table if table.version != self._told else None, self._patience_seconds
            )
        except ActorUnavailableError as error:
            log.warning("actor_lost", actor=str(actor), error=str(error))
            self._seating.doubt(actor.node_id, self._now())
            self._lose(actor)
            return
        if report.unmoved_seconds > self._patience_seconds:
            log.warning("actor_stuck", actor=str(actor), unmoved_seconds=report.unmoved_seconds)
            self._lose(actor)
        else:
            self.report, self._told, self._heard_at = report, table.version, self._now()

    def _lose(self, actor: Actor) -> None:
        """There is no actor any more; should it only have been silent, there must not be two."""
        self._actor = self.report = self._heard_at = None
        self._end(actor)

    def _end(self, actor: Actor) -> None:
        self._may_live_on(actor.node_id)
        self._seating.end(actor, self._children.kill(actor))

    def _may_live_on(self, node_id: str) -> None:
        """An actor there may be out of reach: then only its fence ends it."""
        self._seating.empty_from[node_id] = self._now() + tuning.FENCED_SECONDS

    async def _move(self, old: Actor, node_id: str) -> None:
        """Fill the place anew on another node: the new actor is warm before the old one is touched.

        Then it is as the spec says: how much of the two overlaps.
        """
        log.info("actor_moves", actor=str(old), to=node_id)
        try:
            new = await self._meanwhile(old, self._made(node_id))
            if self.spec.overlap is Overlap.CALLS:
                self._seating.end(old, self._ended_when_unused(old, self._seating.table.version + 1))
            elif self.spec.overlap is Overlap.WORK:
                await self._open(new)
                await self._taken_over(new)
                await self._finished(old, new)
            else:
                await self._finished(old, new)
                await self._open(new)
        except ActorUnavailableError:
            if self._actor is not None:
                await self._seating.seat_again(self._actor)
            raise
        finally:
            self._target = ""
        self._telemetry(ActorMoved(self.spec.kind))
        await self._fill(new)

    async def _taken_over(self, new: Actor) -> None:
        """The new one says that it can do its work, or has had the time to. Raises ActorUnavailableError."""
        deadline = self._now() + self._patience_seconds
        while self._now() < deadline:
            report = await self._children.report(new, self._seating.table, self._patience_seconds)
            if not report.problems:
                return
            await asyncio.sleep(tuning.ROUTES_LOOK_SECONDS)

    async def _finished(self, old: Actor, new: Actor) -> None:
        """The old one has finished what it had in hand, and there is only the new one."""
        self.waits_for_node = old.node_id
        try:
            await self._drained(old, self._grace_seconds)
        except asyncio.CancelledError:
            self._end(new)
            raise
        self._actor = self.report = self._heard_at = None

    async def _ended_when_unused(self, old: Actor, version: int) -> None:
        """End the actor once everybody knows the table of that version, which names another."""
        await self._seating.known_everywhere(version)
        await self._drained(old, self._grace_seconds)

    async def _drained(self, actor: Actor, grace_seconds: float) -> None:
        """Let it finish and end."""
        if not await self._meanwhile(actor, self._children.stop(actor, grace_seconds)):
            self._may_live_on(actor.node_id)

    async def _meanwhile(self, actor: Actor, work: Coroutine[Any, Any, T]) -> T:
        """What *work* gives. As long as that takes the actor is asked for heartbeats, or it would think that nobody
        knows it any more, and told where the others are, without whom it may not be able to finish.
        """
        working = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([working], timeout=self._heartbeat_seconds))[0]:
                with suppress(ActorUnavailableError):
                    await self._children.report(actor, self._seating.table, self._heartbeat_seconds)
                    if actor is self._actor:
                        self._heard_at = self._now()
            return working.result()
        finally:
            working.cancel()
