"""How messages lie in rows: columns and fields go by the same names, in one order."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import PendingMessage
from spark_actors.persistence.rows import envelope_in, message_columns, pending_message
from spark_actors.persistence.statements import load_for

FIELDS = Envelope.__struct_fields__
MESSAGE = Envelope("m1", "till.paid", 2, "t1", b'{"a":1}', "story", "cause", datetime(2026, 1, 1, tzinfo=UTC), 7)


@pytest.mark.parametrize(
    ("file", "statement", "fields"),
    [("parking", "waiting", FIELDS), ("outbox", "pending", FIELDS[:9]), ("missed_events", "next", FIELDS[:9])],
)
def test_statements_that_read_messages_name_their_columns_in_the_order_of_the_envelope(
    file: str, statement: str, fields: tuple[str, ...]
) -> None:
    text = re.sub(r"\s+", " ", load_for(file, "till")[statement].decode()).replace("data::text", "data")
    assert re.search(rf"\b{', '.join(fields)} FROM ", text)


def test_a_row_becomes_the_message_that_it_is_of() -> None:
    row = [getattr(MESSAGE, name) for name in FIELDS[:9]]
    assert envelope_in(row) == MESSAGE
    as_text = [value.decode() if isinstance(value, bytes) else value for value in row]
    assert pending_message((3, *as_text)) == PendingMessage(3, MESSAGE)


def test_a_message_is_stored_field_by_field() -> None:
    columns = message_columns([MESSAGE])
    assert len(columns) == 9
    assert [values for [values] in columns.values()] == [getattr(MESSAGE, name) for name in FIELDS[:9]]
    assert [name.rstrip("s") for name in columns] == list(FIELDS[:9])
