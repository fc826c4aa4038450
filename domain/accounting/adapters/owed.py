"""Tells how much users own here: what the Lightning node must be able to pay out in the end."""

from __future__ import annotations

import time

import structlog
from psycopg_pool import AsyncConnectionPool

from spark_actors.kernel.errors import StorageError
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import BooksMeasured
from spark_actors.persistence.errors import translated

OWED_SECONDS = 60.0
"""How often it is summed up, at the most. May be changed."""
SHARE = 0.01
"""Of the time. Summing takes the longer the more accounts there are, so it is done the less often. May be changed."""

_SUM = "SELECT coalesce(sum(balance_sat), 0)::bigint FROM accounting.accounts"

log = structlog.get_logger(__name__)


class OwedWatch:
    """Sums up the balances as they are at one instant, and has it measured. A sum that is not to be had is left out."""

    def __init__(self, pool: AsyncConnectionPool, telemetry: Telemetry) -> None:
        self._pool, self._telemetry = pool, telemetry

    async def step(self) -> float:
        """Gives the seconds to wait."""
        started = time.monotonic()
        try:
            self._telemetry(BooksMeasured("accounting", "owed_sat", await self._owed_sat()))
        except StorageError as error:
            log.info("owed_not_summed_up", why=str(error))
        return max(OWED_SECONDS, (time.monotonic() - started) / SHARE)

    async def _owed_sat(self) -> int:
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_SUM)).fetchone()
        return int(row[0]) if row else 0
