"""One daemon for the modules that neither end it nor mind what others did to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.daemon import Daemon, daemon_in_temporary_folder


@pytest.fixture(scope="session")
def running() -> Iterator[Daemon]:
    """A daemon that is ready."""
    with daemon_in_temporary_folder() as daemon:
        daemon.start()
        yield daemon
