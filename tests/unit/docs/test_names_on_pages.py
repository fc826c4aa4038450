"""A name with a link, as in [`Campaign`](../domain/crowdfunding/campaign.py), is in the file behind it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.fixtures.pages import ROOT

PAGES = [ROOT / "docs" / name for name in ("from-the-article.md", "what-we-hold-by-hand.md")]
NAMED = re.compile(r"\[`(\w+)`\]\((\S+\.py)\)")


@cache
def names_in(file: Path) -> frozenset[str]:
    """What a module itself defines: classes, functions, values."""
    found: set[str] = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


def missing(page: Path, text: str) -> list[str]:
    """The names that are not where their links lead."""
    return [
        f"{name} is not in {target}"
        for name, target in NAMED.findall(text)
        if name != Path(target).stem and name not in names_in(page.parent / target)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_with_a_link_is_in_the_file_behind_it(page: Path) -> None:
    text = page.read_text("utf-8")
    assert NAMED.search(text)
    assert missing(page, text) == []


def test_a_name_that_is_gone_is_noticed() -> None:
    assert missing(PAGES[0], "[`Kampagne`](../domain/crowdfunding/campaign.py)")
