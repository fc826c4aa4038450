"""What the page shows of the shop is the shop's own code, files and saga."""

from __future__ import annotations

import re

import pytest

from spark_actors.kernel.context import BoundedContext
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


def commands_after(context: BoundedContext, event: str) -> set[str]:
    [step] = [step for each, step in context.steps.items() if each.__name__ == event]
    return set(re.findall(r"\w+", str(step.__annotations__["return"]))) - {"Sequence"}


def test_the_saga_on_the_page_is_the_shops() -> None:
    shown = re.findall(r"^\w+ +(\w+) +-> (\w+) +(\w+)", block(PAGE, "orders ").text, re.MULTILINE)
    assert len(shown) == 5
    for event, context, command in shown:
        assert commands_after(APPLICATION.installed(context).context, event) == {command}
