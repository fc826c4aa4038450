"""The pages hang together: every relative link leads to a file, every anchor to a heading, and prose fits a screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = sorted((ROOT / "docs").glob("*.md"))
WRAPPED = [*(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")), *DOCS]
PAGES = [ROOT / "FAULTS.md", *WRAPPED]
LINK = re.compile(r"\]\(([^)\s]+)\)")
MARKUP = re.compile(r"`|\*|(?<=\])\([^)]*\)")
WIDTH = 120


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Its lines outside of code blocks, with their numbers."""
    is_code = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, line


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them: a heading that comes again gets a number."""
    found: dict[str, int] = {}
    for _, line in prose(page):
        if heading := re.match(r"#{1,6} (.+)", line):
            text = MARKUP.sub("", heading[1]).strip().lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{again}" if again else slug for slug, last in found.items() for again in range(last + 1)}


def links(page: Path) -> list[tuple[int, str]]:
    """The relative ones, with the numbers of their lines; what stands in code is none."""
    found = [
        (number, target)
        for number, line in prose(page)
        for target in LINK.findall(re.sub(r"(?<!\[)`[^`]*`(?!\])", "", line))
    ]
    return [(number, target) for number, target in found if not re.match(r"[a-z]+:", target)]


def problem(page: Path, target: str) -> str:
    """What is wrong with a link of a page; nothing, if nothing is."""
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.is_relative_to(ROOT) or not there.exists():
        return "is not there"
    if anchor and (there.suffix != ".md" or anchor not in anchors(there)):
        return "has no such heading"
    return ""


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert [f"{number}: {target} {wrong}" for number, target in links(page) if (wrong := problem(page, target))] == []


@pytest.mark.parametrize("page", WRAPPED, ids=name)
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    long = [
        f"{number}: {len(line)} characters"
        for number, line in prose(page)
        if len(line) > WIDTH and not line.startswith("|") and not LINK.search(line)
    ]
    assert long == []


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_every_page_is_found_from_the_map(page: Path) -> None:
    targets = {(ROOT / target.partition("#")[0]).resolve() for _, target in links(ROOT / "ARCHITECTURE.md")}
    assert page in targets


@pytest.mark.parametrize("target", ["docs/nowhere.md", "README.md#no-such-heading", "#no-such-heading", "../elsewhere"])
def test_a_link_that_leads_nowhere_is_noticed(target: str) -> None:
    assert problem(ROOT / "README.md", target)


def test_an_anchor_is_a_heading_in_lower_case_without_punctuation(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# At 3 a.m.: `keys` and [links](a.md)\n\n## Twice\n\n```\n# code\n```\n\n## Twice\n", "utf-8")
    assert anchors(page) == {"at-3-am-keys-and-links", "twice", "twice-1"}
