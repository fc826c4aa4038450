"""How messages lie in rows: the one place that turns envelopes into columns and rows into envelopes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

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


def message_columns(messages: Sequence[Envelope]) -> dict[str, list[Any]]:
    """The parameters of a statement that stores messages, by name; not who sent them, and why, which events lack."""
    return {
        "message_ids": [message.message_id for message in messages],
        "names": [message.name for message in messages],
        "versions": [message.version for message in messages],
        "keys": [message.key for message in messages],
        "data": [message.data for message in messages],
        "correlation_ids": [message.correlation_id for message in messages],
        "causation_ids": [message.causation_id for message in messages],
        "occurred_at": [message.occurred_at for message in messages],
        "sequences": [message.sequence for message in messages],
    }


def envelope_in(row: Sequence[Any]) -> Envelope:
    """The message in a row whose columns are named like the envelope's fields, in their order; the last may be missing.

    `tests/unit/persistence/test_rows.py` holds the statements to that.
    """
    return Envelope(*row)


def pending_message(row: Row, *, is_missed: bool = False) -> PendingMessage:
    """The event in a row of its position and a message (see `envelope_in`) whose data came as text."""
    position, *columns = row
    columns[_DATA] = columns[_DATA].encode()
    return PendingMessage(position, envelope_in(columns), is_missed)


_DATA = Envelope.__struct_fields__.index("data")
