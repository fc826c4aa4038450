"""How the tests are shared out to workers."""

from __future__ import annotations

from tests.fixtures.pages import ROOT
from tests.fixtures.workers import DEAR, LONGEST, TOGETHER, group_of


def test_each_module_that_is_named_is_there() -> None:
    named = {*TOGETHER, *LONGEST} - set(TOGETHER.values())
    assert [module for module in named if not (ROOT / module).is_file()] == []


def test_modules_that_ask_for_the_same_dear_thing_have_one_worker() -> None:
    assert set(TOGETHER.values()) == set(DEAR.values())
    assert group_of("tests/acceptance/test_poison.py::test_a") == group_of("tests/fuzz/test_running_daemon.py::test_b")
    assert group_of("tests/faults/test_faults.py::test_a[x::y]") == "tests/faults/test_faults.py"
