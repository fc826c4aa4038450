"""What the page shows of the shop is the shop's own code, files and saga."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from spark_actors.kernel.messages import Event
from spark_actors.kernel.sagas import Step
from spark_actors.kernel.tasks import ToDo
from tests.fixtures.pages import ROOT, Block, block, blocks
from tests.shop.application import APPLICATION

PAGE = ROOT / "docs" / "how-to-write-an-application.md"
SHOP = ROOT / "tests" / "shop"
CODE = {file: file.read_text("utf-8") for file in sorted(SHOP.rglob("*.py"))}


def lines_of(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


@pytest.mark.parametrize(
    "code", [each for each in blocks(PAGE) if each.language == "python"], ids=lambda code: code.opening
)
def test_code_on_the_page_is_the_shops_line_by_line(code: Block) -> None:
    shown = re.split(r"\n(?:# )?\.\.\.(?:\n|$)", lines_of(code.text))  # what is left out is written so
    assert [file for file, text in CODE.items() if all(part in lines_of(text) for part in shown)]


def test_the_files_on_the_page_are_the_shops() -> None:
    named = set(re.findall(r"^  (\S+?/?)(?: {2,}|$)", block(PAGE, "shop/").text, re.MULTILINE))
    named |= {"cli.py", "demo.py"}
    files = {file.relative_to(SHOP).as_posix() for file in CODE if file.name != "__init__.py"}
    folders = {name.rstrip("/…") for name in named if name.endswith(("/", "/…"))}
    assert folders <= {path.relative_to(SHOP).as_posix() for path in SHOP.rglob("*") if path.is_dir()}
    assert files == {name for name in named if name.endswith(".py")} | {
        file for file in files if any(file.startswith(f"{folder}/") for folder in folders)
    }


def follow(table: Mapping[type[Event], Step | ToDo], event: str) -> set[str]:
    """The commands, or tasks, that *table* says follow from the event."""
    [function] = [function for each, function in table.items() if each.__name__ == event]
    return set(re.findall(r"\w+", str(function.__annotations__["return"]))) - {"Sequence"}


def test_the_saga_on_the_page_is_the_shops() -> None:
    shown = re.findall(r"^\w+ +(\w+) +-> (\w+) +(\w+)", block(PAGE, "orders ").text, re.MULTILINE)
    contexts = {each.name: each.context for each in APPLICATION.contexts}
    assert {(event, context) for event, context, _ in shown} == {
        (event.__name__, name) for name, context in contexts.items() for event in context.steps
    }
    for event, context, command in shown:
        assert follow(contexts[context].steps, event) == {command}


def test_the_tasks_of_the_saga_on_the_page_are_the_shops() -> None:
    shown = re.findall(r"^\w+ +(\w+) +=> outside +(\w+)", block(PAGE, "orders ").text, re.MULTILINE)
    tasks = APPLICATION.installed("orders").context.tasks
    assert {event for event, _ in shown} == {event.__name__ for event in tasks}
    for event, task in shown:
        assert follow(tasks, event) == {task}
