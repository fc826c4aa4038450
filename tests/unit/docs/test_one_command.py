"""The page that spells out one command is a program that runs anywhere."""

from __future__ import annotations

import subprocess
import sys

from tests.fixtures.pages import ROOT, blocks


def test_the_code_prints_what_the_page_says() -> None:
    code, output = blocks(ROOT / "docs" / "one-command.md")
    done = subprocess.run(
        [sys.executable, "-c", code.text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == output.text
