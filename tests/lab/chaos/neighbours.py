"""Faults of one that must not stop the others: a locked row, a subscriber away, a deadly message, a page too large."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import cycle, islice
from typing import NamedTuple

import psutil

from domain.dashboard.views import ViewActivity, ViewCampaign
from spark_actors.ingress.client import ViewRefusedError, ViewTimeoutError
from spark_actors.kernel.errors import StorageError
from spark_actors.kernel.messages import Query
from spark_actors.messaging.unit_of_work import COMMANDS
from spark_actors.persistence.operator_desk import DeskError, KeyFilter, Operator, OperatorDesk
from tests.lab.chaos.orders import Order
from tests.lab.chaos.queries import ChaosQueries
from tests.lab.chaos.stage import Act, Stage
from tests.lab.chaos.target import POLL_SECONDS, TargetError
from tests.lab.faults.folder import Deadly

GIVEN_UP_SECONDS = 60.0
"""Within this a message that kills whoever handles it is given up: it waits for an operator."""
SHOWN_SECONDS = 30.0
MET_SECONDS = 5.0
HANDLED_SECONDS = 120.0
AT_ONCE = 500
RELAY = "spark/accounting/supervisor/0"
MOST_GROWTH_BYTES = 150 * 1024 * 1024
"""Of a relay's memory while a subscriber is away, however much passes."""
LARGE_CAMPAIGNS = 40
"""Each with the longest description: more than the broker's largest message, all together."""
ANSWER_SECONDS = 5.0
OPERATOR = Operator("chaos", "what was deadly is mended")


async def locked_row(stage: Stage) -> str:
    """Somebody else holds the row of one account for a minute."""
    account = stage.random.choice(stage.cast.accounts)
    began = time.monotonic()
    with ChaosQueries(stage.target.dsn) as queries, queries.account_locked(account):
        stage.store(stage.orders.deposit(account, 1))
        with suppress(TargetError):  # who waits for it at most for a moment may do so between two looks
            await stage.target.until(lambda: queries.waiting_for_locks() > 0, MET_SECONDS, "somebody meets the lock")
        if not await stage.are_others_served(without=account):
            stage.object("others waited while the row of one account was locked")
        await asyncio.sleep(max(0.0, began + stage.long_seconds - time.monotonic()))
    return f"{account} for {stage.long_seconds:.0f} s"


async def views_away(stage: Stage) -> str:
    """The database of the read models is away while so many events pass that no relay may hold them all."""
    if not stage.target.are_views_apart:
        raise TargetError("the read models have no database of their own here")
    before = await _relay_bytes(stage)
    with ChaosQueries(stage.target.dsn) as queries, queries.views_away():
        await _pass_events(stage)
        if not await stage.are_others_served():
            stage.object(f"others waited while the read models were away and {stage.events:,} events passed")
        grown = await _relay_bytes(stage) - before
    if grown > MOST_GROWTH_BYTES:
        stage.object(f"the relay of accounting grew by {grown >> 20} MiB while the read models were away")
    return f"{stage.events:,} events, the relay grew by {grown >> 20} MiB"


async def deadly_command(stage: Stage) -> str:
    """A command kills every process that handles it, until somebody mends that."""
    order = stage.orders.deposit(stage.orders.newcomer(), 1)
    return await _deadly(stage, Deadly.COMMAND, order, _Place("accounting", COMMANDS, order.command.key))


async def deadly_event(stage: Stage) -> str:
    """An event kills every process that takes its saga further, until somebody mends that."""
    order = stage.orders.donation(stage.random.choice(stage.cast.accounts), 1)
    return await _deadly(stage, Deadly.EVENT, order, _Place("crowdfunding", "accounting", order.command.key))


async def large_answer(stage: Stage) -> str:
    """Somebody asks for a page that is larger than the broker's largest message."""
    orders = [stage.orders.large_campaign() for _ in range(LARGE_CAMPAIGNS)]
    await asyncio.gather(*map(stage.producer.ask, orders))
    async with asyncio.timeout(SHOWN_SECONDS):  # raises TimeoutError, an OSError: not done then
        for order in orders:
            while not await stage.producer.view(ViewCampaign(campaign_id=order.command.key)):
                await asyncio.sleep(POLL_SECONDS)
    answer = await _answer(stage, ViewActivity(account_id=stage.orders.owner_of_large, limit=200))
    if answer == SILENCE:
        stage.object("who asked for a page that is too large heard nothing")
    return answer


FAULTS: Mapping[str, Act] = {
    "locked row": locked_row,
    "read models away": views_away,
    "deadly command": deadly_command,
    "deadly event": deadly_event,
    "large answer": large_answer,
}
SERVED_SECONDS = 5.0
"""Within this new commands are answered once it is over, since nobody was to wait in the first place."""
VIEWS_APART = frozenset({"read models away"})
"""Need a database of the read models' own."""
SILENCE = "silence"


class _Place(NamedTuple):
    """Where a message waits that was given up."""

    context: str
    subscriber: str
    key: str


async def _deadly(stage: Stage, deadly: Deadly, order: Order, place: _Place) -> str:
    """Have everybody die of it; it must be given up and hold back none but its key, and be handled once mended."""
    folder, began = stage.target.faults, time.monotonic()
    folder.set_deadly(deadly, order.message_id)
    try:
        stage.store(order)
        is_given_up = await _waits(stage, place)
        lasted = time.monotonic() - began
        if not is_given_up:
            stage.object(f"a deadly {deadly} was not given up within {GIVEN_UP_SECONDS:.0f} s")
        if not await stage.are_others_served(without=place.key):
            stage.object(f"others waited behind a deadly {deadly}")
    finally:
        folder.set_deadly(deadly, "")
    if is_given_up:
        await asyncio.to_thread(OperatorDesk(stage.target.dsn).resume, *place, OPERATOR)
    return f"given up after {lasted:.1f} s" if is_given_up else "not given up"


async def _waits(stage: Stage, place: _Place) -> bool:
    """Whether what is at this place comes to wait for an operator, in time."""
    desk, deadline = OperatorDesk(stage.target.dsn), time.monotonic() + GIVEN_UP_SECONDS

    def find() -> bool:
        try:
            return bool(desk.keys(place.context, KeyFilter(place.subscriber, place.key), limit=1))
        except (StorageError, DeskError):
            return False

    while not (found := await asyncio.to_thread(find)) and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
    return found


async def _pass_events(stage: Stage) -> None:
    """So many commands that each lead to one event, all of them committed."""
    accounts = islice(cycle(stage.cast.accounts), stage.events)
    orders = [stage.orders.deposit(account, 1) for account in accounts]
    for first in range(0, len(orders), AT_ONCE):
        await asyncio.gather(*map(stage.producer.store, orders[first : first + AT_ONCE]))
    async with asyncio.timeout(HANDLED_SECONDS):  # raises TimeoutError, an OSError: not done then
        await asyncio.gather(*map(stage.producer.ask, orders[-len(stage.cast.accounts) :]))


async def _relay_bytes(stage: Stage) -> int:
    """What the relay of accounting has in memory."""
    pid = (await stage.target.actors())[RELAY]
    resident: int = psutil.Process(pid).memory_info().rss
    return resident


async def _answer(stage: Stage, query: Query) -> str:
    """What who asks hears: a page, the code of a refusal, or silence."""
    client = await stage.producer.connected()
    try:
        return f"a page of {len((await client.view(query, timeout=ANSWER_SECONDS)).get('lines', ()))} lines"
    except ViewRefusedError as error:
        return error.code
    except ViewTimeoutError:
        return SILENCE
