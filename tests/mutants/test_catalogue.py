"""The catalogue fits the source: each mutant applies, and the page links the tests that must catch it."""

from __future__ import annotations

import re

import pytest

from tests.fixtures.pages import items, linked, unproven
from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.proving_ground import ROOT, broken

PAGE = ROOT / "docs" / "guarantees.md"
PROOFS = {
    int(number): items(text)
    for number, text in re.findall(r"^## (\d+)\. .+\n((?:(?!## ).*\n)*)", PAGE.read_text(), re.MULTILINE)
}
"""Of each guarantee, by its number: the items of its list, each on one line."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.broken_by)
def test_a_mutant_applies_and_its_tests_are_linked_from_the_guarantee(mutant: Mutant) -> None:
    assert broken((ROOT / mutant.file).read_text(), mutant)
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()
        proofs = {path for proof in PROOFS[mutant.guarantee] for path in linked(PAGE, proof)}
        assert proofs & {ROOT / file, (ROOT / file).parent}


@pytest.mark.parametrize("number", PROOFS)
def test_what_the_page_says_proves_a_guarantee_is_there(number: int) -> None:
    assert PROOFS[number]
    for proof in PROOFS[number]:
        assert [path for path in linked(PAGE, proof) if not path.exists()] == []
        assert unproven(PAGE, proof) == []


def test_every_guarantee_is_broken_in_several_ways() -> None:
    broken_by = [mutant.guarantee for mutant in MUTANTS]
    assert {number for number in PROOFS if broken_by.count(number) >= 2} == set(range(1, len(PROOFS) + 1))
