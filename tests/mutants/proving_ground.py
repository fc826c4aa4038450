"""Breaks a copy of the source tree in one place and runs the tests that must notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import UNSHRUNK
from tests.mutants.catalogue import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("spark_actors", "domain", "config", "tests", "setup.cfg", "pyproject.toml", "docs")
FAILED, PASSED = 1, 0
"""Exit codes of pytest; any other means that it could not even begin."""
SECONDS = 300


class MisfitError(Exception):
    """A mutant does not fit the source any more."""


@dataclass(frozen=True)
class Verdict:
    """What the tests said of a mutant."""

    mutant: Mutant
    caught_by: tuple[str, ...]
    """The tests that failed."""
    problem: str = ""
    """Why there is nothing to be said."""

    @property
    def is_caught(self) -> bool:
        return bool(self.caught_by) and not self.problem


def broken(text: str, mutant: Mutant) -> str:
    """The file's text with the mutant in it. Raises MisfitError."""
    if (found := text.count(mutant.old)) != 1:
        raise MisfitError(f"{mutant.file}: {mutant.old!r} stands there {found} times, expected once")
    return text.replace(mutant.old, mutant.new)


class ProvingGround:
    """A copy of the tree in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in COPIED:
            source, target = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)

    def unbroken(self, mutants: Iterable[Mutant]) -> str:
        """Run all the tests on the source as it is; gives what they say if one fails, or else nothing."""
        code, said = self._run(sorted({test for mutant in mutants for test in mutant.tests}))
        return "" if code == PASSED else said

    def try_out(self, mutant: Mutant) -> Verdict:
        """Break it, run the tests, mend it."""
        path = self._folder / mutant.file
        text = path.read_text()
        try:
            path.write_text(broken(text, mutant))
            code, said = self._run(mutant.tests)
        except MisfitError as error:
            return Verdict(mutant, (), str(error))
        finally:
            path.write_text(text)
        failed = tuple(test for test in mutant.tests if f"FAILED {test}" in said)
        return Verdict(mutant, failed, "" if code in (FAILED, PASSED) else f"pytest ended with {code}:\n{said}")

    def _run(self, tests: Iterable[str]) -> tuple[int, str]:
        quick = ["-q", "-p", "no:cacheprovider", "--tb=line", f"--hypothesis-profile={UNSHRUNK}"]
        command = [sys.executable, "-m", "pytest", *quick, *tests]
        environment = {**os.environ, "PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return done.returncode, done.stdout[-4_000:] + done.stderr[-2_000:]
