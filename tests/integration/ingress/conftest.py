"""Each test has a server of its own, which may store late what an earlier test has published: nobody looks there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    """A server without a stream."""
    server = EmbeddedNats(DataDir(tmp_path / "nats"), NatsOptions(port=ANY_PORT))
    try:
        server.start()
        yield server
    finally:
        server.stop()
