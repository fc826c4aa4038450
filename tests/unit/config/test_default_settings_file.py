"""The files with the defaults are the documentation of the settings: they name all of them, as they are."""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from pydantic import BaseModel

from config.sources import merged
from domain.settings import SparkSettings

TEXTS = [files(package).joinpath("default.toml").read_text("utf-8") for package in ("config", "domain")]
TABLES = {"postgres.context_dsn", "postgres.context_listen_dsn", "placement.dedicated_kinds"}
"""Settings that are tables themselves."""
UNIT_LESS_NUMBERS = ("port", "rate", "replicas", "percent")
COUNTED = ("actors", "instances", "commands", "events", "attempts", "calls", "messages", "streams")


def leaves(group: BaseModel, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in group:
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def keys(table: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict) and f"{path}{name}" not in TABLES:
            yield from keys(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def test_the_file_names_every_setting_and_no_other() -> None:
    assert sorted(keys(everything())) == sorted(name for name, _ in leaves(SparkSettings()))


def everything() -> dict[str, Any]:
    runtime, own = map(tomllib.loads, TEXTS)
    return merged(runtime, own)


def test_the_file_and_the_model_have_the_same_defaults() -> None:
    assert SparkSettings().model_dump(mode="json") == everything()


LINES = [(line, text) for text in TEXTS for line in text.splitlines() if re.match(r"\w+ = ", line)]


@pytest.mark.parametrize(("line", "whole"), LINES, ids=[line for line, _ in LINES])
def test_a_comment_explains_each_setting(line: str, whole: str) -> None:
    lines = whole.splitlines()
    above = {lines[place - 1] for place, text in enumerate(lines) if text == line}
    assert all(text.startswith("# ") for text in above)


@pytest.mark.parametrize(
    "name",
    [name for name, value in leaves(SparkSettings()) if isinstance(value, int | float) and not isinstance(value, bool)],
)
def test_the_name_of_a_number_says_its_unit(name: str) -> None:
    assert name.endswith(("_seconds", "_days", "_bytes", "_sat", *COUNTED, *UNIT_LESS_NUMBERS))
