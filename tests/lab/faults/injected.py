"""The daemon's side: what its processes are built with so that they fail as they are told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from domain.bitcoin.ports import (
    Incoming,
    LightningError,
    LightningNode,
    NodeInvoice,
    NotSentError,
    Outgoing,
    Payment,
    Receipt,
)
from spark_actors.kernel.aggregates import Handler
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Decision
from spark_actors.kernel.messages import Command, Event, Message
from spark_actors.kernel.sagas import Step
from spark_actors.messaging.crash_points import CrashPoint
from spark_actors.messaging.ports import Clock
from tests.lab.faults.folder import Deadly, FaultFolder, NodeMood, Strike

T = TypeVar("T")

SLOW_SECONDS = 0.5
SIGNALS = {Strike.KILL: signal.SIGKILL, Strike.STOP: signal.SIGSTOP}

log = structlog.get_logger(__name__)


class ArmedPoints:
    """A `PassPoint` that strikes this process when it was ordered to."""

    def __init__(self, folder: FaultFolder) -> None:
        self._folder = folder
        self._passed: Counter[str] = Counter()

    def __call__(self, point: CrashPoint, detail: str = "") -> None:
        found = self._folder.order(point, detail)
        if found is None:
            return
        name, order = found
        self._passed[name] += 1
        if self._passed[name] > order.passes and self._folder.take(name):
            self._passed[name] = 0
            log.warning("struck", point=name, strike=order.strike)
            os.kill(os.getpid(), SIGNALS[order.strike])


class DeadlyMessages:
    """Handlers and saga steps that kill this process when they are handed the message that the folder names."""

    def __init__(self, folder: FaultFolder) -> None:
        self._folder = folder

    def context(self, context: BoundedContext) -> BoundedContext:
        """The same context, but deadly."""
        commands = {kind: self._handler(handler) for kind, handler in context.commands.items()}
        return replace(context, commands=commands, steps={kind: self._step(it) for kind, it in context.steps.items()})

    def _handler(self, handler: Handler) -> Handler:
        def missing(command: Command, now: datetime) -> Decision[Any]:
            self._die_of(Deadly.COMMAND, command)
            return handler.missing(command, now)

        def existing(state: Any, command: Command, now: datetime) -> Decision[Any]:
            self._die_of(Deadly.COMMAND, command)
            return handler.existing(state, command, now)

        return Handler(missing, existing)

    def _step(self, step: Step) -> Step:
        def take(event: Event) -> Sequence[Command]:
            self._die_of(Deadly.EVENT, event)
            return step(event)

        return take

    def _die_of(self, deadly: Deadly, message: Message) -> None:
        word = self._folder.deadly(deadly)
        if word and word in vars(message).values():
            log.warning("dies_of_message", message=message.TYPE.name)
            os.kill(os.getpid(), signal.SIGKILL)


class ShiftedClock:
    """A clock that is off by what the folder says."""

    def __init__(self, folder: FaultFolder, clock: Clock) -> None:
        self._folder, self._clock = folder, clock

    def __call__(self) -> datetime:
        return self._clock() + self._folder.clock_shift


class MoodyNode:
    """A LightningNode in front of another; it is in the mood that the folder says."""

    def __init__(self, folder: FaultFolder, node: LightningNode) -> None:
        self._folder, self._node = folder, node

    @property
    def network(self) -> str:
        return self._node.network

    @property
    def has_sticky_failures(self) -> bool:
        return self._node.has_sticky_failures

    @property
    def can_miss_receipts(self) -> bool:
        return self._node.can_miss_receipts

    async def create_invoice(
        self, *, invoice_id: str, amount_sat: int, memo: str, expires_in: timedelta
    ) -> NodeInvoice:
        return await self._answer(
            self._node.create_invoice(invoice_id=invoice_id, amount_sat=amount_sat, memo=memo, expires_in=expires_in)
        )

    async def receipt(self, payment_hash: str) -> Receipt:
        return await self._answer(self._node.receipt(payment_hash))

    async def received(self, cursor: str) -> Incoming:
        return await self._answer(self._node.received(cursor))

    async def sent(self, cursor: str) -> Outgoing:
        return await self._answer(self._node.sent(cursor))

    async def pay(self, payment_request: str, *, fee_limit_sat: int) -> Payment:
        if self._folder.mood is NodeMood.AWAY:
            raise NotSentError("the node is away: the connection is refused")
        return await self._answer(self._node.pay(payment_request, fee_limit_sat=fee_limit_sat))

    async def balance_sat(self) -> int:
        return await self._answer(self._node.balance_sat())

    async def payment_status(self, payment_hash: str) -> Payment:
        return await self._answer(self._node.payment_status(payment_hash))

    async def _answer(self, call: Awaitable[T]) -> T:
        mood, asked = self._folder.mood, asyncio.ensure_future(call)
        if mood in (NodeMood.AWAY, NodeMood.DEAF):
            asked.cancel()  # before it has begun
            await _silence(mood is NodeMood.DEAF)
        if mood is NodeMood.SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        answer = await asked
        if mood is NodeMood.MUTE:
            await _silence(True)
        return answer


async def _silence(lasts: bool) -> None:
    """Never answer, or refuse at once."""
    if lasts:
        await asyncio.Event().wait()
    raise LightningError("the node is away")
