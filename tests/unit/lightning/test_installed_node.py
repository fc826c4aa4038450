"""The Lightning node of the settings, in the process of whoever works with it."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from domain.bitcoin.adapters.installed import check_meanwhile, lightning_node
from domain.bitcoin.adapters.lnbits import LnbitsNode
from domain.bitcoin.adapters.lnd import LndNode
from domain.settings import Lightning
from spark_actors.application import Edge


class Process:
    """What of an edge a node needs."""

    def __init__(self, lightning: Lightning) -> None:
        self.settings = SimpleNamespace(lightning=lightning)
        self._closes: list[Callable[[], object]] = []

    def at_end(self, close: Callable[[], object]) -> None:
        self._closes.append(close)

    async def end(self) -> None:
        for close in self._closes:
            if inspect.isawaitable(waiting := close()):
                await waiting


@pytest.mark.parametrize(("name", "kind"), [("lnbits", LnbitsNode), ("lnd", LndNode)])
def test_a_node_that_is_away_is_there_at_once_and_the_log_warns(tmp_path: Path, name: str, kind: type[Any]) -> None:
    key = tmp_path / "key"
    key.write_text("5ec3e7")
    key.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    told = {
        "lnbits": {"url": url, "admin_key_file": str(key), "invoice_key_file": str(key)},
        "lnd": {"url": url, "macaroon_file": str(key)},
    }
    process = Process(Lightning.model_validate({"node": name, "network": "tb", name: told[name]}))

    async def scene() -> None:
        node = await lightning_node(cast(Edge, process), lambda: datetime.now(UTC))
        assert isinstance(node, kind)
        assert node.network == "tb"
        check_meanwhile(cast(Edge, process), node)
        async with asyncio.timeout(30):
            while not logs:
                await asyncio.sleep(0.01)
        await process.end()

    with capture_logs() as logs:
        asyncio.run(scene())
    assert logs[0]["event"] == "lightning_node_cannot_be_used"
    assert url in logs[0]["why"]
    assert "5ec3e7" not in str(logs)
