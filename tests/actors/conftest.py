"""A whole tree of actors on the session's Ray node, with the session's Postgres and broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.settings import load_settings
from spark_actors.actors import names
from spark_actors.deployment import Deployment
from spark_actors.embedded.nats_server import EmbeddedNats
from spark_actors.embedded.ray_node import EmbeddedRay
from tests.fixtures.identity import KEY

if TYPE_CHECKING:
    from tests.fixtures.tree import Tree

PATIENCE_SECONDS = 3.0
"""How long an actor of the tree may be silent, or not move."""


@pytest.fixture(scope="module")
def tree(
    ray_node: EmbeddedRay, nats_server: EmbeddedNats, module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tree]:
    """The actors, ready for work; they end with the module."""
    folder: Path = tmp_path_factory.mktemp("tree")
    settings = load_settings(
        data_dir=folder,
        relay={"poll_interval_seconds": 0.2},
        supervision={"heartbeat_seconds": 0.1, "patience_seconds": PATIENCE_SECONDS},
        placement={"dedicated_kinds": {"crowdfunding": 1}, "dedicated_instances": ["accounting:whale"]},
    )
    contexts = ("auth", "accounting", "crowdfunding", "bitcoin", "dashboard", "ingress")
    deployment = Deployment(
        settings=settings,
        dsn=dict.fromkeys(contexts, module_database),
        listen_dsn=dict.fromkeys(contexts, module_database),
        nats_url=nats_server.url,
        nats_token=nats_server.token,
        log_file=folder / "daemon.jsonl",
        ray_namespace=f"{names.deployment('tree', 'tests')}/0",
        keys=(KEY,),
    )
    from tests.fixtures.tree import Tree  # imports ray, whose environment is only set once pytest is configured

    tree = Tree(deployment)
    try:
        tree.start()
        yield tree
    finally:
        tree.stop()
