"""How long the inbox must remember: at least as far back as the oldest message that the broker may still deliver.

A command that was handled just before the daemon went away, and never acknowledged, is delivered again by the next one,
however much later that is. The broker keeps messages for as long as it takes, the inbox for `retention.inbox_days`:
what was handled longer ago would take effect twice, if the first thing that a new daemon did were to forget it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from spark_actors.ingress import tuning
from spark_actors.ingress.nats_broker import STREAM, translated
from spark_actors.ingress.nats_client import SturdyClient

DAY = timedelta(days=1)


class _State(msgspec.Struct):
    messages: int
    first_ts: datetime


class _StreamInfo(msgspec.Struct):
    """What the server says of a stream, as far as it is of use here; without a state: there is no such stream."""

    state: _State | None = None


async def oldest_waiting(url: str, token: str) -> datetime | None:
    """When the broker took the oldest command that it still has; None without one.

    *url* may name several servers, with commas between them. Raises BrokerUnavailableError if none answers.
    """
    connection = SturdyClient()
    with translated():
        await connection.connect(
            [server.strip() for server in url.split(",")],
            token=token or None,
            connect_timeout=tuning.BROKER_CONNECT_SECONDS,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # counts for the first connection, too
            reconnect_time_wait=0,
            error_cb=_ignore,
        )
        try:
            answer = await connection.request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=tuning.BROKER_CONNECT_SECONDS)
        finally:
            await connection.close()
    state = msgspec.json.decode(answer.data, type=_StreamInfo).state
    return state.first_ts if state and state.messages else None


async def _ignore(error: Exception) -> None:
    """What goes wrong in the connection surfaces in the call that needed it."""


def days_to_remember(inbox_days: int, oldest: datetime | None, now: datetime) -> int:
    """The days of the setting, or more if the broker has older commands: a day more, as they take time to arrive."""
    if oldest is None:
        return inbox_days
    return max(inbox_days, -((oldest - now - DAY) // DAY))
