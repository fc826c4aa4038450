"""The form of the SQL files."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

import pytest

from spark_actors.persistence.statements import load, load_for, parse


def _files(package: str, *folder: str) -> list[Traversable]:
    return [file for file in resources.files(package).joinpath(*folder).iterdir() if file.name.endswith(".sql")]


FILES = [
    *(("spark_actors.persistence", f"sql/{file.name}") for file in _files("spark_actors.persistence", "sql")),
    *(
        (f"domain.{context}.adapters", file.name)
        for context in ("bitcoin", "dashboard")
        for file in _files(f"domain.{context}.adapters")
    ),
    ("domain.audit", "money.sql"),
    ("tests.lab.bench", "bench.sql"),
    ("tests.lab.bench", "bench_reference.sql"),
    ("tests.lab.chaos", "chaos.sql"),
]


@pytest.mark.parametrize(("package", "file"), FILES)
def test_every_file_is_a_list_of_named_and_described_statements(package: str, file: str) -> None:
    assert load(package, file)


def test_a_statement_keeps_its_own_comments_and_loses_its_semicolon() -> None:
    text = "-- one\n-- First.\n-- More.\nSELECT 1 -- not a name\n;\n\n-- two\n-- Second.\nSELECT 2"
    assert parse("file", text) == {"one": "SELECT 1 -- not a name", "two": "SELECT 2"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "-- one\nSELECT 1",
        "-- one\n-- First.\n",
        "-- one\n-- First.\nSELECT 1\n-- one\n-- Again.\nSELECT 2",
        "stray\n-- one\n-- First.\nSELECT 1",
    ],
    ids=["no name", "no description", "no text", "named twice", "stray text"],
)
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^file: "):
        parse("file", text)


def test_the_schema_is_filled_in_as_an_identifier() -> None:
    assert b'FROM "auth".inbox' in load_for("inbox", "auth")["handled"]
    assert b'FROM "au""th".inbox' in load_for("inbox", 'au"th')["handled"]
