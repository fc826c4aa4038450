"""Sees, while the daemon goes on, whether a Lightning node can be used as the settings say, and tells it in the log."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Protocol, runtime_checkable

import structlog

from domain.bitcoin.adapters import tuning
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.ports import Sleep

log = structlog.get_logger(__name__)


@runtime_checkable
class Checkable(Protocol):
    """A node that says whether it can be used."""

    async def check(self) -> str:
        """What is there, in words. Raises SparkError, in words, if it cannot be used (yet)."""


async def checked(node: Checkable, sleep: Sleep = asyncio.sleep) -> None:
    """Check until the node can be used. Each time that it cannot is a warning, with a longer pause after it."""
    pauses = BackOff(tuning.CHECK_FIRST_SECONDS, tuning.CHECK_LONGEST_SECONDS)
    for attempt in count(1):
        try:
            log.info("lightning_node_checked", found=await node.check())
            return
        except SparkError as error:
            log.warning("lightning_node_cannot_be_used", why=str(error), attempt=attempt)
        await sleep(pauses.seconds_after(attempt))
