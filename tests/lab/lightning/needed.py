"""What the lab needs beside the packages of this project: Debian's Electrum, and LNbits in an environment of its own.

`python -m tests.lab.lightning.needed` gets both, which takes a minute or two; what is there already is kept.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ELECTRUM = Path("/usr/bin/electrum")
LNBITS = "1.6.2"
PACKAGES = (f"lnbits=={LNBITS}", "bitstring<4.4")
"""LNbits cannot be imported with the bitstring that pip would take."""


class CannotBeHadError(Exception):
    """Something is not there and cannot be installed."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what, self.why = what, why

    def __str__(self) -> str:
        return f"{self.what} cannot be had: {self.why}"


@contextmanager
def cache() -> Iterator[Path]:
    """Where installed things are kept, for this process alone meanwhile."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spark-actors"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def run(what: str, *command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise CannotBeHadError(what, str(error)) from error
    except subprocess.CalledProcessError as error:
        raise CannotBeHadError(what, error.stderr[-500:]) from error


def have_electrum() -> None:
    """Raises CannotBeHadError."""
    with cache():
        if not ELECTRUM.exists():
            run("electrum", "apt-get", "--quiet", "update")
            run("electrum", "apt-get", "--quiet", "install", "--yes", "--no-install-recommends", "electrum")


def lnbits_environment() -> Path:
    """The folder of the virtual environment. Raises CannotBeHadError."""
    with cache() as folder:
        wanted = folder / f"lnbits-{LNBITS}-python{sys.version_info.major}.{sys.version_info.minor}"
        if not (wanted / "complete").exists():
            shutil.rmtree(wanted, ignore_errors=True)
            run("LNbits", sys.executable, "-m", "venv", str(wanted))
            pip = str(wanted / "bin" / "pip")
            run("LNbits", pip, "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
            (wanted / "complete").touch()
        return wanted


if __name__ == "__main__":
    have_electrum()
    lnbits_environment()
