"""`default.toml` is the documentation of the settings: it must name all of them, as they are."""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from pydantic import BaseModel

from config import Settings

TEXT = files("config").joinpath("default.toml").read_text("utf-8")
UNIT_LESS_NUMBERS = ("port", "rate", "replicas")
COUNTED = ("actors", "instances", "commands", "events", "attempts", "calls", "messages")


def leaves(group: BaseModel, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in group:
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def keys(table: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict) and f"{path}{name}" != "placement.dedicated_kinds":
            yield from keys(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def test_the_file_names_every_setting_and_no_other() -> None:
    assert sorted(keys(tomllib.loads(TEXT))) == sorted(name for name, _ in leaves(Settings()))


def test_the_file_and_the_model_have_the_same_defaults() -> None:
    assert Settings().model_dump(mode="json") == tomllib.loads(TEXT)


@pytest.mark.parametrize("line", [line for line in TEXT.splitlines() if re.match(r"\w+ = ", line)])
def test_a_comment_explains_each_setting(line: str) -> None:
    lines = TEXT.splitlines()
    above = {lines[place - 1] for place, text in enumerate(lines) if text == line}
    assert all(text.startswith("# ") for text in above)


@pytest.mark.parametrize(
    "name",
    [name for name, value in leaves(Settings()) if isinstance(value, int | float) and not isinstance(value, bool)],
)
def test_the_name_of_a_number_says_its_unit(name: str) -> None:
    assert name.endswith(("_seconds", "_days", "_bytes", "_sat", *COUNTED, *UNIT_LESS_NUMBERS))
