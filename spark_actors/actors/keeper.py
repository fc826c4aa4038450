"""Keeps one actor alive: asks for its heartbeat and replaces it when it is gone, silent or stuck for too long."""

from __future__ import annotations

import structlog

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.loop import Loop
from spark_actors.actors.ports import ActorSpec, Children, Report
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import ActorRestarted

log = structlog.get_logger(__name__)


class Keeper:
    """Starts an actor, or adopts the one that lives under its name, and replaces it whenever it dies.

    It answers beside its work, so a slow turn is no silence; stuck is whose turn in hand does not move although nothing
    keeps it waiting. What an actor does is idempotent, and the store fences off one that writes after it was replaced:
    replacing one wrongly costs time, never correctness. The loop's back-off keeps one that cannot start, or does not
    live to its first report, from being started without end.
    """

    def __init__(
        self,
        spec: ActorSpec,
        children: Children,
        *,
        heartbeat_seconds: float,
        patience_seconds: float,
        telemetry: Telemetry,
    ) -> None:
        """*patience_seconds*: time-out of a heartbeat, and for how long a turn may not move."""
        self.spec = spec
        self._children = children
        self._heartbeat_seconds = heartbeat_seconds
        self._patience_seconds = patience_seconds
        self._telemetry = telemetry
        self._started_before = False
        self.report: Report | None = None
        """The last report; None while the actor is not known to be there."""
        self._loop = Loop(f"keep {spec.name}", self.step)

    def start(self) -> None:
        self._loop.start()

    async def stop(self, grace_seconds: float) -> None:
        """Stop keeping, then let the actor finish and end."""
        await self._loop.cancel()
        await self._children.stop(self.spec, grace_seconds)

    @property
    def problem(self) -> str:
        """Why the actor cannot be counted on just now; empty if it can."""
        if self.report is None:
            return self._loop.problem or f"{self.spec.name}: not started yet"
        return f"{self.spec.name}: {'; '.join(self.report.problems)}" if self.report.problems else ""

    async def step(self) -> float:
        """One round: start it, or take its heartbeat. Gives the seconds until the next."""
        was_well = self.report is not None
        if not was_well:
            await self._start()
        try:
            report = await self._children.report(self.spec, self._patience_seconds)
            if report.unmoved_seconds > self._patience_seconds:
                stuck = f"its turn has not moved for {report.unmoved_seconds:.1f} s"
                raise ActorUnavailableError(self.spec.name, stuck)
        except ActorUnavailableError as error:
            self.report = None
            log.warning("actor_lost", actor=self.spec.name, error=str(error))
            await self._children.kill(self.spec)  # it may only have been silent: there must not be two
            if not was_well:
                raise
            return 0
        self.report = report
        return self._heartbeat_seconds

    async def _start(self) -> None:
        try:
            await self._children.start(self.spec, self._patience_seconds)
        except ActorUnavailableError:
            await self._children.kill(self.spec)  # one that hangs in its start would be adopted again and again
            raise
        if self._started_before:
            self._telemetry(ActorRestarted(self.spec.kind))
        log.info("actor_replaced" if self._started_before else "actor_started", actor=self.spec.name)
        self._started_before = True
