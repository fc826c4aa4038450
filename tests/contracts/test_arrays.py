"""Lists reach Postgres as the arrays they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_actors.persistence.arrays import ArrayDumper

TYPES = {
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "bytea": st.binary(),
    "date": st.dates(),
    "timestamptz": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
}


@pytest.fixture
def connection(emptied_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(emptied_database) as connection:
        connection.adapters.register_dumper(list, ArrayDumper)
        connection.execute("SET TIME ZONE 'UTC'")
        yield connection


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_array_comes_back_as_it_was_sent(connection: psycopg.Connection, kind: str, data: st.DataObject) -> None:
    values: list[Any] = data.draw(st.lists(st.one_of(st.none(), TYPES[kind]), max_size=20))
    row = connection.execute(f"SELECT %s::{kind}[]".encode(), [values]).fetchone()
    assert row == (values,)


def test_what_no_array_can_hold_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(TypeError, match="set"):
        connection.execute("SELECT %s", [[set()]])
