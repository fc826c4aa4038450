"""What several pages do: read amounts, wait for a view that lags behind what was just sent, tell of the node."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from domain.bitcoin.messages import NodeTerms, ViewNode
from domain.shared.money import Satoshis
from spark_actors.kernel.messages import Query
from spark_actors.web.pages import NothingThereError, Page, Visit

NEW = "new"
"""In the question of a path: what it is about was asked for a moment ago, and may not be seen yet."""
TRIES, PAUSE_SECONDS = 6, 0.25
"""How often, and at what distance, what is new is looked for."""
NODE_SECONDS = 60.0
"""For how long what the daemon has said of its node is believed."""
PRESETS = (500, 1_000, 5_000, 21_000, 100_000)
"""Amounts that forms offer, in satoshis."""
_AMOUNT = re.compile(r"\d{1,16}|[1-9]\d{0,2}([\s,_'\u2019]\d{3}){1,5}", re.ASCII)
"""Digits alone, or in groups of three: half a satoshi is not to be taken for five of them."""
_known_node: tuple[float, NodeTerms] | None = None


def amount_of(text: str) -> int | None:
    """An amount as people write it, with something between its thousands or not; None if it is none in satoshis."""
    if not _AMOUNT.fullmatch(text.strip()):
        return None
    amount_sat = int(re.sub(r"\D", "", text))
    return amount_sat if Satoshis.are(amount_sat) else None


async def seen(visit: Visit, query: Query, what: str) -> Any:
    """The view. Of what is new it is waited for a moment; None if it is still not to be seen then.

    Raises NothingThereError for what is not new.
    """
    for tried in range(TRIES if NEW in visit.query else 1):
        if tried:
            await asyncio.sleep(PAUSE_SECONDS)
        found = await visit.daemon.ask(query)
        if found is not None:
            return found
    if NEW in visit.query:
        return None
    raise NothingThereError(what)


UNDER_WAY = Page("under_way.html", status=202, is_awaited=True)
"""Of what was asked for and is not to be seen yet."""


async def node(visit: Visit) -> NodeTerms:
    """What is known of the Lightning node."""
    global _known_node
    if _known_node is None or time.monotonic() > _known_node[0]:
        found: NodeTerms = await visit.daemon.ask(ViewNode())
        _known_node = (time.monotonic() + NODE_SECONDS, found)
    return _known_node[1]


def again_id(entity_id: str) -> str:
    """The message id of a form that asks for the like of it once more: the same whenever that form is shown."""
    return str(uuid5(NAMESPACE_URL, f"spark:again:{entity_id}"))
