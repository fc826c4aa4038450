"""To add something takes as few files as the pages say, all in the folder of one context; those they name are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fixtures.pages import ROOT

COMMAND, CONTEXT = (ROOT / "docs" / f"how-to-add-a-{what}.md" for what in ("command", "context"))
MOST_FILES = 6


def steps(page: Path) -> list[str]:
    """The numbered items."""
    text = page.read_text("utf-8").partition("\n\n1. ")[2].partition("\n\n")[0]
    return re.split(r"^\d+\. ", text, flags=re.MULTILINE)


def test_a_command_with_its_event_refusal_and_view_touches_six_files_of_one_folder_at_most() -> None:
    files = steps(COMMAND)
    assert 1 < len(files) < MOST_FILES  # one more, if it has to do with a saga
    assert [step for step in files if "domain/crowdfunding/" not in step.splitlines()[0]] == []
    named = {path for step in files for path in re.findall(r"domain/\w+/[\w/.]+", step)}
    assert {path for path in named if not path.startswith("domain/crowdfunding/")} == set()
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_context_is_one_folder_and_one_line() -> None:
    folder, line = steps(CONTEXT)
    assert folder.startswith("A folder `domain/")
    assert "domain/application.py" in line
    assert not re.search(r"domain/\w+/", line)
