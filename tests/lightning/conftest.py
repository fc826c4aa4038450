"""The lab of a test session: a Lightning network of two nodes, and LNbits on one of them. Started by the first test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lightning.lab import lnbits_server, network
from tests.lightning.lab.lnbits_server import LnbitsServer
from tests.lightning.lab.network import LightningNetwork

ELECTRUM = Path("/usr/bin/electrum")
MEMORY = Path("/dev/shm")


def cannot_be_had(what: str, why: str) -> None:
    """Where all of it must be there, a test that does not run has failed."""
    told = f"{what} cannot be had: {why}"
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)


def install_from_debian() -> None:
    """What is missing, where packages can be installed."""
    if ELECTRUM.exists():
        return
    try:
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "electrum"]):
            subprocess.run(["apt-get", "--quiet", *words], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        cannot_be_had("electrum", str(error))


@pytest.fixture(scope="session")
def lab_folder() -> Iterator[Path]:
    """In memory where that can be: LNbits waits for its disk hundreds of times before it is up."""
    with TemporaryDirectory(prefix="spark-lightning-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def lightning_network(lab_folder: Path) -> Iterator[LightningNetwork]:
    install_from_debian()
    with ExitStack() as stack:
        yield network.started(stack, lab_folder)


@pytest.fixture(scope="session")
def lnbits(lab_folder: Path, lightning_network: LightningNetwork) -> Iterator[LnbitsServer]:
    with ExitStack() as stack:
        try:
            server = lnbits_server.started(stack, lab_folder / "lnbits", lightning_network.service.url)
        except subprocess.CalledProcessError as error:
            cannot_be_had(f"LNbits {lnbits_server.VERSION}", error.stderr.decode(errors="replace")[-500:])
        yield server
