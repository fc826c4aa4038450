"""The lab of a test session: a Lightning network of two nodes, and LNbits on one of them. Started by the first test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lab.lightning import lnbits_server, network
from tests.lab.lightning.faulty_proxy import FaultyProxy
from tests.lab.lightning.lnbits_server import LnbitsServer
from tests.lab.lightning.needed import CannotBeHadError, have_electrum
from tests.lab.lightning.network import LightningNetwork, Lnd, Network

MEMORY = Path("/dev/shm")


def without(error: CannotBeHadError) -> None:
    """Where all of it must be there, a test that does not run has failed."""
    if os.environ.get("CI"):
        pytest.fail(str(error))
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def lab_folder() -> Iterator[Path]:
    """In memory where that can be: LNbits waits for its disk hundreds of times before it is up."""
    with TemporaryDirectory(prefix="spark-lightning-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def lightning_network(lab_folder: Path) -> Iterator[LightningNetwork]:
    try:
        have_electrum()
    except CannotBeHadError as error:
        without(error)
    with ExitStack() as stack:
        yield network.started(stack, lab_folder)


@pytest.fixture(scope="session")
def lnd_network(request: pytest.FixtureRequest) -> Iterator[Network[Lnd]]:
    """Nodes that speak as LND does: the lab's own, or those that a file names (see docs/testing.md)."""
    if not (file := os.environ.get("SPARK_TEST_LND")):
        yield request.getfixturevalue("lightning_network")
        return
    with ExitStack() as stack:
        yield network.of_somebody_else(stack, Path(file))


@pytest.fixture(scope="session")
def lnbits_backend(lightning_network: LightningNetwork) -> Iterator[FaultyProxy]:
    """What stands between LNbits and its node."""
    with closing(FaultyProxy(lightning_network.service.url)) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def lnbits(lab_folder: Path, lnbits_backend: FaultyProxy) -> Iterator[LnbitsServer]:
    with ExitStack() as stack:
        try:
            yield lnbits_server.started(stack, lab_folder / "lnbits", lnbits_server.on_node(lnbits_backend.url))
        except CannotBeHadError as error:
            without(error)
