"""`scripts/mutants`: break each guarantee and see that its tests notice. Exit code 1: one of them did not."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.catalogue import MUTANTS
from tests.mutants.proving_ground import ProvingGround, Verdict


def main() -> int:
    arguments = _arguments()
    mutants = [mutant for mutant in MUTANTS if arguments.guarantee in (None, mutant.guarantee)]
    began = time.monotonic()
    with TemporaryDirectory(prefix="spark-mutants-") as folder:
        ground = ProvingGround(Path(folder))
        if said := ground.unbroken(mutants):
            sys.stderr.write(f"the tests fail on the source as it is:\n{said}\n")
            return 1
        _say("| guarantee | broken by | caught by |\n| --- | --- | --- |")
        verdicts = []
        for mutant in mutants:
            verdicts.append(ground.try_out(mutant))
            _say(_row(verdicts[-1]))
    caught = sum(verdict.is_caught for verdict in verdicts)
    _say(f"\n{caught} of {len(verdicts)} caught in {time.monotonic() - began:.0f} s")
    return 0 if caught == len(verdicts) else 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _row(verdict: Verdict) -> str:
    tests = ", ".join(f"`{test.rpartition('::')[2]}`" for test in verdict.caught_by)
    said = verdict.problem or tests or "**nothing: it survives**"
    return f"| {verdict.mutant.guarantee} | {verdict.mutant.broken_by} | {said} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("--guarantee", type=int, help="only this one, by its number in docs/guarantees.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
