"""How events that wait lie in rows: shared by the outbox and by what subscribers have missed of it."""

from __future__ import annotations

from collections.abc import Collection

from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import PendingMessage
from spark_actors.persistence.connections import Row


def multirange(positions: Collection[int]) -> str:
    """The positions as an int8multirange: what is in hand lies close together, so a few ranges say it all.

    Postgres would compare each row with every element of an array.
    """
    ranges: list[list[int]] = []
    for position in sorted(positions):
        if ranges and position == ranges[-1][1]:
            ranges[-1][1] += 1
        else:
            ranges.append([position, position + 1])
    return "{" + ",".join(f"[{first},{end})" for first, end in ranges) + "}"


def pending_message(row: Row, *, is_missed: bool = False) -> PendingMessage:
    """The event in a row of position, message id, name, version, key, data, correlation, causation, time, sequence."""
    position, message_id, name, version, key, data, correlation_id, causation_id, occurred_at, sequence = row
    envelope = Envelope(
        message_id, name, version, key, data.encode(), correlation_id, causation_id, occurred_at, sequence
    )
    return PendingMessage(position, envelope, is_missed)
