"""The catalogue fits the source: each mutant applies, and the page links the tests that must catch it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.proving_ground import ROOT, broken

ROWS = {
    int(number): row
    for number, row in re.findall(r"^\| (\d+) \| (.+)$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.broken_by)
def test_a_mutant_applies_and_its_tests_are_linked_from_the_guarantee(mutant: Mutant) -> None:
    assert broken((ROOT / mutant.file).read_text(), mutant)
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()
        assert f"]({file})" in ROWS[mutant.guarantee] or f"]({file.rpartition('/')[0]})" in ROWS[mutant.guarantee]


@pytest.mark.parametrize("number", ROWS)
def test_what_the_page_says_proves_a_guarantee_is_there(number: int) -> None:
    for proof in ROWS[number].rpartition(" | ")[2].split(";"):
        names = "\n".join(name for path in re.findall(r"\]\((.+?)\)", proof) for name in _tests_in(ROOT / path))
        for quoted in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", proof):
            words = re.sub(r" ?… ?", ".*", re.sub("[',]", "", quoted.lower())).replace(" ", "_")
            assert re.search(words, names), quoted


def _tests_in(path: Path) -> list[str]:
    files = [path] if path.is_file() else list(path.rglob("test_*.py"))
    assert files, f"{path} is not there"
    return [name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())]


def test_every_guarantee_is_broken_in_several_ways() -> None:
    broken_by = [mutant.guarantee for mutant in MUTANTS]
    assert {number for number in ROWS if broken_by.count(number) >= 2} == set(range(1, len(ROWS) + 1))
